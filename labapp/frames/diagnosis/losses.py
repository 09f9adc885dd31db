"""What does the loss say, and is the learning rate too high or too low for this net?

The rate is judged by what it does to the weights, not by its number: by how far a step moves all layers together, and
by whether the loss falls.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from labapp.frames.diagnosis.findings import Symptom, decades, percent
from labapp.frames.diagnosis.limits import LIMITS
from labapp.frames.diagnosis.material import STRETCH, Material, Numbers

MAJORITY = 0.5  # of the steps, in which a net must be slow
LEFT = 0.5  # of the first loss: where less is left the net has learnt, slow or not
CLIMB = 1.5  # times the lowest loss before it: a climb that is told
NAMED = 3  # layers that move furthest
WEAK = 0.5  # that a loss stays says nothing of why


def exploding(material: Material) -> list[Symptom] | str:
    """The loss is far above that of a net that knows nothing, for long or at the end."""
    losses = material.losses
    if losses.empty:
        return "it holds no loss"
    if math.isnan(material.chance):
        return "of how many classes the loss is was not recorded, so there is no loss of a net that knows nothing"
    bar = max(material.chance, float(losses["loss"].iloc[0]))
    value = losses["loss"].to_numpy() / bar
    beyond = value > LIMITS["burst"].value
    share = float(beyond.mean())
    thrown = value.max() > LIMITS["once"].value * LIMITS["burst"].value
    if not beyond.any() or not (share >= LIMITS["lasting"].value or beyond[-1] or thrown):
        return []
    steps = losses["step"].to_numpy()
    first, worst = int(steps[beyond][0]), int(value.argmax())
    far = decades(float(value[worst]), LIMITS["burst"].value)
    return [
        Symptom(
            rule="exploding_loss",
            title="The loss explodes",
            words=f"The training loss rises from {losses['loss'].iloc[0]:.3g} to {losses['loss'].iloc[worst]:.3g} at "
            f"step {int(steps[worst])} (medians of {STRETCH} steps), where a net that knows nothing of "
            f"{material.classes} classes has {material.chance:.3g}. It is above twice that from step {first} on, in "
            f"{percent(share)} of the steps.",
            quantity="loss",
            value=float(value[worst]),
            limit="burst",
            first=first,
            last=int(steps[beyond][-1]),
            share=share,
            strength=far * max(share, MAJORITY if beyond[-1] else share),
            expected="Theory says nothing of it.",
            confirm=(
                f"a run with a tenth of the rate: --learning-rate {material.run.experiment.learning_rate / 10:.2g}",
                "in the training code: the sign of the loss and of the step, and the range of the images",
            ),
        )
    ]


def too_high(material: Material) -> list[Symptom] | str:
    """Steps that change so much of the weights that the gradient they followed need not hold any longer."""
    grid = material.grid
    ratios = grid.columns["update_ratio"].astype(float)[:, material.deep]
    known = ~np.isnan(ratios).all(1)
    if not known.any():
        return "it holds no updates of weights"
    with np.errstate(over="ignore"):
        value = np.expm1(np.nansum(np.log1p(ratios), 1))
    beyond = known & (value > LIMITS["trust"].value)
    share = float(beyond.sum() / known.sum())
    thrown = beyond & (value > LIMITS["once"].value * LIMITS["trust"].value)
    if share < LIMITS["lasting"].value and not thrown.any():
        return []
    steps = grid.steps[beyond]
    worst = int(np.flatnonzero(beyond)[value[beyond].argmax()])
    names = grid.layers["layer"][material.deep].astype(str).to_numpy()
    largest = np.argsort(-np.nan_to_num(ratios[worst], posinf=np.finfo(float).max))[:NAMED]
    furthest = ", ".join(f"{names[at]} by {ratios[worst, at]:.2g}" for at in largest)
    middle = float(np.nanmedian(ratios[beyond]))
    rate = material.run.experiment.learning_rate
    return [
        Symptom(
            rule="rate_too_high",
            title="The learning rate is too high",
            words=f"At step {int(grid.steps[worst])} one step changes the weights of all layers so much that the "
            f"gradient may change by {value[worst]:.2g} times itself; furthest {furthest} of their weights. The median "
            f"layer moves by {middle:.2g} a step, where around 0.001 is usual. It is so in {percent(share)} of the "
            f"recorded steps, from step {int(steps[0])} to step {int(steps[-1])}.{_of_the_loss(material)}",
            quantity="update_ratio",
            value=float(value[worst]),
            limit="trust",
            first=int(steps[0]),
            last=int(steps[-1]),
            share=share,
            strength=max(decades(float(value[worst]), LIMITS["trust"].value) * math.sqrt(share), 0.0),
            layers=tuple(names[largest]),
            expected="Theory says nothing of the pace of training, only of step 0.",
            confirm=(f"a run with a tenth of the rate, and one with a longer warm-up: --learning-rate {rate / 10:.2g}",)
            if material.own_loop
            else ("a run with a tenth of the rate, and one with a longer warm-up",),
        )
    ]


def too_low(material: Material) -> list[Symptom] | str:
    """The median layer moves by far less than is usual, at the full rate, and the loss is still high."""
    pace = _pace(material)
    known = np.isfinite(pace)
    if not known.any():
        return "it holds no updates of weights at a rate above zero, before values became NaN or infinite"
    early = _too_early(material)
    if early:
        return early
    beyond = known & (pace < LIMITS["slow"].value)
    share = float(beyond.sum() / known.sum())
    if share < MAJORITY or not _left(material):
        return []
    value = float(np.median(pace[beyond]))
    steps = material.steps[beyond]
    rate = material.run.experiment.learning_rate
    return [
        Symptom(
            rule="rate_too_low",
            title="The learning rate is too low",
            words=f"The median layer moves by {value:.2g} of its weights a step (at the full rate), where around 0.001 "
            f"is usual; it is so in {percent(share)} of the recorded steps.{_of_the_loss(material)}",
            quantity="update_ratio",
            value=value,
            limit="slow",
            first=int(steps[0]),
            last=int(steps[-1]),
            share=share,
            strength=decades(value, LIMITS["slow"].value) * share,
            expected="Theory says nothing of the pace of training, only of step 0.",
            confirm=(f"a run with ten times the rate: --learning-rate {rate * 10:.2g}",)
            if material.own_loop
            else ("a run with ten times the rate",),
        )
    ]


def flat(material: Material) -> list[Symptom] | str:
    """The loss has not fallen."""
    losses = material.losses
    if losses.empty:
        return "it holds no loss"
    if len(losses) < 2 * STRETCH:
        return f"it holds {len(losses)} losses, and {2 * STRETCH} are needed to tell whether they fall"
    early = _too_early(material)
    if early:
        return early
    first, end = float(losses["loss"].iloc[0]), _end(losses)
    bar = min(first, material.chance) if material.chance == material.chance else first
    if bar <= 0 or end / bar < LIMITS["flat"].value:
        return []
    return [
        Symptom(
            rule="flat_loss",
            title="The loss does not fall",
            words=f"The training loss is {first:.3g} at the start and {end:.3g} over the last tenth of the steps.",
            quantity="loss",
            value=end / bar,
            limit="flat",
            first=int(losses["step"].iloc[0]),
            last=int(losses["step"].iloc[-1]),
            share=1.0,
            strength=min(WEAK, 0.1 + decades(end / bar, LIMITS["flat"].value)),
            expected="Theory says nothing of it.",
            confirm=("a run of more steps", "a run with ten times the rate, and one with a tenth of it"),
        )
    ]


def noisy(material: Material) -> list[Symptom] | str:
    """The gradient of a step is mostly that of its images, not of the task, and the loss is still high."""
    parts = material.run.experiment.accumulate
    ratio = material.grid.columns["gradient_signal_to_noise"].astype(float)[:, material.deep]
    if not np.isfinite(ratio).any() or parts < 2:
        return "gradient noise was not recorded; it needs micro-batches (--accumulate 2 or more)"
    known = np.isfinite(ratio).any(1)
    # of K micro-batches the mean of pure noise has 1/K of their variance: taken off, and told of the step's own mean
    value = np.full(len(ratio), np.nan)
    value[known] = np.nanmedian(parts * ratio[known] - 1, 1)
    beyond = known & (value < LIMITS["noise"].value)
    share = float(beyond.sum() / known.sum())
    if share < MAJORITY or not _left(material):
        return []
    middle = float(np.median(value[beyond]))
    steps = material.steps[beyond]
    return [
        Symptom(
            rule="noisy_gradient",
            title="The gradient drowns in noise",
            words=f"The signal of a step's gradient is {middle:.2g} of its noise in the median layer, in "
            f"{percent(share)} of the recorded steps.{_of_the_loss(material)}",
            quantity="gradient_signal_to_noise",
            value=middle,
            limit="noise",
            first=int(steps[0]),
            last=int(steps[-1]),
            share=share,
            strength=decades(max(middle, 1e-9), LIMITS["noise"].value) * share,
            expected="Theory says nothing of it.",
            confirm=(f"a run with a larger batch: --batch-size {10 * material.run.experiment.batch_size}",),
        )
    ]


def _pace(material: Material) -> Numbers:
    """The median layer's update at the full rate, by recorded step; NaN where the rate is zero.

    And from the first value on that was not finite: what a loop makes of those, skips them for instance, is no pace.
    """
    ratios = material.grid.columns["update_ratio"].astype(float)[:, material.deep]
    pace = np.full(len(ratios), np.nan)
    known = np.isfinite(ratios).any(1) & (material.full_rate > 0)
    if material.ill and material.ill["places"] > LIMITS["finite"].value:
        known &= material.steps < int(material.ill["step"])
    pace[known] = np.nanmedian(ratios[known], 1) / material.full_rate[known]
    return pace


def _end(losses: pd.DataFrame) -> float:
    return float(losses["loss"].tail(max(STRETCH, len(losses) // 10)).median())


def _left(material: Material) -> bool:
    """Whether there is something left to learn at the end, or it is not known."""
    losses = material.losses
    return losses.empty or _end(losses) > LEFT * float(losses["loss"].iloc[0])


def _too_early(material: Material) -> str:
    done, asked = material.run.progress
    if done < asked / 2:
        return f"it has done {done} of {asked} steps, and a loss may begin to fall late, with the warm-up over"
    return ""


def _of_the_loss(material: Material) -> str:
    """What the loss did meanwhile; "" where none was written down."""
    losses = material.losses
    if losses.empty:
        return ""
    value = losses["loss"].to_numpy()
    words = f" The loss goes from {value[0]:.3g} to {_end(losses):.3g}"
    if value.max() > CLIMB * value[0]:
        words += f", with {value.max():.3g} at its highest"
    lowest, climbs, up = value[0], 0, False
    for one in value:
        if up and one <= lowest:
            up = False
        elif not up and one > CLIMB * lowest:
            climbs, up = climbs + 1, True
        lowest = min(lowest, one)
    return words + (
        f"; {climbs} time{'s' * (climbs > 1)} it climbed to over {CLIMB:g} times its lowest." if climbs else "."
    )
