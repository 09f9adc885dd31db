"""How long will a training take, and how much room, by those that this machine has finished?

A step's time is taken to grow with the multiply-adds of its images, an evaluation's with those of one image. Where two
or more runs of the same net are there, they are asked; else two or more nets of its family, else all nets. What they
say differs, and how much is the answer's uncertainty: an 80 % prediction interval of Student's t for one more run, or
net, on the logarithm, because rates differ by factors. Of a short timing the interval is that of the quickest and the
slowest step.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from scipy.special import stdtrit  # scipy.stats takes half a second to import

from labapp.config import Experiment, listed
from labapp.store import Run, disk_use
from labapp.store.machine import is_namesake

COVERED = 0.8  # of such trainings the interval is meant to hold; more would say nothing of two or three runs
LEAST = 2  # runs that are needed for an interval
STEPS = 8  # of a timing, the first of which warms up
SPARSE = 4  # steps of it from one that is recorded to the next, at most
CALM = 1e-6  # a rate at which nothing diverges
WIDEST = 8.0  # times: where runs of other nets differ more than that, a few steps are timed
NET = ("image_size", "imageset", "net", "precision", "devices", "num_nodes")  # besides the options of the net itself


class Size(NamedTuple):
    """What decides what a net costs."""

    multiply_adds: float  # of one image, forward
    parameters: int
    places: int  # that are recorded


class Pace(NamedTuple):
    """What a training took.

    Attributes:
        experiment: What was trained.
        size: Of its net.
        step: Seconds of a step, on average.
        quickest: Of the quickest step.
        slowest: Of the slowest one.
        evaluation: Seconds of an evaluation, with the writing of a checkpoint now and then.
        kept: Bytes of a checkpoint.
        noted: Bytes of all tables for each place and recorded step.
    """

    experiment: Experiment
    size: Size
    step: float
    quickest: float
    slowest: float
    evaluation: float
    kept: float
    noted: float


class Cost(NamedTuple):
    """What a training will take: seconds, from and to, and bytes; and how many runs, or steps, say so."""

    low: float
    high: float
    room: float
    by: str


def size_of(run: Run) -> Size | None:
    """What a run's net costs by its record: a weight is used once at every place of its layer's output."""
    layers = [layer for layer in run.layers_info if layer.get("kind") != "block"]
    if not layers:
        return None
    used = [layer for layer in layers if layer.get("kind") in ("conv", "linear")]
    products = sum((layer.get("parameters") or 0) * math.prod((layer.get("shape") or [1])[1:]) for layer in used)
    return Size(products, sum(layer.get("parameters") or 0 for layer in layers), len(run.layers_info))


def pace(run: Run, least: int = 10) -> Pace | None:
    """What a finished run of this machine took; None of one that says nothing of that: another's, resumed, or short."""
    attempts, size, chosen = run.attempts, size_of(run), run.experiment
    if run.status != "finished" or len(attempts) != 1 or not is_namesake(attempts[0]):
        return None
    if size is None or size.multiply_adds <= 0 or chosen.steps < least:
        return None
    speed = run.steps(columns=["images_per_second"])["images_per_second"].iloc[1:]  # the first one warms up
    took = chosen.batch_size / pd.to_numeric(speed).where(lambda each: each > 0).dropna()
    if took.empty or not math.isfinite(took.mean()):
        return None
    rest = max(0.0, run.seconds - float(took.mean()) * chosen.steps)
    tables = {name: count for name, count in disk_use(run).items() if name in run.tables()}
    marks = recorded(chosen) * size.places
    noted = sum(tables.values()) / marks if marks else 0.0
    kept = 0.0
    if run.checkpoints():  # of the last one, because before the first step there is no momentum
        files = run.checkpoint_path(), run.state_path()
        kept = float(sum(path.stat().st_size for path in files if path))
    ends = float(took.min()), float(took.max())
    return Pace(chosen, size, float(took.mean()), *ends, rest / evaluations(chosen), kept, noted)


def evaluations(experiment: Experiment) -> int:
    """How often a net is evaluated: every so many steps, and on test and training images at the end."""
    return math.ceil(experiment.steps / experiment.eval_every) + 2


def recorded(experiment: Experiment) -> int:
    """How many steps are recorded, at most."""
    if experiment.record == "none":
        return 0
    if experiment.record == "every":
        return math.ceil(experiment.steps / experiment.record_every)
    return min(experiment.record_points, experiment.steps)


def kept_of(experiment: Experiment) -> int:
    """How many checkpoints are kept, at most; log-spaced ones end with the last, which is kept in any case."""
    spaced = experiment.checkpoints
    return min(spaced if spaced > 1 else spaced + 1, experiment.steps + 1)


def same_net(one: Experiment, other: Experiment) -> bool:
    """Whether two experiments train the same net on images of one size; weights and recipe may differ."""
    return net_key(one) == net_key(other)


def net_key(experiment: Experiment) -> tuple[Any, ...]:
    """What tells nets apart as far as their cost goes."""
    options: Mapping[str, Any] = experiment.net_options()
    unlike = sorted((name, str(value)) for name, value in options.items() if name != "init")
    return (*unlike, *(getattr(experiment, name) for name in NET))


def witnesses(experiment: Experiment, paces: Sequence[Pace]) -> list[Pace]:
    """The trainings that say most about another one: of its net, else two nets of its family, else all."""
    device = experiment.device  # "auto" is this machine's usual one
    alike = [pace for pace in paces if device in (pace.experiment.device, "auto") or pace.experiment.device == "auto"]
    same = [pace for pace in alike if same_net(pace.experiment, experiment)]
    if len(same) >= LEAST:
        return same
    family = [pace for pace in alike if pace.experiment.family == experiment.family]
    return family if _nets(family) >= LEAST else alike


def _nets(paces: Sequence[Pace]) -> int:
    return len({net_key(pace.experiment) for pace in paces})


def are_enough(experiment: Experiment, asked: Sequence[Pace]) -> bool:
    """Whether trainings differ in what there is to be told: seeds of one net say nothing of how nets differ."""
    same = all(same_net(pace.experiment, experiment) for pace in asked)
    return (len(asked) if same else _nets(asked)) >= LEAST


def expected(experiment: Experiment, size: Size, paces: Sequence[Pace]) -> Cost | None:
    """What a training will take, by others; None where they are not enough.

    Args:
        experiment: The training.
        size: Of its net.
        paces: Of other trainings on this machine.
    """
    asked = witnesses(experiment, paces)
    if not are_enough(experiment, asked):
        return None
    same = all(same_net(each.experiment, experiment) for each in asked)
    told: dict[object, list[float]] = {}  # of one net each run; else each net, by the mean of its runs
    for number, each in enumerate(asked):
        seconds = _seconds(experiment, size, each, each.step)
        told.setdefault(number if same else net_key(each.experiment), []).append(math.log(seconds))
    logs = [statistics.fmean(each) for each in told.values()]
    reach = float(stdtrit(len(logs) - 1, (1 + COVERED) / 2)) * statistics.stdev(logs) * math.sqrt(1 + 1 / len(logs))
    middle = statistics.fmean(logs)
    whose = "of this net" if same else f"of {len(logs)} nets"
    by = f"{len(asked)} runs {whose} on this machine"
    return Cost(math.exp(middle - reach), math.exp(middle + reach), _room(experiment, size, asked), by)


def trial_of(experiment: Experiment) -> Experiment:
    """The same experiment, but a few steps of it, for a timing."""
    often = min(experiment.record_every, SPARSE)  # as rarely as it would be, if that is twice at all
    record = "none" if experiment.record == "none" else "every"
    short = {"steps": STEPS, "warmup_steps": 0, "eval_every": STEPS, "checkpoints": 1}
    return experiment.but(seed=0, **short, record=record, record_every=often, learning_rate=CALM)


def timed(experiment: Experiment, trial: Pace) -> Cost:
    """What a training will take by a few steps of it."""
    low, high = (_seconds(experiment, trial.size, trial, step) for step in (trial.quickest, trial.slowest))
    return Cost(low, high, _room(experiment, trial.size, [trial]), f"a timing of {trial.experiment.steps} steps")


def _seconds(experiment: Experiment, size: Size, other: Pace, step: float) -> float:
    """Seconds of a training whose steps take as long as those of another, for each multiply-add of its images."""
    an_image = size.multiply_adds / other.size.multiply_adds
    a_step = an_image * experiment.batch_size / other.experiment.batch_size
    return step * a_step * experiment.steps + other.evaluation * an_image * evaluations(experiment)


def _room(experiment: Experiment, size: Size, asked: Sequence[Pace]) -> float:
    """Bytes: checkpoints grow with the parameters, the record with places and recorded steps."""
    kept = statistics.median(each.kept / max(1, each.size.parameters) for each in asked)
    noted = statistics.median(each.noted for each in asked)
    return kept * size.parameters * kept_of(experiment) + noted * size.places * recorded(experiment)


def together(costs: Sequence[Cost], at_once: int) -> Cost:
    """What several trainings take of which so many compute at a time; as if each were as quick as alone."""
    width = min(at_once, len(costs))
    low = max(sum(each.low for each in costs) / width, *(each.low for each in costs), 0.0)
    high = max(sum(each.high for each in costs) / width, *(each.high for each in costs), 0.0)
    return Cost(low, high, sum(each.room for each in costs), costs[0].by)


def in_words(found: Sequence[Cost], at_once: int) -> str:
    """What trainings will take: "About 4 to 9 min and 12 MB on the disk, by 3 runs of this net on this machine"."""
    whole = together(found, at_once)
    several = f" for {len(found)} runs, {min(at_once, len(found))} at a time," if len(found) > 1 else ""
    sources = listed(dict.fromkeys(cost.by for cost in found))
    return f"About {span(whole.low, whole.high)}{several} and {room(whole.room)} on the disk, by {sources}."


def span(low: float, high: float) -> str:
    """Two times as one says them: "4 to 9 min", "20 s to 2 min"; one where they are equal."""
    ends = [_rounded(seconds) for seconds in (low, high)]
    (first, unit), (last, other) = ends
    if ends[0] == ends[1]:
        return f"{first} {unit}"
    return f"{first} to {last} {unit}" if unit == other else f"{first} {unit} to {last} {other}"


def _rounded(seconds: float) -> tuple[str, str]:
    """A time to two digits, in the unit in which it is said."""
    for unit, size in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            return _two(seconds / size), unit
    return _two(max(seconds, 1.0)), "s"


def _two(value: float) -> str:
    return (
        f"{value:.1f}".removesuffix(".0") if value < 10 else f"{round(value, 1 - math.floor(math.log10(value))):,.0f}"
    )


def room(count: float) -> str:
    """Bytes in the unit in which one says them."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{_two(count / size)} {unit}"
    return f"{_two(max(1.0, count / 1e3))} kB"
