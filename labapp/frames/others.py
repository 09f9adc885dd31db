"""What did a diagnostic measure of which the lab knows no more than its columns?

One that another package brings, or brought when the run was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from labapp.frames.beyond import states_of
from labapp.frames.checkpoints import PLACE
from labapp.frames.runs import IDENTITY
from labapp.frames.thinning import MARKS, joined, spaced
from labapp.probes.catalogue import CATALOGUE, against_of, others
from labapp.store import Run

REASONS = ("reason", "note")


def other_names(runs: Sequence[Run]) -> list[str]:
    """Diagnostics that are none of the lab's own: of packages that are installed, and others measured of these runs."""
    kept = {name for run in runs for name in run.probes() if name not in CATALOGUE and against_of(name) is None}
    return [*others().specs, *sorted(kept - set(others().specs))]


def numbers_of(rows: pd.DataFrame) -> list[str]:
    """The columns of a table that can be drawn: numbers that are not its place, its run or its step."""
    known = {*IDENTITY, *PLACE, "block"}
    return [str(name) for name in rows.select_dtypes("number").columns if name not in known]


def is_placed(rows: pd.DataFrame) -> bool:
    """Whether a table says how deep its rows stand."""
    return "relative_depth" in rows and pd.api.types.is_numeric_dtype(rows["relative_depth"]) and len(rows) > 0


def by_place(rows: pd.DataFrame, column: str, marks: int = MARKS) -> pd.DataFrame:
    """A column of a table against the depth of its layers.

    Args:
        rows: From `at_checkpoint`, of which `is_placed` holds.
        column: Of `numbers_of`.
        marks: At most so many rows; of more, evenly spaced ones of each run are kept.

    Returns:
        The columns of `IDENTITY` and `PLACE`, then value, note (why there is none), state (of `STATES`).
    """
    columns = [*IDENTITY, *PLACE, "value", "note"]
    said = [rows[name].fillna("").astype(str) for name in REASONS if name in rows]
    note = said[0].where(said[0] != "", said[-1]) if said else ""
    given = rows.assign(value=rows[column].astype(float), note=note)
    given = given.assign(
        **{name: "" if name in ("layer", "kind", "stage") else np.nan for name in PLACE if name not in rows}
    )
    share = max(2, marks // max(1, given["run"].nunique()))
    found = joined([spaced(part, share) for _, part in given.groupby("run", sort=False)], columns)
    return found.assign(state=states_of(found["value"], log=False))
