"""What do all figures have in common: sizes, fonts, colours, their one legend and one colour bar?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labapp import palette
from labapp.figures.beyond import key

WIDTH = 6.75  # inches, two columns of a paper
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "figure.dpi": 100,
    "font.size": 8,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": 300,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with a dollar is a name
    "svg.hashsalt": "labapp",  # the same table gives the same bytes
    "xtick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7.5,
    "ytick.major.width": 0.6,
}
DOTS: Any = {"linestyle": (0, (0.01, 1.7)), "linewidth": 2.8, "dash_capstyle": "round", "alpha": 0.55}  # of theory
BAND: Any = {"alpha": 0.18, "linewidth": 0}  # the range over seeds
UNDATED: dict[str, dict[str, Any]] = {  # metadata of each file format: the same figure gives the same bytes
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


@contextmanager
def paper() -> Iterator[None]:
    """Fonts, sizes and thin lines for a page, for as long as the context lasts."""
    with mpl.rc_context(STYLE):
        yield


def colour_bar(
    figure: Figure,
    axes: Sequence[Axes],
    norm: Normalize,
    title: str,
    relative: bool = False,
    *,
    powers: bool = True,
    extend: str = "neither",
) -> None:
    """One scale for all heatmaps of a figure, labelled in powers of ten or, without `powers`, as it is.

    Below the figure stand the colours of cells that the scale has none for, if there are any.
    """
    bar = figure.colorbar(
        ScalarMappable(norm, colormap(relative)), ax=axes, shrink=0.8, aspect=30, pad=0.015, extend=extend
    )
    bar.set_label(title.replace(" (", "\n(", 1))  # two lines: one would be longer than a single row of panels
    bar.outline.set_linewidth(0.4)
    bar.ax.yaxis.set_major_locator(MaxNLocator(6, integer=powers))
    if powers:
        bar.ax.yaxis.set_major_formatter(
            FuncFormatter(lambda power, _: f"10{f'{power:g}'.translate(palette.SUPERSCRIPT)}")
        )
    key(figure)


def legend(
    figure: Figure, hue: str, styles: pd.DataFrame, markers: bool = False, theory: bool = False, band: str = ""
) -> None:
    """One legend for all panels, above them; with `theory`, the dots of `lines.dots` too, with `band`, what bands mean.

    Below the figure stand the marks of values that no axis can show, if there are any.
    """
    handles = handles_of(styles, hue, markers, theory, band)
    key(figure)
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=min(6, len(handles)),
        handlelength=2.6,
        columnspacing=1.4,
        borderpad=0,
    )


def handles_of(
    styles: pd.DataFrame, hue: str, markers: bool = False, theory: bool = False, band: str = ""
) -> list[Artist]:
    """The entries of a legend: the lines, and what dots and bands mean where there are any."""
    handles: list[Artist] = [
        Line2D([], [], color=look["colour"], dashes=tuple(look["dash"]) or (None, None),
               marker=look["marker"] if markers else "", markersize=3, linewidth=1.4, label=as_text(name))
        for name, look in looks_of(styles, hue).items()
    ]  # fmt: skip
    if theory:
        handles.append(Line2D([], [], color=palette.MUTED, label="theory", **DOTS))
    if band:
        handles.append(Patch(color=palette.MUTED, alpha=BAND["alpha"], linewidth=0, label=band))
    return handles


def as_text(name: object) -> str:
    """A name as matplotlib shows it: no formula, and not hidden, as one with an underscore in front would be."""
    said = f" {name}" if str(name).startswith("_") else str(name)
    return said.replace("$", r"\$") if mpl.rcParams["text.parse_math"] else said


def colormap(relative: bool = False) -> LinearSegmentedColormap:
    """The screen's colour scale, continuous."""
    colours = palette.DIVERGING if relative else palette.SEQUENTIAL
    return LinearSegmentedColormap.from_list("labapp", list(colours))


def looks_of(styles: pd.DataFrame, hue: str) -> dict[str, dict[str, Any]]:
    """Colour, dash and marker by the name in a column of `palette.styles`."""
    looks: list[Any] = styles.to_dict("records")
    return {str(look[hue]): look for look in looks}
