"""Which recorded step stands for the one that was asked for?

The nearest one, the earlier of two, and only if it is near: within `TOLERANCE` of the step asked for, so that step 0,
the initialisation, is stood for by no other. A run without such a step is left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from labapp.config import LabError
from labapp.store import Run

# A training changes by the ratio of steps (their logarithm), not by their difference, so the tolerance is a share.
# A tenth: of runs recorded every 5th and every 10th step all are shown from step 50 on, and before it only where both
# were recorded. In a tenth of its steps an annealed rate changes by at most a sixth of its peak.
TOLERANCE = 0.1
Read = Callable[[Run, str, int], pd.DataFrame]  # run, quantity and step to the table of a probe


def near(steps: Iterable[int], step: int) -> int | None:
    """The one of these steps that stands for `step`; None where none is within the tolerance."""
    there = np.fromiter(steps, np.int64)
    if not len(there):
        return None
    nearest = _nearest(there, step)
    return nearest if abs(nearest - step) <= TOLERANCE * step else None


def _nearest(steps: np.ndarray, step: float) -> int:
    """The step that is nearest, the earlier of two."""
    return int(steps[np.lexsort((steps, np.abs(steps - float(step))))[0]])  # any number may be asked for


def near_step(run: Run, name: str, step: int) -> int | None:
    """The step at which a quantity was measured that stands for `step`; None where none does.

    Raises:
        LabError: If it was not measured at all.
    """
    there = run.probes().get(name, [])
    if not there:
        raise LabError(f"run '{run.id}' has no probe '{name}'; `labapp probe {run.id}` makes one")
    return near(there, step)


def at_near_step(table: pd.DataFrame, step: int) -> pd.DataFrame:
    """The rows of a table with run and step: of each run those of the step that stands for `step`, if any does."""
    own = {run: near(rows, step) for run, rows in _steps_of(table).items()}
    return table[table["step"] == table["run"].astype(object).map(own).astype(float)]


def standing(table: pd.DataFrame, step: int) -> pd.DataFrame:
    """Where each run of a table stands when `step` is asked for.

    Returns:
        run, step (its recorded step that stands for the one asked for, NaN where it is left out), nearest (its nearest
        recorded step, the earlier of two).
    """
    rows = [(run, near(steps, step), _nearest(steps, step)) for run, steps in _steps_of(table).items()]
    return pd.DataFrame(rows, columns=["run", "step", "nearest"])


def middle_step(table: pd.DataFrame) -> int:
    """The recorded step nearest to half of what the runs of a table have recorded, of which the median is taken.

    So one run that was broken off early does not make the others be shown early.
    """
    steps = _steps_of(table)
    half = statistics.median(int(own.max()) for own in steps.values()) / 2
    return _nearest(np.concatenate(list(steps.values())), half)


def moment(table: pd.DataFrame, last: bool) -> pd.DataFrame:
    """The rows of each run at its last recorded step, or at step 0, the initialisation, if it was recorded."""
    if last:
        return table[table["step"] == table.groupby("run")["step"].transform("max")]
    return table[table["step"] == 0]


def together(table: pd.DataFrame, by: Sequence[str] = ("net",)) -> pd.DataFrame:
    """Of the runs of each net, those that stand at the step where most of them do, the later of two: a mean is of one.

    Args:
        table: With the columns run and step, one step a run, and those of `by`.
        by: What is averaged over runs.
    """
    at = table.drop_duplicates([*by, "run"]).groupby([*by, "step"], as_index=False).agg(runs=("run", "size"))
    chosen = at.sort_values(["runs", "step"]).drop_duplicates(list(by), keep="last")
    return table.merge(chosen[[*by, "step"]], on=[*by, "step"])


def averaged(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows that can be averaged over the seeds of each net: at steps that all of them have.

    Args:
        table: With the columns run, net, status, split and step.

    Returns:
        The rows; and the runs that were left out: broken off or diverged ones of a net that has finished ones.
    """
    finished = table["status"] == "finished"
    some = finished.groupby(table["net"]).transform("any")
    kept = table[finished | ~some]
    seeds = kept.groupby("net")["run"].transform("nunique")
    here = kept.groupby(["net", "split", "step"])["run"].transform("nunique")
    return kept[here == seeds], sorted(set(table["run"]) - set(kept["run"]))


def _steps_of(table: pd.DataFrame) -> dict[str, np.ndarray]:
    pairs = table[["run", "step"]].drop_duplicates()
    return {str(run): rows.to_numpy(int) for run, rows in pairs.groupby("run", sort=False, observed=True)["step"]}
