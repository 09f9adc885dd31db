"""How is a long table made short enough to draw, without distorting it?

By means over equal stretches, or by leaving out evenly; the first and the last stay.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

MARKS = 2000  # more marks than these are aggregated before drawing


def thinned(table: pd.DataFrame, marks: int = MARKS) -> pd.DataFrame:
    """The same table with at most `marks` rows: of each run evenly spaced ones, first and last kept."""
    share = max(2, marks // max(1, table["run"].nunique()))
    parts = [spaced(part, share) for _, part in table.groupby("run", sort=False)]
    return pd.concat(parts, ignore_index=True) if parts else table


def means(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Means over at most `rows` stretches of equal length; what is not finite is counted, not averaged.

    Returns:
        The columns of the table, and step_first, step_last (the steps that a row is of), low, high (the least and the
        greatest loss of them, so that a spike survives the mean).
    """
    if len(table) <= rows:
        return table.assign(step_first=table["step"], step_last=table["step"], low=table["loss"], high=table["loss"])
    stretch = bins(len(table), rows)
    numbers = table[["loss", "accuracy", "error"]].astype(float)
    finite = numbers.where(np.isfinite(numbers))
    steps = table.groupby(stretch).agg(
        step=("step", "median"),
        step_first=("step", "min"),
        step_last=("step", "max"),
        nonfinite=("nonfinite", "sum"),
    )
    loss = finite["loss"].groupby(stretch).agg(low="min", high="max")
    return finite.groupby(stretch).mean().join([steps, loss]).assign(split=table["split"].iloc[0])


def spaced(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    """At most `rows` rows, evenly spaced, first and last kept."""
    if len(table) <= rows:
        return table
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, rows).round().astype(int))]


def bins(length: int, most: int) -> np.ndarray:
    """To which of at most `most` nearly equal stretches does each of `length` things belong?"""
    return np.arange(length) * min(most, length) // max(1, length)


def joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """Tables of several runs as one, with these columns also where there is nothing."""
    filled = [part[columns] for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=columns)
