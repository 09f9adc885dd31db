"""At which moment of its training does a figure show a run? At initialisation, or at its end.

What is averaged over seeds is of one step, and an end is the end of a training that has ended.
"""

from __future__ import annotations

import sys

import pandas as pd

from labapp import frames
from labapp.config import LabError, listed

MOMENTS = {"initialisation": False, "end of training": True}  # whether it is the last one
ENDED = ("finished", "diverged")


def at_moment(table: pd.DataFrame, last: bool) -> pd.DataFrame:
    """The rows of one moment; one line to standard error about runs that have none, or stand at another step.

    Args:
        table: With the columns run, net, status and step.
        last: The last recorded step of each run that has ended; else step 0.

    Raises:
        LabError: If no run has such a moment.
    """
    able = table[table["status"].isin(ENDED)] if last else table
    rows = frames.together(frames.moment(able, last))
    what = "end of training" if last else "initialisation"
    if rows.empty:
        raise LabError(f"none of these runs has recorded its {what}; record one with `labapp train`")
    if gone := sorted(set(table["run"]) - set(rows["run"])):
        why = "not at its end, or at another step than the other seeds" if last else "step 0 was not recorded"
        print(f"left out at the {what}: {listed(gone)} ({why})", file=sys.stderr)  # noqa: T201
    return rows


def when(rows: pd.DataFrame) -> str:
    """The step of these rows in words."""
    steps = sorted(rows["step"].unique())
    return f"step {steps[0]:,}" if len(steps) == 1 else f"last recorded steps, {steps[0]:,} to {steps[-1]:,}"


def whole(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that can be averaged over the seeds of each net: at steps that all of them have.

    Of a net with finished runs those that were broken off or diverged are left out, with a line to standard error.

    Args:
        table: With the columns run, net, status, split and step.
    """
    kept, gone = frames.averaged(table)
    if gone:
        print(f"left out of the means: {listed(gone)}, which did not finish", file=sys.stderr)  # noqa: T201
    return kept
