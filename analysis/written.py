"""How does the table of a figure become text and a table again, and what does a figure's file say of itself?

Numbers have six digits, whole ones all of them; text that was not told is "", a number that was not is NaN, on either
side. A figure's metadata is read off its table, so a figure that is drawn again says the same.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import numpy as np
import pandas as pd

import labapp

INCOMPLETE = "incomplete"  # the column, in the first row, of what was damaged or missing in the runs
TEXT = (
    "experiment",
    "net",
    "run",
    "layer",
    "target_class",
    "predicted_class",
    "said",
    INCOMPLETE,
)  # also where all of them look like numbers


def written(table: pd.DataFrame) -> str:
    """The text of a CSV, the same for what `read_table` makes of it."""
    whole = {name: column.astype("Int64") for name, column in table.items() if _whole(column)}
    return table.assign(**whole).to_csv(index=False, float_format="%.6g", lineterminator="\n")


def _whole(column: pd.Series) -> bool:
    """Whether all numbers that there are are whole ones, such as a step of rows some of which have none."""
    if column.dtype.kind != "f":
        return False
    known = column.dropna().to_numpy(float)
    return bool(np.isfinite(known).all() and (known == known.round()).all() and (np.abs(known) < 2**53).all())


def read_table(text: str) -> pd.DataFrame:
    """The table that a text holds."""
    table = pd.read_csv(
        io.StringIO(text), dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""], low_memory=False
    )
    words = {name: column.fillna("") for name, column in table.items() if column.dtype.kind not in "fiub"}
    return table.assign(**words)


def incomplete(table: pd.DataFrame, sentences: Sequence[str]) -> pd.DataFrame:
    """The table with sentences about what is missing or damaged in the runs; as it is where there are none."""
    if not sentences or table.empty:
        return table
    return table.assign(**{INCOMPLETE: ["\n".join(sentences), *[""] * (len(table) - 1)]})


def notes(table: pd.DataFrame) -> list[str]:
    """The sentences that `incomplete` put in."""
    return str(table[INCOMPLETE].iloc[0]).splitlines() if INCOMPLETE in table else []


def signed(name: str, table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """What a figure's files say of themselves, by format: which figure, configuration hash, seeds, version.

    The hash is of the digests of all experiments of the table, so equal configurations have equal ones.

    Args:
        name: Of the figure.
        table: With the columns experiment (digests, with blanks between several) and seed (or seeds) where rows are of
            runs.
    """
    digests, seeds = (_words(table, column) for column in ("experiment", "seed"))
    told = [f"figure {name} of labapp {labapp.__version__}"]
    if digests:
        content = hashlib.sha256(" ".join(digests).encode()).hexdigest()[:12]
        told.append(f"configuration {content} ({len(digests)} experiments)")
    if seeds:
        told.append(f"seeds {', '.join(sorted(seeds, key=lambda seed: (len(seed), seed)))}")
    maker, about = f"labapp {labapp.__version__}", "; ".join(told)
    return {
        "png": {"Title": name, "Description": about, "Software": maker},
        "svg": {"Title": name, "Description": about, "Creator": maker},
        "pdf": {"Title": name, "Subject": about, "Creator": maker},
    }


def _words(table: pd.DataFrame, column: str) -> list[str]:
    """The different words of a column, in their order."""
    if column not in table:
        return []
    return sorted({word for cell in table[column].dropna().unique() for word in _plain(cell).split()})


def _plain(cell: object) -> str:
    return f"{cell:g}" if isinstance(cell, float) else str(cell)
