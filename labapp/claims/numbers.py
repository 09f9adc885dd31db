"""Which numbers of a run do claims speak of?

Each is one number a run, read from its records or from a probe that was measured on it; what is not there raises
`Missing` with the words after "there is no", so that a claim can say what it lacks.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from labapp.claims.claim import Missing
from labapp.claims.kept import kept
from labapp.config import LabError
from labapp.frames.compare.reading import read_compared
from labapp.frames.gradients import ratios_of_ends
from labapp.frames.training import held_out
from labapp.probes.catalogue import PLAN
from labapp.store import Run

LAST = -1  # the last step that was recorded
LEAST = 45.0  # decades below 1 at which float32 ends (its least positive number is 1.4e-45)
TENTH = 10  # of a training: over so much of its end a batch's error is averaged


@kept
def training_error(run: Run) -> float:
    """Share of training images that are told wrongly, over the batches of the last tenth of the steps."""
    right = run.steps(columns=["step", "accuracy"]).sort_values("step")["accuracy"].to_numpy(float)
    if not len(right) or np.isnan(right).all():
        raise Missing(f"training accuracy in {run.id}")
    return float(1 - right[-max(1, len(right) // TENTH) :].mean())


@kept
def accuracy(run: Run) -> float:
    """Share of test images that are told rightly, at the end."""
    tests = held_out(run)["accuracy"].to_numpy(float)
    if not len(tests):
        raise Missing(f"test accuracy in {run.id}")
    return float(tests[-1])


def decades(run: Run, step: int = 0) -> float:
    """log10 of the gradient's norm at the first convolution over that at the last one.

    A gradient that is exactly zero counts as `LEAST` decades below, where float32 ends.
    """
    ends = _ends(run)
    if not ends or (step == 0 and ends[0][0] != 0):
        raise Missing(f"gradient recorded at step {step} in {run.id}")
    _, value = ends[0 if step == 0 else 1]
    if value == 0:
        return -LEAST
    return math.log10(value) if value > 0 and math.isfinite(value) else math.nan


@kept
def _ends(run: Run) -> list[tuple[int, float]]:
    return ratios_of_ends(run)


@kept
def response(run: Run) -> float:
    """log10 of the standard deviation of the median layer's response at the last recorded step."""
    rows = read_compared(run, "output_std")
    rows = rows[rows["usual"].astype(bool)]
    if rows.empty:
        raise Missing(f"responses of layers in {run.id}")
    last = rows.loc[rows["step"] == rows["step"].max(), "value"]
    return float(np.log10(last.astype(float)).median())


@kept
def parameters(run: Run) -> float:
    """Trained numbers of the net."""
    return float(probe(run, "architecture", PLAN)["parameters"].sum())


@kept
def multiply_adds(run: Run) -> float:
    """Of one image."""
    return float(probe(run, "architecture", PLAN)["multiply_adds"].sum())


def probe(run: Run, name: str, step: int = LAST) -> pd.DataFrame:
    """A quantity's table at a step, or at the last one that was measured.

    Raises:
        Missing: It was not measured, or not at that step.
    """
    steps = [at for at in run.probes().get(name, []) if at >= 0]
    at = steps[-1] if step == LAST and steps else step
    if at not in steps:
        when = "" if step == LAST else f" of step {step}"
        raise Missing(f"{name}{when} in {run.id}; `labapp probe {run.id} --quantities {name}` measures it")
    try:
        return run.probe(name, at)
    except LabError as error:
        raise Missing(f"{name} that can be read in {run.id}: {error}") from None
