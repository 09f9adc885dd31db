"""How does a figure show values that its axes and colours cannot: NaN, infinite, or zero on a logarithmic axis?

As marks at the edge of the plot, or cells of a colour of their own, as on the screen; `key` explains those that there
are. A figure without such values has none of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from labapp import palette

NO_VALUE = "no value"
_COLOURS = {name: mark.colour for name, mark in palette.MARKS.items()} | {NO_VALUE: palette.MUTED}
_HOLLOW = ("zero",)  # as on the screen: a ring
_ID = "_beyond:"  # before the name of what an artist stands for, in its label; a legend hides those
_KEY = "_key"  # of the legend that explains them


def mark(ax: Axes, name: str, across: Any, colour: str) -> None:
    """Marks of one kind, a name in `palette.MARKS`, in a run's colour: infinite values at the upper edge."""
    kind = palette.MARKS[name]
    ax.plot(
        across, np.full(len(across), 0.975 if kind.top else 0.025), linestyle="", marker=kind.marker, markersize=4,
        color=colour, markerfacecolor="none" if name in _HOLLOW else colour, clip_on=False,
        transform=ax.get_xaxis_transform(), label=_ID + name,
    )  # fmt: skip


def cell(ax: Axes, name: str, corner: tuple[float, float], width: float, height: float) -> None:
    """A cell in the colour of a value that the scale has no colour for: a name in `palette.MARKS`, or NO_VALUE."""
    options: Any = {"color": _COLOURS[name], "linewidth": 0, "label": _ID + name}
    ax.add_patch(Rectangle(corner, width, height, **options))


def entries(figure: Artist) -> list[Artist]:
    """One entry of a legend for each kind of mark and cell that a figure, or one of its axes, has."""
    found: dict[tuple[str, bool], Artist] = {}
    for artist in figure.findobj(lambda one: str(one.get_label()).startswith(_ID)):
        name, is_cell = str(artist.get_label()).removeprefix(_ID), isinstance(artist, Rectangle)
        title = palette.MARKS[name].title if name in palette.MARKS else name
        found[name, is_cell] = (
            Patch(color=_COLOURS[name], label=title)
            if is_cell
            else Line2D(
                [], [], linestyle="", marker=palette.MARKS[name].marker, markersize=4, color=palette.MUTED,
                markerfacecolor="none" if name in _HOLLOW else palette.MUTED, label=title,
            )
        )  # fmt: skip
    order = [*palette.MARKS, NO_VALUE]
    return [found[key] for key in sorted(found, key=lambda key: (key[1], order.index(key[0])))]


def key(figure: Figure) -> None:
    """A legend of the marks and cells, below everything; nothing where there are none, or it is there already."""
    there = entries(figure)
    if there and not any(legend.get_label() == _KEY for legend in figure.legends):
        figure.legend(handles=there, loc="outside lower left", ncols=len(there), borderpad=0).set_label(_KEY)
