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
        greatest loss of them, so that a spike survives the mean), bad_step (the first of them whose loss is not finite,
        NaN where all are), bad (that loss).
    """
    bad = ~np.isfinite(table["loss"].astype(float))
    table = table.assign(bad_step=table["step"].where(bad), bad=table["loss"].where(bad))
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
        bad_step=("bad_step", "min"),
    )
    first = table.set_index("step")["bad"]
    steps["bad"] = steps["bad_step"].map(first[~first.index.duplicated()])
    loss = finite["loss"].groupby(stretch).agg(low="min", high="max")
    return finite.groupby(stretch).mean().join([steps, loss]).assign(split=table["split"].iloc[0])


def spaced(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    """At most `rows` rows, evenly spaced, first and last kept; what is not finite is left out last."""
    if len(table) <= rows:
        return table
    value = next((name for name in ("value", "loss", "slope") if name in table), None)
    bad = np.zeros(len(table), bool) if value is None else ~np.isfinite(table[value].to_numpy(float))
    kept = evenly(np.flatnonzero(bad), rows // 2)
    return table.iloc[
        np.union1d(kept, evenly(np.flatnonzero(~bad) if len(kept) else np.arange(len(table)), rows - len(kept)))
    ]


def evenly(places: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the places, the first and the last among them."""
    if len(places) <= most:
        return places
    return places[np.unique(np.linspace(0, len(places) - 1, most).round().astype(int))]


def bins(length: int, most: int) -> np.ndarray:
    """To which of at most `most` nearly equal stretches does each of `length` things belong?"""
    return np.arange(length) * min(most, length) // max(1, length)


def joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """Tables of several runs as one, with these columns also where there is nothing."""
    filled = [part[columns] for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=columns)
