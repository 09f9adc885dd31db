"""How does a value become colours and lines over a plane?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from labapp import palette
from labapp.figures.alone import axes_of, bar_beside, norm_of
from labapp.figures.beyond import cell
from labapp.figures.paper import colormap

LINE: Any = {"linestyles": "solid", "linewidths": 0.4, "colors": "white", "alpha": 0.7}
DASHED: Any = {"linewidths": 0.9, "colors": "white", "linestyles": [(0, (3, 2))]}


def plane(
    data: pd.DataFrame, *, x: str = "alpha", y: str = "beta", hue: str = "value", ax: Axes | None = None,
    norm: Normalize | None = None, levels: Sequence[float] = (), level: float | None = None, title: str = "loss (nats)",
) -> Axes:  # fmt: skip
    """A value over a square grid in logarithmic colours, with contour lines; a cross in the middle.

    Args:
        data: One row a point of the grid.
        x: Column of the table, to the right.
        y: Column of the table, upwards.
        hue: What is coloured. What is zero, below it or not finite has a cell of its own colour.
        ax: Where; pyplot's present axes when left out.
        norm: Of log₁₀ of the value; beyond its ends stands the colour of the end. Chosen from the table, and explained
            by a colour bar, when left out.
        levels: Values at which thin lines are drawn.
        level: A value at which a dashed line is drawn.
        title: Of that colour bar.

    Example:
        figures.plane(frames.loss_surface(runs[:1], runs[0].probes()["loss_surface"][-1]))
    """
    alone, ax = norm is None, axes_of(ax)
    sizes = data[hue].astype(float)
    norm = norm or norm_of(np.log10(sizes[np.isfinite(sizes) & (sizes > 0)]))
    grid = data.pivot_table(index=y, columns=x, values=hue, dropna=False)
    edges = [_edges(grid.columns.to_numpy(float)), _edges(grid.index.to_numpy(float))]
    for name, across, up in zip(palette.beyond(data[hue].astype(float), log=True), data[x], data[y], strict=True):
        if name:
            (left, right), (low, high) = (
                (along[along <= place].max(), along[along > place].min())
                for along, place in zip(edges, (across, up), strict=True)
            )
            cell(ax, name, (left, low), right - left, high - low)
    values = grid.to_numpy(float)
    good = np.isfinite(values) & (values > 0)
    logs = np.ma.masked_array(np.log10(np.where(good, values, 1.0)), ~good)
    ax.pcolormesh(*edges, logs, norm=norm, cmap=colormap(), rasterized=True, linewidth=0)
    for wanted, look in ((levels, LINE), ([] if level is None else [level], DASHED)):
        inside = [value for value in wanted if good.any() and values[good].min() < value < values[good].max()]
        if inside and min(values.shape) > 1:
            ax.contour(grid.columns, grid.index, logs, levels=np.log10(inside), **look)
    ax.plot(0, 0, "+", color="white", markersize=5, markeredgewidth=0.9)
    ax.grid(visible=False)
    ax.set(aspect="equal", xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]], xlabel=x, ylabel=y)
    if alone:
        bar_beside(ax, norm, title, powers=True)
    return ax


def _edges(places: np.ndarray) -> np.ndarray:
    """Half-way between neighbouring places, and as far beyond the ends."""
    half = np.diff(places).mean() / 2 if len(places) > 1 else 0.5
    return np.append(places - half, places[-1] + half)
