"""How does a value change over steps or over depth, with a line for each net?"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from scipy.special import stdtrit

from labapp import palette
from labapp.figures.alone import axes_of, explain, seeds_in
from labapp.figures.beyond import mark
from labapp.figures.paper import BAND, DOTS, handles_of, looks_of

Band = Literal["range", "interval"]
LEVEL = 0.95


def curve(
    data: pd.DataFrame, *, x: str = "step", y: str = "loss", hue: str = "run", ax: Axes | None = None,
    styles: pd.DataFrame | None = None, band: Band = "range", **options: Any,
) -> Axes:  # fmt: skip
    """A value over steps, in per cent where it is a fraction: mean line, and a band where rows share x and hue.

    What is not finite is marked at the edge.

    Args:
        data: One row a measurement, such as those of one split in `frames.curves`.
        x: Column along the axis.
        y: Column of the value; its name in the palette says unit and title.
        hue: Column with a line for each of its values: run, or net where seeds are taken together.
        ax: Where; pyplot's present axes when left out.
        styles: From `palette.styles`; chosen from the table, and explained by a legend on the axes, when left out.
        band: Of rows that share x and hue (seeds): their whole range, or the 95 % interval of their mean by Student's
            t.
        **options: Of `seaborn.lineplot`.

    Example:
        figures.curve(frames.curves(runs).query("split == 'train'"))
    """
    ax, looks = axes_of(ax), _looks(data, hue, styles)
    about = palette.quantity(y)
    shown = data.assign(**{y: 100 * data[y].astype(float)}) if about.unit == "%" else data
    good = shown[np.isfinite(shown[y].astype(float))]
    _lines(data=good, x=x, y=y, hue=hue, ax=ax, styles=looks, band=band, **options)
    _marks(data=shown, x=x, y=y, hue=hue, ax=ax, styles=looks)
    ax.set(xlabel=palette.quantity(x).title, ylabel=about.title)
    ax.margins(x=0.01)
    _explained(ax, data, x, hue, styles, looks, band)
    return ax


def profile(
    data: pd.DataFrame, *, x: str = "relative_depth", y: str = "value", hue: str = "run", ax: Axes | None = None,
    styles: pd.DataFrame | None = None, band: Band = "range", **options: Any,
) -> Axes:  # fmt: skip
    """A layer's value against depth on a log axis; what is zero or not finite is marked at the edge.

    Means are those of logarithms. The arguments are those of `curve`.

    Example:
        figures.profile(frames.gradient_profile(frames.layer_table(runs), step=0))
    """
    ax, looks = axes_of(ax), _looks(data, hue, styles)
    value = data[y].astype(float)
    good = np.isfinite(value) & (value > 0)
    ax.set(yscale="log", xlabel=palette.quantity(x).title)  # first: seaborn takes means on the axis's own scale
    _lines(data=data[good], x=x, y=y, hue=hue, ax=ax, styles=looks, band=band, markers=True, **options)
    _marks(data=data, x=x, y=y, hue=hue, ax=ax, styles=looks, log=True)
    _readable_log(ax)
    _explained(ax, data, x, hue, styles, looks, band, markers=True)
    return ax


def dots(
    data: pd.DataFrame, *, x: str = "relative_depth", y: str = "value", hue: str = "run", ax: Axes | None = None,
    styles: pd.DataFrame | None = None,
) -> Axes:  # fmt: skip
    """What theory expects: dots in each line's colour, below it; geometric means where rows share x and hue.

    The arguments are those of `curve`; to be drawn before the `profile` that it belongs to.

    Example:
        figures.dots(frames.expected(runs[1:]).query("quantity == 'output_grad_norm'"))
    """
    ax, looks = axes_of(ax), looks_of(_looks(data, hue, styles), hue)
    logs = data.assign(log=np.log(data[y].astype(float)))
    for name, rows in logs.groupby(hue, sort=False):
        means = rows.groupby(x)["log"].mean()
        ax.plot(means.index, np.exp(means.to_numpy()), color=looks[str(name)]["colour"], zorder=1.5, **DOTS)
    if styles is None and len(data):
        explain(ax, [Line2D([], [], color=palette.MUTED, label="theory", **DOTS)])
    return ax


def trace(
    data: pd.DataFrame, *, x: str = "relative_depth", y: str = "value", hue: str = "run", ax: Axes | None = None,
    styles: pd.DataFrame | None = None, band: Band = "range", **options: Any,
) -> Axes:  # fmt: skip
    """A value against depth or distance on a linear axis; what is not finite is marked at the edge.

    The arguments are those of `curve`.

    Example:
        figures.trace(frames.gradient_slope(frames.layer_table(runs)), x="step", y="slope")
    """
    ax, looks = axes_of(ax), _looks(data, hue, styles)
    good = np.isfinite(data[y].astype(float))
    options = {"markers": True} | options
    _lines(data=data[good], x=x, y=y, hue=hue, ax=ax, styles=looks, band=band, **options)
    _marks(data=data, x=x, y=y, hue=hue, ax=ax, styles=looks)
    ax.set(xlabel=palette.quantity(x).title, ylabel=palette.quantity(y).title)
    _explained(ax, data, x, hue, styles, looks, band, markers=bool(options["markers"]))
    return ax


def interval(values: pd.Series) -> tuple[float, float]:
    """The ends of the 95 % interval of a mean of independent numbers, by Student's t; NaN of fewer than two."""
    count = len(values)
    if count < 2:
        return np.nan, np.nan
    mean = float(np.mean(values))
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * float(np.std(values, ddof=1)) / count**0.5
    return mean - half, mean + half


def _looks(data: pd.DataFrame, hue: str, styles: pd.DataFrame | None) -> pd.DataFrame:
    return palette.styles(data, by=hue) if styles is None else styles


def _explained(
    ax: Axes, data: pd.DataFrame, x: str, hue: str, styles: pd.DataFrame | None, looks: pd.DataFrame, band: Band,
    markers: bool = False,
) -> None:  # fmt: skip
    """A legend on the axes, where the caller has given no styles and so makes no legend of them."""
    if styles is None:
        seeds = seeds_in(data, x, hue)
        words = {"range": f"range of {seeds}", "interval": f"95 % interval of the mean of {seeds}"}[band]
        explain(ax, handles_of(looks, hue, markers, band=words if seeds > 1 else ""))


def _lines(
    *,
    data: pd.DataFrame,
    x: str,
    y: str,
    hue: str,
    ax: Axes,
    styles: pd.DataFrame,
    band: Band,
    markers: bool = False,
    **options: Any,
) -> None:
    if data.empty:  # all that there is was not finite, and is marked as such
        return
    import seaborn as sns  # takes half a second, which those who draw maps do not need

    looks = looks_of(styles, hue)
    repeated = bool(data.duplicated([x, hue]).any())
    between: Any = ("pi", 100) if band == "range" else interval
    sns.lineplot(
        data=data.assign(**{hue: data[hue].astype(str)}),
        x=x,
        y=y,
        hue=hue,
        style=hue,
        hue_order=list(looks),
        style_order=list(looks),
        palette={name: look["colour"] for name, look in looks.items()},
        dashes={name: tuple(look["dash"]) or "" for name, look in looks.items()},
        markers={name: look["marker"] for name, look in looks.items()} if markers else False,
        errorbar=between if repeated else None,
        err_kws=BAND,
        legend=False,
        ax=ax,
        **{"linewidth": 1.3, "markersize": 2.6, "markeredgewidth": 0} | options,
    )


def _marks(*, data: pd.DataFrame, x: str, y: str, hue: str, ax: Axes, styles: pd.DataFrame, log: bool = False) -> None:
    names = np.array(palette.beyond(data[y].astype(float), log))
    for name in palette.MARKS:
        for who, rows in data[names == name].groupby(hue, sort=False):
            mark(ax, name, rows[x], looks_of(styles, hue)[str(who)]["colour"])


def _readable_log(ax: Axes) -> None:
    """The ticks of the screen's log axes: whole decades, or 1-2-5 where there are too few of those."""
    ticks = palette.log_ticks(*ax.get_ylim())
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: palette.tick_label(tick)))
