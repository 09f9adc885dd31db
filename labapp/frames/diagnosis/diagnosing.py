"""Which rules are there, what follows from what, and what does a run say to all of them?"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from labapp.frames.diagnosis import blocks, flow, losses, nonfinite, silence, updates
from labapp.frames.diagnosis.findings import Diagnosis, Examined, Symptom, ranked
from labapp.frames.diagnosis.material import Material
from labapp.frames.runs import names
from labapp.store import Run

_SETTINGS = ("norm", "activation", "init", "learning_rate", "schedule", "warmup_steps", "weight_decay", "batch_size")


class Inquiry(NamedTuple):
    """One rule.

    Attributes:
        name: Of the file's function.
        question: What it asks of a run.
        ask: Returns what it found, or why it cannot tell.
    """

    name: str
    question: str
    ask: Callable[[Material], list[Symptom] | str]


RULES = (  # of equally strong findings the one of the first rule comes first
    Inquiry("nonfinite", "Did values become NaN or infinite, and where first?", nonfinite.nonfinite),
    Inquiry("frozen", "Are there layers that never move?", updates.frozen),
    Inquiry("blocks", "Does one path of a residual block drown the other?", blocks.residual),
    Inquiry("gradients", "Does the gradient vanish or explode on its way back?", flow.gradients),
    Inquiry("signals", "Does the signal vanish or explode on its way through the net?", flow.signals),
    Inquiry("channels", "Are there channels that died and never came back?", silence.channels),
    Inquiry("rate_too_high", "Is the learning rate too high?", losses.too_high),
    Inquiry("exploding_loss", "Does the loss explode?", losses.exploding),
    Inquiry("rate_too_low", "Is the learning rate too low?", losses.too_low),
    Inquiry("stalled", "Are there layers that stopped learning?", updates.stalled),
    Inquiry("noisy_gradient", "Does the gradient drown in the noise between images?", losses.noisy),
    Inquiry("flat_loss", "Does the loss fall?", losses.flat),
)


def diagnose(run: Run) -> Diagnosis:
    """What is wrong with a run, by its records alone."""
    material = Material(run)
    found: list[Symptom] = []
    examined = []
    for rule in RULES:
        answer = rule.ask(material)
        reason = answer if isinstance(answer, str) else ""
        own = [] if isinstance(answer, str) else answer
        found += own
        examined.append(Examined(rule.name, rule.question, len(own), reason))
    return Diagnosis(run.id, names([run])[0], _about(material), ranked(found), tuple(examined))


def _about(material: Material) -> tuple[str, ...]:
    run, what = material.run, material.run.experiment
    done, asked = run.progress
    words = [
        f"{what.name}, {what.family} net"
        if what.net is None
        else f"{what.net}, a net that the lab did not build, whose settings it does not know"
    ]
    if what.net is None:
        told = [f"{name} {getattr(what, name)}" for name in _SETTINGS[: None if material.own_loop else 3]]
        words = [f"{words[0]}: {', '.join(told)}, images {what.imageset}, seed {what.seed}."]
    else:
        words = [f"{words[0]}."]
    standing = {
        "running": "It is still being written, so this is how it looks now",
        "interrupted": "It was interrupted, so this is of what was recorded until then",
        "stopped": "It was stopped, so this is of what was recorded until then",
        "failed": "It failed, so this is of what was recorded until then",
        "diverged": "It diverged",
        "incomplete": "A part of its record was lost",
    }.get(run.status, "It is finished")
    words.append(f"{standing}: {done} of {asked} steps done.")
    recorded = len(material.steps)
    if not recorded:
        words.append("It recorded no layers, so only losses can be looked at.")
    elif recorded == 1:
        words.append(f"One step was recorded (step {int(material.steps[0])}), so nothing can be said of change.")
    else:
        first, last = int(material.steps[0]), int(material.steps[-1])
        words.append(f"{recorded} steps were recorded, from {first} to {last}, of {len(material.grid.layers)} places.")
    words += [f"Of its record is missing: {problem}." for problem in run.problems]
    return tuple(words)
