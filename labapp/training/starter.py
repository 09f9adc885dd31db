"""What does the lab show first? Six nets, the same images in the same order, the same recipe.

Plain nets get worse with depth and residual ones do not (He et al. 2015, Fig. 6); a DenseNet-BC of about the same
depth and a small VGG stand beside them. Warm-up and cosine are for all: residual-56 of this width needs a long warm-up
to start from every seed (with 60 steps one of three stayed at chance), as He et al. found for ResNet-110 (§4.2).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from labapp.config import STARTER_RECIPE as RECIPE
from labapp.config import Experiment, LabError
from labapp.store import Run, list_runs, look, resume_points, why_not_resumed

STARTER = (
    Experiment(family="plain", depth=20, width=8, record_every=5, **RECIPE),
    Experiment(family="residual", depth=20, width=8, record_every=5, **RECIPE),
    Experiment(family="plain", depth=56, width=8, record_every=5, **RECIPE),
    Experiment(family="residual", depth=56, width=8, record_every=5, **RECIPE),
    Experiment(family="dense", depth=40, bottleneck=True, compression=0.5, growth_rate=8, record_every=5, **RECIPE),
    Experiment(family="vgg", depth=11, width=8, record_every=5, **RECIPE),
)


class Result(NamedTuple):
    """How one of the five ended: its run, or why there is none."""

    experiment: Experiment
    run: Run | None
    fault: str = ""


def finished(experiments: Sequence[Experiment], root: str | Path) -> dict[Experiment, Run]:
    """Which experiments have a finished run in the archive, the newest of each."""
    try:
        there = look(root)
    except LabError:  # no archive yet
        return {}
    ended = [entry for entry in there.entries if entry.status == "finished" and entry.experiment in experiments]
    return {entry.experiment: there.run(entry) for entry in reversed(ended)}


def resumable(experiments: Sequence[Experiment], root: str | Path) -> dict[Experiment, Run]:
    """Which experiments have a run that was interrupted and has a state to go on from, the newest of each."""
    try:
        runs = [run for run in list_runs(root) if run.experiment in experiments and not why_not_resumed(run)]
    except LabError:  # no archive yet
        return {}
    return {run.experiment: run for run in reversed(runs) if any(not each.problem for each in resume_points(run.path))}


# Seconds on one core of an AVX-512 machine, of training and of measuring what pages show: only proportions matter,
# for the order of work and the time that is left.
COSTS = {
    "plain-20": (10.0, 3.0),
    "residual-20": (11.0, 4.0),
    "plain-56": (30.0, 8.0),
    "residual-56": (32.0, 14.0),
    "dense-40": (45.0, 12.0),
    "vgg-11": (5.0, 3.0),
}


def seconds(experiment: Experiment) -> tuple[float, float]:
    """What training and measuring a net of the starter costs; for any other, an average."""
    return COSTS.get(experiment.name, (20.0, 10.0))
