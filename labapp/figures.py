"""How does a tidy table look on paper?

Axes-level functions with one vocabulary, `data, x, y, hue, ax`: they draw a table from `frames` on axes that the caller
made, return these axes, and know nothing of files. Rows that share x and hue (seeds) become a line with their range.

    with paper():
        figure, axes = plt.subplots(...)
        curve(data=table, x="step", y="error", hue="net", ax=axes[0], styles=styles)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from labapp import palette

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
    "svg.hashsalt": "labapp",  # the same table gives the same bytes
    "xtick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7.5,
    "ytick.major.width": 0.6,
}


@contextmanager
def paper() -> Iterator[None]:
    """Fonts, sizes and thin lines for a page, for as long as the context lasts."""
    with mpl.rc_context(STYLE):
        yield


def curve(*, data: pd.DataFrame, x: str, y: str, hue: str, ax: Axes, styles: pd.DataFrame, **options: Any) -> Axes:
    """A value over steps, in per cent where it is a fraction: mean line, and the range where rows share x and hue."""
    about = palette.quantity(y)
    shown = data.assign(**{y: 100 * data[y].astype(float)}) if about.unit == "%" else data
    _lines(data=shown, x=x, y=y, hue=hue, ax=ax, styles=styles, **options)
    ax.set(xlabel=palette.quantity(x).title, ylabel=about.title)
    ax.margins(x=0.01)
    return ax


def profile(*, data: pd.DataFrame, x: str, y: str, hue: str, ax: Axes, styles: pd.DataFrame, **options: Any) -> Axes:
    """A layer's value against depth on a log axis; what is zero or not finite stands on the axis as a cross."""
    value = data[y].astype(float)
    good = np.isfinite(value) & (value > 0)
    ax.set(yscale="log", xlabel=palette.quantity(x).title)  # first: seaborn takes means on the axis's own scale
    _lines(data=data[good], x=x, y=y, hue=hue, ax=ax, styles=styles, markers=True, **options)
    for name, rows in data[~good].groupby(hue):
        ax.plot(
            rows[x], np.full(len(rows), 0.02), "x", color=_of(styles, hue)[str(name)]["colour"],
            transform=ax.get_xaxis_transform(), markersize=4,
        )  # fmt: skip
    _readable_log(ax)
    return ax


def heatmap(*, data: pd.DataFrame, x: str, y: str, hue: str, ax: Axes, norm: Normalize, relative: bool = False) -> Axes:
    """Depth × step as coloured cells; `data` from `frames.gradient_heatmap`, of one run."""
    rows, columns = (data.drop_duplicates(name).sort_values(name) for name in (f"{y}_end", f"{x}_end"))
    grid = data.pivot_table(index=f"{y}_end", columns=f"{x}_end", values=hue, dropna=False)
    ax.set_facecolor(palette.ALARM)  # shows through where a cell has no value
    ax.pcolormesh(
        np.append(columns[x], columns[f"{x}_end"].iloc[-1]),
        np.append(rows[f"{y}_start"], rows[f"{y}_end"].iloc[-1]),
        np.ma.masked_invalid(grid.to_numpy(float)),
        norm=norm,
        cmap=colormap(relative),
        rasterized=True,
        linewidth=0,
    )
    ax.grid(visible=False)
    ax.set(xlabel=palette.quantity(x).title, ylabel="layer")
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return ax


def colour_bar(figure: Figure, axes: Sequence[Axes], norm: Normalize, title: str, relative: bool = False) -> None:
    """One scale for all heatmaps of a figure, labelled in powers of ten."""
    bar = figure.colorbar(ScalarMappable(norm, colormap(relative)), ax=axes, shrink=0.8, aspect=30, pad=0.015)
    bar.set_label(title.replace(" (", "\n(", 1))  # two lines: one would be longer than a single row of panels
    bar.outline.set_linewidth(0.4)
    bar.ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda power, _: f"$10^{{{power:g}}}$"))


def legend(figure: Figure, hue: str, styles: pd.DataFrame, markers: bool = False) -> None:
    """One legend for all panels, above them."""
    handles = [
        Line2D([], [], color=look["colour"], dashes=tuple(look["dash"]) or (None, None),
               marker=look["marker"] if markers else "", markersize=3, linewidth=1.4, label=name)
        for name, look in _of(styles, hue).items()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=min(6, len(handles)), handlelength=3, borderpad=0)


def colormap(relative: bool = False) -> LinearSegmentedColormap:
    """The screen's colour scale, continuous."""
    colours = palette.DIVERGING if relative else palette.SEQUENTIAL
    return LinearSegmentedColormap.from_list("labapp", list(colours))


def _lines(
    *,
    data: pd.DataFrame,
    x: str,
    y: str,
    hue: str,
    ax: Axes,
    styles: pd.DataFrame,
    markers: bool = False,
    **options: Any,
) -> None:
    if data.empty:  # all that there is was not finite, and is marked as such
        return
    looks = _of(styles, hue)
    repeated = bool(data.duplicated([x, hue]).any())
    sns.lineplot(
        data=data,
        x=x,
        y=y,
        hue=hue,
        style=hue,
        hue_order=list(looks),
        style_order=list(looks),
        palette={name: look["colour"] for name, look in looks.items()},
        dashes={name: tuple(look["dash"]) or "" for name, look in looks.items()},
        markers={name: look["marker"] for name, look in looks.items()} if markers else False,
        errorbar=("pi", 100) if repeated else None,  # the whole range over seeds
        err_kws={"alpha": 0.18, "linewidth": 0},
        legend=False,
        ax=ax,
        **{"linewidth": 1.3, "markersize": 2.6, "markeredgewidth": 0} | options,
    )


def _of(styles: pd.DataFrame, hue: str) -> dict[str, dict[str, Any]]:
    looks: list[Any] = styles.to_dict("records")
    return {str(look[hue]): look for look in looks}


def _readable_log(ax: Axes) -> None:
    """The ticks of the screen's log axes: whole decades, or 1-2-5 where there are too few of those."""
    ticks = palette.log_ticks(*ax.get_ylim())
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: palette.tick_label(tick)))
