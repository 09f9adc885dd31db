"""Which layer differs most, in each quantity?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from labapp.frames.compare.layers import Read, by_depth
from labapp.frames.compare.quantities import OF_LAYERS, SHOWN
from labapp.frames.compare.sides import Side

LARGEST = [
    *("quantity", "step", "layers", "median", "layer", "a", "b", "ratio", "low", "high"),
    *("difference", "least", "most", "runs_a", "runs_b", "note"),
]


def largest(
    a: Side,
    b: Side,
    step: int,
    quantities: tuple[str, ...] = SHOWN,
    read: Read | None = None,
    compare: Callable[..., pd.DataFrame] = by_depth,
) -> pd.DataFrame:
    """The layer of the largest difference in each quantity that both sides recorded at a step.

    It is that of the ratio furthest from 1, of what has either sign that of the largest difference; one of an infinite
    ratio only where none is finite.

    Returns:
        quantity, step, layers (with a number), median (of their ratios), then the row of `by_depth` of that layer; the
        furthest from 1 first, what has no ratio last.
    """
    rows = []
    for quantity in quantities:
        table = compare(a, b, quantity, step, read=read)
        if table.empty:
            continue
        signed = OF_LAYERS[quantity].scale == "signed"
        size = table["difference"].abs() if signed else _size(table["ratio"])
        known = size[np.isfinite(size)] if np.isfinite(size).any() else size[size.notna()]
        worst = table.iloc[int(known.index[int(known.argmax())]) if len(known) else 0]
        rows.append(
            worst[[name for name in LARGEST if name not in ("layers", "median")]].to_dict()
            | {"layers": int(size.notna().sum()), "median": float(table["ratio"].median())}
        )
    found = pd.DataFrame(rows, columns=LARGEST)
    order = _size(found["ratio"].astype(float)).replace(np.inf, -1.0).fillna(-2.0)
    return found.loc[order.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _size(ratio: pd.Series) -> pd.Series:
    """How far a ratio is from 1, in factors either way: the absolute value of its logarithm."""
    with np.errstate(divide="ignore"):
        return pd.Series(np.abs(np.log(ratio.to_numpy(float))), index=ratio.index)
