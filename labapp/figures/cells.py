"""How do cells become colours: layers over steps, or one layer against another?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from labapp import palette
from labapp.figures.alone import axes_of, bar_beside, norm_of
from labapp.figures.beyond import NO_VALUE, cell
from labapp.figures.paper import colormap

APART = 0.1  # of the colour scale; one step of its ten colours, below which a strip would not be seen


def heatmap(
    data: pd.DataFrame, *, x: str = "step", y: str = "depth", hue: str = "value", ax: Axes | None = None,
    norm: Normalize | None = None, relative: bool = False, title: str = "value",
) -> Axes:  # fmt: skip
    """Every layer at every step as coloured cells; `data` is from `frames.gradient_heatmap`, of one run.

    A cell of several recorded steps has the colour of their mean, and on its right third that of their extreme, where
    the two are further apart than `APART` of the scale: a spike of one step survives. A cell with a value that is zero
    or not finite has a colour of its own.

    Args:
        data: From `frames.gradient_heatmap`, of one run.
        x: Column to the right; there are `x`_end too.
        y: Its columns `y`_start and `y`_end go upwards.
        hue: What is coloured, log₁₀ of a quantity.
        ax: Where; pyplot's present axes when left out.
        norm: Of the colours; chosen from the table, and explained by a colour bar, when left out.
        relative: Diverging colours.
        title: Of that colour bar.

    Example:
        figures.heatmap(frames.gradient_heatmap(frames.layer_table(runs[:1])), title="gradient norm")
    """
    alone, ax = norm is None, axes_of(ax)
    norm = norm or norm_of([*data[hue], *data["extreme"]], relative)
    rows, columns = (data.drop_duplicates(name).sort_values(name) for name in (f"{y}_end", f"{x}_end"))
    grid = data.pivot_table(index=f"{y}_end", columns=f"{x}_end", values=hue, dropna=False)
    across = np.append(columns[x], columns[f"{x}_end"].iloc[-1])
    down = np.append(rows[f"{y}_start"], rows[f"{y}_end"].iloc[-1])
    extreme = data.pivot_table(index=f"{y}_end", columns=f"{x}_end", values="extreme", dropna=False)
    far = (extreme - grid).abs().to_numpy() > APART * float((norm.vmax or 0.0) - (norm.vmin or 0.0))
    if far.any():
        halves = np.repeat(grid.to_numpy(float), 2, axis=1)
        halves[:, 1::2] = np.where(far, extreme, grid)
        thirds = across[1:] - np.diff(across) / 3
        across, grid = np.append(np.column_stack([across[:-1], thirds]).ravel(), across[-1]), pd.DataFrame(halves)
    _fill(ax, across, down, grid, norm, relative)
    for _, bad in data[data["state"] != "finite"].iterrows():
        corner = (bad[x], bad[f"{y}_start"])
        cell(ax, bad["state"], corner, bad[f"{x}_end"] - corner[0], bad[f"{y}_end"] - corner[1])
    ax.set(xlabel=palette.quantity(x).title, ylabel="layer")
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    if alone:
        bar_beside(ax, norm, title, relative, powers=True)
    return ax


def matrix(
    data: pd.DataFrame, *, x: str = "target", y: str = "source", hue: str = "value", ax: Axes | None = None,
    norm: Normalize | None = None, relative: bool = False, title: str = "",
) -> Axes:  # fmt: skip
    """One cell for each pair of whole numbers, the first row on top; grey where there is no value.

    Args:
        data: One row a pair, such as the cells of one block in `frames.reuse`.
        x: Column of the table, to the right.
        y: Column of the table, downwards.
        hue: What is coloured.
        ax: Where; pyplot's present axes when left out.
        norm: Of the colours; chosen from the table, and explained by a colour bar, when left out.
        relative: Diverging colours.
        title: Of that colour bar; the name of what is coloured when left out.

    Example:
        figures.matrix(run.probe("feature_reuse").query("weighting == 'weights' and block == 1 and step == step.max()"))
    """
    alone, ax = norm is None, axes_of(ax)
    norm = norm or norm_of(data[hue], relative)
    columns, rows = (np.arange(data[name].min(), data[name].max() + 1) for name in (x, y))
    grid = data.pivot_table(index=y, columns=x, values=hue, dropna=False).reindex(index=rows, columns=columns)
    edges = np.append(columns - 0.5, columns[-1] + 0.5), np.append(rows - 0.5, rows[-1] + 0.5)
    for name, column, row in zip(palette.beyond(data[hue].astype(float)), data[x], data[y], strict=True):
        if name:
            cell(ax, NO_VALUE if name == "NaN" else name, (column - 0.5, row - 0.5), 1, 1)
    _fill(ax, *edges, grid, norm, relative)
    ax.set(xlim=edges[0][[0, -1]], ylim=edges[1][[-1, 0]], aspect="equal", xlabel=x, ylabel=y)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))
    if alone:
        bar_beside(ax, norm, title or palette.quantity(hue).title, relative)
    return ax


def _fill(
    ax: Axes, across: NDArray[Any], down: NDArray[Any], grid: pd.DataFrame, norm: Normalize, relative: bool
) -> None:
    """Colour the cells between the edges; what has no value stays empty."""
    values = np.ma.masked_invalid(grid.to_numpy(float))
    ax.pcolormesh(across, down, values, norm=norm, cmap=colormap(relative), rasterized=True, linewidth=0)
    ax.grid(visible=False)


def frame_columns(ax: Axes, columns: pd.DataFrame) -> Axes:
    """A frame around whole columns of a matrix, such as those of a transition.

    Args:
        ax: With the matrix.
        columns: target, first and last (rows) of each.
    """
    for target, first, last in columns.itertuples(index=False):
        corner, height = (target - 0.5, first - 0.5), last - first + 1
        ax.add_patch(Rectangle(corner, 1, height, fill=False, edgecolor="black", linewidth=0.8, clip_on=False))
    return ax
