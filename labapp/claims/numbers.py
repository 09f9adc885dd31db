"""Which numbers of a run do claims speak of?

Each is one number a run, read from its records or from a probe that was measured on it; what is not there raises
`Missing` with the words after "there is no", so that a claim can say what it lacks.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from labapp.claims.claim import Missing
from labapp.config import LabError
from labapp.frames.compare.reading import read_compared
from labapp.frames.gradients import gradient_ratio, layer_panels
from labapp.frames.training import held_out
from labapp.probes.catalogue import PLAN
from labapp.store import Run

LAST = -1  # the last step that was recorded
LEAST = 45.0  # decades below 1 at which float32 ends (its least positive number is 1.4e-45)
TENTH = 10  # of a training: over so much of its end a batch's error is averaged


def training_error(run: Run) -> float:
    """Share of training images that are told wrongly, over the batches of the last tenth of the steps."""
    right = run.steps(columns=["step", "accuracy"]).sort_values("step")["accuracy"].to_numpy(float)
    if not len(right) or np.isnan(right).all():
        raise Missing(f"training accuracy in {run.id}")
    return float(1 - right[-max(1, len(right) // TENTH) :].mean())


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
    panel = layer_panels([run])[0]
    if not len(panel.recorded) or (step == 0 and panel.recorded[0] != 0):
        raise Missing(f"gradient recorded at step {step} in {run.id}")
    ratios = gradient_ratio(panel.rows(panel.recorded[[0 if step == 0 else -1]]).assign(run=""))["ratio"]
    value = float(ratios.iloc[0]) if len(ratios) else math.nan
    if value == 0:
        return -LEAST
    return math.log10(value) if value > 0 and math.isfinite(value) else math.nan


def responses(run: Run) -> pd.Series:
    """log10 of the standard deviation of each layer's response at the last recorded step, in the order of layers."""
    rows = read_compared(run, "output_std")
    rows = rows[rows["usual"].astype(bool)]
    if rows.empty:
        raise Missing(f"responses of layers in {run.id}")
    rows = rows[rows["step"] == rows["step"].max()].sort_values("depth")
    return pd.Series(np.log10(rows["value"].to_numpy(float)), index=rows["layer"])


def parameters(run: Run) -> float:
    """Trained numbers of the net."""
    return float(probe(run, "architecture", PLAN)["parameters"].sum())


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
