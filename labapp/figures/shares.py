"""Of which parts is a whole made up?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from labapp.figures.alone import axes_of, explain
from labapp.figures.paper import as_text, colormap


def shares(
    data: pd.DataFrame, *, y: str = "run", hue: str = "part", ax: Axes | None = None,
    colours: Mapping[str, str] | None = None,
) -> Axes:  # fmt: skip
    """One bar from 0 to 1 for each net, cut into its parts.

    Args:
        data: Columns `y`, `hue`, start and end, as `frames.parts` has them.
        y: Whose bar.
        hue: Which part.
        ax: Where, the first net on top; pyplot's present axes when left out.
        colours: By part; chosen, and explained by a legend on the axes, when left out.

    Example:
        figures.shares(frames.parts(runs))
    """
    ax, alone = axes_of(ax), colours is None
    order = list(dict.fromkeys(data[y]))
    if colours is None:
        parts = list(dict.fromkeys(str(part) for part in data[hue]))
        colours = dict(zip(parts, map(to_hex, colormap()(np.linspace(0, 1, max(2, len(parts))))), strict=False))
    for part, rows in data.groupby(hue, sort=False):
        ax.barh(
            [order.index(name) for name in rows[y]], rows["end"] - rows["start"], left=rows["start"], height=0.7,
            color=colours[str(part)], edgecolor="white", linewidth=0.6, label=as_text(part),
        )  # fmt: skip
    ax.set(yticks=range(len(order)), yticklabels=list(map(as_text, order)), ylim=(len(order) - 0.5, -0.5), xlim=(0, 1))
    ax.grid(visible=False, axis="y")
    if alone:
        explain(ax, ax.containers, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3)
    return ax
