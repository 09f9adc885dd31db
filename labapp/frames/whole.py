"""What did whole steps do: how large was the gradient, what of it was used, at which rate and speed?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from labapp.frames.runs import IDENTITY, identities
from labapp.frames.thinning import MARKS, bins, joined
from labapp.store import Run

OF_STEPS = {  # quantity: the column of `steps` that holds it
    "train_accuracy": "accuracy",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
    "seconds": "seconds",
    "grad_norm": "grad_norm",
}
OF_TOTALS = ("grad_norm", "grad_norm_used", "loss_scale", "skipped")


def whole_steps(
    runs: Sequence[Run], read: Callable[[Run, int], pd.DataFrame] | None = None, marks: int = MARKS
) -> pd.DataFrame:
    """Numbers of whole steps.

    Returns:
        The columns of `IDENTITY`, then step, quantity (of `OF_STEPS` and `OF_TOTALS`), value; at most `marks` rows a
        quantity: of each stretch of steps the least and the greatest value, and one that is not finite. The gradient's
        norm is that of every step where it was written down; else that of the recorded steps.
    """
    read, share = read or read_whole_steps, marks // max(1, len(runs))
    parts = [read(run, share).assign(**who) for run, who in zip(runs, identities(runs), strict=True)]
    return joined(parts, [*IDENTITY, "step", "quantity", "value"])


def read_whole_steps(run: Run, marks: int = MARKS) -> pd.DataFrame:
    """The same of one run, without its identity: step, quantity, value."""
    steps = run.steps(columns=["step", *OF_STEPS.values()])
    parts = {name: steps[["step", column]].set_axis(["step", "value"], axis=1) for name, column in OF_STEPS.items()}
    if "totals" in run.tables():
        totals = run.table("totals", columns=["step", *OF_TOTALS])
        for name in OF_TOTALS:
            if name == "grad_norm" and parts[name]["value"].notna().any():
                continue
            rows = totals[["step", name]].set_axis(["step", "value"], axis=1)
            parts[name] = rows.assign(value=rows["value"].cumsum()) if name == "skipped" else rows
    kept = []
    for name, rows in parts.items():
        rows = rows.astype({"value": float})
        if name == "grad_norm_used":  # NaN where nothing came between, which is no measurement
            rows = rows[rows["value"].notna()]
        if rows["value"].notna().any() or (name == "grad_norm" and run.status == "diverged"):
            kept.append(outermost(rows, marks).assign(quantity=name))
    return joined(kept, ["step", "quantity", "value"])


def outermost(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most about `most` rows with the column value: the least, the greatest and an ill one of each stretch."""
    if len(rows) <= most:
        return rows
    rows = rows.reset_index(drop=True)
    stretch = pd.Series(bins(len(rows), max(1, most // 3)))
    value = rows["value"].astype(float)
    fine = value[np.isfinite(value)]
    own = fine.groupby(stretch[fine.index])
    ill = stretch.drop(fine.index).drop_duplicates()
    return rows.iloc[sorted({0, len(rows) - 1, *own.idxmin(), *own.idxmax(), *ill.index})]
