"""How do the curves of two sides differ: loss, accuracy and what else is of the whole net?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from labapp.frames.compare.contrast import contrast
from labapp.frames.compare.moments import compared_steps
from labapp.frames.compare.quantities import OF_RUNS
from labapp.frames.compare.sides import Side
from labapp.frames.steps import TOLERANCE, near
from labapp.frames.thinning import bins
from labapp.store import Run

ReadSeries = Callable[[Run, str], pd.DataFrame]
STRETCHES = 60  # of a curve; a training loss is of one batch, so it is averaged before it is compared
NUMBERS = [
    *("quantity", "step", "a", "b", "ratio", "low", "high", "difference", "least", "most"),
    *("runs_a", "runs_b", "lost_a", "lost_b", "note"),
]
_BATCH = "steps"  # the table whose rows are of one batch each


def read_series(run: Run, quantity: str) -> pd.DataFrame:
    """A quantity of the whole net: step, value, in order of steps; empty where the run never wrote it down."""
    about = OF_RUNS[quantity]
    if about.table == _BATCH:
        table = run.steps(columns=["step", about.column])
    else:
        table = run.evals(columns=["step", "split", about.column])
        table = table[table["split"] == about.split]
    if quantity == "grad_norm" and table[about.column].isna().all() and "totals" in run.tables():
        table = run.table("totals", columns=["step", "grad_norm"])  # of another loop, which the recorder wrote down
    if table[about.column].isna().all() and run.status != "diverged":
        table = table.iloc[:0]
    table = table.rename(columns={about.column: "value"})[["step", "value"]].astype({"value": float})
    return table.drop_duplicates("step", keep="last").sort_values("step", kind="stable", ignore_index=True)


def course(a: Side, b: Side, quantity: str, read: ReadSeries | None = None) -> pd.DataFrame:
    """How a curve differs while the nets train: B ÷ A and B − A.

    Returns:
        quantity, step, then the fields of `Contrast` and note; one row a recorded step that both sides have, of what is
        written down for each batch a row a stretch of steps (`STRETCHES` of them), of which each run gives its mean.
    """
    read = read or read_series
    tables = [[read(run, quantity) for run in each.runs] for each in (a, b)]
    if OF_RUNS[quantity].table == _BATCH:
        last = max((int(table["step"].max()) for own in tables for table in own if len(table)), default=0)
        tables = [[_stretches(table, last + 1) for table in own] for own in tables]
    return _compared(quantity, *tables)


def ends(a: Side, b: Side, quantity: str, step: int | str = "last", read: ReadSeries | None = None) -> pd.DataFrame:
    """How sides differ in a quantity of the whole net at a step, or at the end; the columns of `course`.

    Args:
        a: One side.
        b: The other.
        quantity: Of `OF_RUNS`.
        step: "last", "any" (every step that both have), or a step. Of what is written down for each batch it is the
            mean over the last tenth of the steps, or over the steps within a tenth of the one asked for.
        read: `read_series`, or the same cached.

    Returns:
        At most one row unless any step is asked for; none where sides ended at steps that do not stand for each other.
    """
    read = read or read_series
    tables = [[read(run, quantity) for run in each.runs] for each in (a, b)]
    if step == "any":
        return _compared(quantity, *tables)
    batches = OF_RUNS[quantity].table == _BATCH
    found = [[_at(table, step, batches) for table in own] for own in tables]
    return _compared(quantity, *found)


def _at(table: pd.DataFrame, step: int | str, batches: bool) -> pd.DataFrame:
    """One row of a series: at its end, or where it stands for a step."""
    if table.empty:
        return table
    if step == "last":
        rows = table.tail(max(1, len(table) // 10) if batches else 1)
        return pd.DataFrame({"step": [table["step"].iloc[-1]], "value": [rows["value"].mean(skipna=False)]})
    at = near(table["step"].astype(int), int(step))
    if at is None:
        return table.iloc[:0]
    rows = table[(table["step"] - int(step)).abs() <= TOLERANCE * int(step)] if batches else table[table["step"] == at]
    return pd.DataFrame({"step": [at], "value": [rows["value"].mean(skipna=False)]})


def _stretches(table: pd.DataFrame, steps: int) -> pd.DataFrame:
    """Means over equal stretches of the steps that any run has, each under its middle step."""
    if table.empty:
        return table
    which = bins(steps, STRETCHES)
    stretch = which[table["step"].to_numpy(int)]
    edges = np.searchsorted(which, np.arange(which[-1] + 2))
    middle = (edges[:-1] + edges[1:] - 1) // 2
    means = table.groupby(stretch)["value"].mean()  # of the finite ones of a stretch
    infinite = ~np.isfinite(table["value"])
    means[infinite.groupby(stretch).any()] = np.nan
    return pd.DataFrame({"step": middle[means.index.to_numpy(int)], "value": means.to_numpy(float)})


def _compared(quantity: str, a: list[pd.DataFrame], b: list[pd.DataFrame]) -> pd.DataFrame:
    taken = compared_steps(a, b)
    if taken.empty:
        return pd.DataFrame(columns=NUMBERS)
    samples = []
    for which, tables in zip("ab", (a, b), strict=True):
        rows = []
        for at, table in enumerate(tables):
            own = np.array([steps[at] for steps in taken[which]])
            values = table.set_index("step")["value"].reindex(own).to_numpy(float)
            rows.append(np.ma.array(values, mask=own < 0))
        samples.append(np.ma.concatenate([each[None] for each in rows]))
    found = contrast(samples[0], samples[1], OF_RUNS[quantity].scale)
    notes = np.select(
        [(found.runs_a == 0), (found.runs_b == 0), (found.lost_a > 0) | (found.lost_b > 0)],
        ["not finite in A", "not finite in B", "not finite in some runs"],
        "",
    )
    rows_of = pd.DataFrame(found._asdict()).assign(quantity=quantity, step=taken["step"].to_numpy(int), note=notes)
    return rows_of[NUMBERS]
