"""How are the values of a layer distributed while it trains: by magnitude, and between which ends?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from labapp.frames.runs import IDENTITY, identities
from labapp.frames.thinning import MARKS, bins, joined
from labapp.store import Run

ZERO, ILL = -127, 128  # exponents under which a recorder keeps zero and subnormal values, and NaN and infinite ones
APART = {ZERO: "zero", ILL: "NaN or infinite"}
BIN = ["layer", "depth", "of", "step", "step_end", "low", "apart", "range", "count", "share"]
FIVE = ["minimum", "lower", "median", "upper", "maximum"]


def layers_with(run: Run, table: str) -> list[str]:
    """The layers of which a run holds rows in `histograms` or `spreads`, from the image outwards."""
    if table not in run.tables():
        return []
    there = set(run.table(table, columns=["layer"])["layer"].unique())
    known = [str(info["path"]) for info in run.layers_info if info["path"] in there]
    return known + sorted(there - set(known))


def magnitudes(run: Run, layer: str, of: str, marks: int = MARKS) -> pd.DataFrame:
    """The histogram of a layer's values over steps.

    Args:
        run: One that holds histograms.
        layer: Its name.
        of: "output" or "gradient".
        marks: Rows at most; of more steps, stretches are added up.

    Returns:
        The columns of `IDENTITY`, then layer, depth, of, step, step_end (edges of a cell), low (log₂ of the lower end
        of the bin; of those apart a place below or above all others), apart ("", "zero": zeros and subnormal values,
        "NaN or infinite"), range (in words), count, share (of the step's values).
    """
    rows = run.table("histograms", where={"layer": layer, "of": of})
    if rows.empty:
        return pd.DataFrame(columns=[*IDENTITY, *BIN])
    steps = np.sort(rows["step"].unique())
    held = max(1, rows["exponent"].nunique())
    column = bins(len(steps), max(1, marks // held))
    starts = steps[np.unique(column, return_index=True)[1]]
    gap = int(starts[-1] - starts[-2]) if len(starts) > 1 else 1
    edges = np.append(starts, starts[-1] + gap)
    cells = rows.assign(column=column[np.searchsorted(steps, rows["step"])])
    cells = cells.groupby(["column", "exponent"], as_index=False).agg(count=("count", "sum"))
    cells["share"] = cells["count"] / cells.groupby("column")["count"].transform("sum")
    exponent = cells["exponent"]
    inside = exponent[~exponent.isin(list(APART))]
    ends = (int(inside.min()), int(inside.max())) if len(inside) else (0, 0)
    below = {ZERO: ends[0] - 2, ILL: ends[1] + 2}  # with a row between, so that they stand apart
    cells = cells.assign(
        low=[below.get(value, value) for value in exponent],
        apart=[APART.get(value, "") for value in exponent],
        range=[APART.get(value, f"2^{value} ≤ |x| < 2^{value + 1}") for value in exponent],
        step=edges[cells["column"]],
        step_end=edges[cells["column"] + 1],
    )
    depth = next((info.get("depth", 0) for info in run.layers_info if info["path"] == layer), 0)
    who = identities([run])[0]
    return joined([cells.assign(layer=layer, of=of, depth=depth, **who)], [*IDENTITY, *BIN])


def spread(run: Run, layer: str, of: str, marks: int = MARKS) -> pd.DataFrame:
    """Least and greatest value, quartiles and median of a layer over steps.

    Returns:
        The columns of `IDENTITY`, then layer, of, step, minimum, lower, median, upper, maximum; at most `marks` rows,
        those of the outermost extremes among them.
    """
    rows = run.table("spreads", where={"layer": layer, "of": of}).sort_values("step", kind="stable", ignore_index=True)
    if len(rows) > marks:
        stretch = bins(len(rows), marks // 3)
        own = rows.fillna({"minimum": -np.inf, "maximum": np.inf}).groupby(stretch)
        kept = {0, len(rows) - 1, *own["minimum"].idxmin(), *own["maximum"].idxmax()}
        rows = rows.iloc[sorted(kept)]
    who = identities([run])[0]
    return joined([rows.assign(**who)], [*IDENTITY, "layer", "of", "step", *FIVE])
