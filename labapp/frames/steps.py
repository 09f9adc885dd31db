"""Which recorded step stands for the one that was asked for?

Always the nearest one, the earlier of two.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from labapp.config import LabError
from labapp.store import Run

Read = Callable[[Run, str, int], pd.DataFrame]  # run, quantity and step to the table of a probe


def nearest_step(run: Run, name: str, step: int) -> int:
    """The step at which a quantity was measured that is nearest to `step`, the earlier of two."""
    there = run.probes().get(name, [])
    if not there:
        raise LabError(f"run '{run.id}' has no probe '{name}'; `labapp probe {run.id}` makes one")
    return min(there, key=lambda at: (abs(at - step), at))


def at_nearest_step(table: pd.DataFrame, step: int) -> pd.DataFrame:
    """The rows of a table with run and step: of each run those of its step nearest to `step`, the earlier of two."""
    steps = table[["run", "step"]].drop_duplicates().sort_values("step", kind="stable")
    distance = (steps["step"] - step).abs()
    return table.merge(steps.loc[distance.groupby(steps["run"]).idxmin()], on=["run", "step"])
