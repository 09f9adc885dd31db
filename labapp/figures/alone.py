"""What does a figure take where its caller says nothing: which axes, looks and colours, and what explains them?

Whoever draws a whole figure gives axes, styles and norms, so that its panels agree, and explains them once, by
`paper.legend` and `paper.colour_bar`. In a notebook nobody does: then a function draws on pyplot's present axes,
chooses looks and colours from its table, and explains on these axes what it chose.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labapp import palette
from labapp.figures import beyond
from labapp.figures.paper import colormap

BELOW: Any = {"loc": "upper right", "bbox_to_anchor": (1.0, -0.13)}  # of a picture that fills its axes


def axes_of(ax: Axes | None) -> Axes:
    """The axes that were given, or those that pyplot draws on at present."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.gca()


def norm_of(values: Iterable[float], relative: bool = False) -> Normalize:
    """Colours from the least to the greatest finite value; symmetric about 0 where they are `relative`."""
    numbers = np.asarray(list(values), dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 1.0)
    if relative:
        high = max(abs(low), abs(high)) or 1.0
        low = -high
    return Normalize(low, high if high > low else low + 1.0)


def explain(ax: Axes, handles: Iterable[Any], **options: Any) -> None:
    """A legend on the axes of these entries and those that it has already; none where there is none."""
    there = ax.get_legend()
    entries: dict[str, Artist] = {}
    if there is not None:
        entries = {
            word.get_text(): one for word, one in zip(there.get_texts(), there.legend_handles, strict=True) if one
        }
    entries |= {str(one.get_label()): one for one in [*handles, *beyond.entries(ax)]}
    if entries:
        ax.legend(handles=list(entries.values()), labels=list(entries), **options)


def bar_beside(ax: Axes, norm: Normalize, title: str, relative: bool = False, powers: bool = False) -> None:
    """A colour bar beside the axes; below them the colours of cells that the scale has none for, if there are any."""
    figure: Any = ax.get_figure(root=False)
    low, high = norm.vmin or 0.0, norm.vmax or 0.0
    bar = figure.colorbar(ScalarMappable(norm, colormap(relative)), ax=ax, pad=0.03)
    bar.set_label(title)
    bar.outline.set_linewidth(0.4)
    bar.ax.yaxis.set_major_locator(MaxNLocator(6, integer=powers and high - low >= 2))
    if powers:
        power = FuncFormatter(lambda tick, _: f"10{f'{tick:g}'.translate(palette.SUPERSCRIPT)}")
        bar.ax.yaxis.set_major_formatter(power)
    explain(ax, [], **BELOW)


def seeds_in(data: pd.DataFrame, x: str, hue: str) -> int:
    """How many rows share x and hue, at most."""
    return int(data.groupby([x, hue], observed=True).size().max()) if len(data) else 0
