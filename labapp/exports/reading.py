"""In which pieces is a table of a run read, so that a long one is never in memory whole?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from labapp.config import LabError
from labapp.store import Run

ROWS = 200_000  # of a piece, about


def pieces(
    run: Run, table: str, columns: Sequence[str] | None = None, layers: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """The rows of a table in order of steps, some steps at a time; what is written meanwhile is not waited for.

    Args:
        run: The run.
        table: The table's name.
        columns: What to read; all by default.
        layers: Only the rows of these.
    """
    where = {"layer": list(layers)} if layers is not None else None
    try:
        steps = np.sort(run.table(table, ["step"], where)["step"].to_numpy())
    except LabError:  # a table of somebody's own without steps
        yield run.table(table, columns)
        return
    at = 0
    while at < len(steps):
        first = steps[at]
        last = steps[min(at + ROWS, len(steps)) - 1]
        rows = run.table(table, columns, where, steps=slice(int(first), int(last) + 1))
        yield rows.sort_values("step", kind="stable")
        at = int(np.searchsorted(steps, last, side="right"))


def columns_of(run: Run, table: str) -> pd.DataFrame:
    """A table without its rows: its columns with their types."""
    try:
        return run.table(table, steps=-1)
    except LabError:
        return run.table(table).head(0)
