"""What is the last number of a column? Told without the tools that read whole tables, which take half a second to load.

A finished run's table is one file. Where it is not, or cannot be read so, it is read as every table is.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from labapp.config import is_remote
from labapp.store.parquet import UNREADABLE, read_whole
from labapp.store.parts import parts
from labapp.store.run import Run


def last_number(run: Run, table: str, column: str, where: Mapping[str, str]) -> float:
    """The number in the last row of a run's table that has these words; NaN where there is none.

    Args:
        run: A run.
        table: As in `Run.table`.
        column: Of numbers.
        where: The word of each column, as {"split": "test"}.
    """
    found = _one_file(run.path / table, [column, *where]) or run.arrow(table, [column, *where])
    for row in reversed(found.to_pylist()):
        if all(row[name] == word for name, word in where.items()):
            return math.nan if row[column] is None else float(row[column])
    return math.nan


def _one_file(folder: Path, columns: list[str]) -> pa.Table | None:
    if is_remote(folder):  # it may have to be fetched
        return None
    there = parts(folder)
    with contextlib.suppress(*UNREADABLE):  # whoever reads the table says what is wrong with it
        if len(there) == 1 and not there[0].fresh:
            return read_whole(there[0].path, columns)
    return None
