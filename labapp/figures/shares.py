"""Of which parts is a whole made up?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes


def shares(*, data: pd.DataFrame, y: str, hue: str, ax: Axes, colours: Mapping[str, str]) -> Axes:
    """One bar from 0 to 1 for each net, cut into its parts.

    Args:
        data: Columns `y`, `hue`, start and end.
        y: Whose bar.
        hue: Which part.
        ax: Where; the first net is on top.
        colours: By part.
    """
    order = list(dict.fromkeys(data[y]))
    for part, rows in data.groupby(hue, sort=False):
        ax.barh(
            [order.index(name) for name in rows[y]], rows["end"] - rows["start"], left=rows["start"], height=0.7,
            color=colours[str(part)], edgecolor="white", linewidth=0.6, label=str(part),
        )  # fmt: skip
    ax.set(yticks=range(len(order)), yticklabels=order, ylim=(len(order) - 0.5, -0.5), xlim=(0, 1))
    ax.grid(visible=False, axis="y")
    return ax
