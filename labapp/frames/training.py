"""Did the nets train?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from labapp.frames.comparisons import comparable_of
from labapp.frames.gradients import gradient_ratio, layer_panels
from labapp.frames.grids import ReadGrid
from labapp.frames.runs import IDENTITY, describe, identities
from labapp.frames.slopes import gradient_slope
from labapp.frames.thinning import MARKS, joined, means, spaced
from labapp.store import Run

SUMMARY = {  # column: meaning
    "step": "steps done",
    "steps": "steps asked for",
    "loss": "training loss, mean of the last tenth of the steps",
    "accuracy": "last test accuracy, a fraction",
    "best_accuracy": "best test accuracy, a fraction",
    "ratio_start": "first over last layer's gradient norm at the first recorded step",
    "ratio_end": "the same at the last recorded step",
    "slope_start": "slope of log10 gradient norm a layer at the first recorded step",
    "slope_end": "the same at the last recorded step",
    "seconds": "time of training",
    "recorder_cost": "what recording added, as a share of what training alone took",
    "cpu_cost": "the same in processor time, in which waiting for a core does not count",
    "cpu_low": "lower end of its 95 % interval",
    "cpu_high": "upper end of its 95 % interval",
    "message": "why it ended",
}


def overview(runs: Sequence[Run], read: Callable[[Run], dict[str, Any]] | None = None) -> pd.DataFrame:
    """How did each run end, in one row a run?

    Returns:
        The columns of `describe`, then comparable (what a comparison has to name, see `comparisons`), then those of
        `summary`.
    """
    read = read or summary
    table = describe(runs)
    rows = pd.DataFrame([read(run) for run in runs], columns=list(SUMMARY))
    settings: Any = [comparable_of(run) for run in runs]
    return pd.concat([table.assign(comparable=settings), rows], axis=1)


def summary(run: Run, read: ReadGrid | None = None) -> dict[str, Any]:
    """The summary of a run; the keys are those of `SUMMARY`, NaN where the run holds no such number.

    Args:
        run: Any.
        read: Reads its layers; `read_grid` when left out.
    """
    done, asked = run.progress
    losses = run.steps(columns=["step", "loss"])
    tests = held_out(run)["accuracy"].to_numpy(float)
    panel = layer_panels([run], read=read)[0]
    ends = panel.rows(panel.recorded[[0, -1]] if len(panel.recorded) > 1 else panel.recorded).assign(run="")
    slopes = gradient_slope(ends)
    ratios = gradient_ratio(ends)
    last = losses["loss"].tail(max(1, len(losses) // 10))
    return {
        "step": done,
        "steps": asked,
        "loss": float(last.mean(skipna=False)) if len(last) else np.nan,
        "accuracy": float(tests[-1]) if tests.size else np.nan,
        "best_accuracy": float(np.nanmax(tests)) if np.isfinite(tests).any() else np.nan,
        "ratio_start": _at(ratios["ratio"], 0),
        "ratio_end": _at(ratios["ratio"], -1),
        "slope_start": _at(slopes["slope"], 0),
        "slope_end": _at(slopes["slope"], -1),
        "seconds": run.seconds,
        "recorder_cost": recorder_cost(run, "share"),
        "cpu_cost": recorder_cost(run, "cpu_share"),
        "cpu_low": recorder_cost(run, "cpu_share_low"),
        "cpu_high": recorder_cost(run, "cpu_share_high"),
        "message": run.message,
    }


def recorder_cost(run: Run, name: str) -> float:
    """One of the recorder's own measures of what it added to training; NaN where it has none."""
    share = run.recorder.get(name)
    return float(share) if isinstance(share, int | float) else np.nan


def curves(runs: Sequence[Run], read: Callable[[Run], pd.DataFrame] | None = None, marks: int = MARKS) -> pd.DataFrame:
    """Loss, accuracy and error over steps.

    Returns:
        The columns of `IDENTITY`, then step, split ("train": the batch; "test": held out), loss, accuracy, error
        (fractions; error = 1 − accuracy), nonfinite (losses in this row that are not finite), step_first, step_last,
        low, high (of the steps that a row is of: first, last, least and greatest loss), bad_step, bad (the first loss
        of them that is not finite, and its step). At most `marks` rows of each split: training rows become means over
        equal stretches of steps.
    """
    read = read or read_curves
    parts = []
    for run, who in zip(runs, identities(runs), strict=True):
        table = read(run)
        share = max(2, marks // max(1, len(runs)))
        train, test = (table[table["split"] == split] for split in ("train", "test"))
        test = spaced(test, share)
        parts.append(pd.concat([means(train, share), means(test, len(test))], ignore_index=True).assign(**who))
    columns = [*IDENTITY, "step", "split", "loss", "accuracy", "error", "nonfinite"]
    columns += ["step_first", "step_last", "low", "high", "bad_step", "bad"]
    return joined(parts, columns)


def read_curves(run: Run) -> pd.DataFrame:
    """Training and held-out curves of a run: step, split, loss, accuracy, error, nonfinite; one row a measurement."""
    train = _written(run, run.steps(columns=["step", "loss", "accuracy"]), "loss").assign(split="train")
    test = _written(run, held_out(run), "accuracy").assign(split="test")
    table = pd.concat([train, test], ignore_index=True)
    loss = table["loss"].to_numpy(float)
    return table.assign(error=1 - table["accuracy"], nonfinite=(~np.isfinite(loss)).astype(int))


def _written(run: Run, table: pd.DataFrame, what: str) -> pd.DataFrame:
    """The table, but nothing of a run that never wrote it down: others' loops may keep the rate alone, say."""
    return table if table[what].notna().any() or run.status == "diverged" else table.iloc[:0]


def held_out(run: Run) -> pd.DataFrame:
    """The held-out evaluations of a run: step, loss, accuracy, in order of steps."""
    table = run.evals(columns=["step", "split", "loss", "accuracy"])
    return table[table["split"] == "test"].drop(columns="split").sort_values("step", ignore_index=True)


def _at(values: pd.Series, place: int) -> float:
    return float(values.iloc[place]) if len(values) else np.nan
