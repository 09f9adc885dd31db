"""How does a value change over steps or over depth, with a line for each net?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from labapp import palette
from labapp.figures.beyond import mark
from labapp.figures.paper import BAND, DOTS, looks_of


def curve(*, data: pd.DataFrame, x: str, y: str, hue: str, ax: Axes, styles: pd.DataFrame, **options: Any) -> Axes:
    """A value over steps, in per cent where it is a fraction: mean line, and the range where rows share x and hue.

    What is not finite is marked at the edge.
    """
    about = palette.quantity(y)
    shown = data.assign(**{y: 100 * data[y].astype(float)}) if about.unit == "%" else data
    _lines(data=shown[np.isfinite(shown[y].astype(float))], x=x, y=y, hue=hue, ax=ax, styles=styles, **options)
    _marks(data=shown, x=x, y=y, hue=hue, ax=ax, styles=styles)
    ax.set(xlabel=palette.quantity(x).title, ylabel=about.title)
    ax.margins(x=0.01)
    return ax


def profile(*, data: pd.DataFrame, x: str, y: str, hue: str, ax: Axes, styles: pd.DataFrame, **options: Any) -> Axes:
    """A layer's value against depth on a log axis; what is zero or not finite is marked at the edge."""
    value = data[y].astype(float)
    good = np.isfinite(value) & (value > 0)
    ax.set(yscale="log", xlabel=palette.quantity(x).title)  # first: seaborn takes means on the axis's own scale
    _lines(data=data[good], x=x, y=y, hue=hue, ax=ax, styles=styles, markers=True, **options)
    _marks(data=data, x=x, y=y, hue=hue, ax=ax, styles=styles, log=True)
    _readable_log(ax)
    return ax


def dots(*, data: pd.DataFrame, x: str, y: str, hue: str, ax: Axes, styles: pd.DataFrame) -> Axes:
    """What theory expects: dots in each line's colour, below it; geometric means where rows share x and hue."""
    looks = looks_of(styles, hue)
    logs = data.assign(log=np.log(data[y].astype(float)))
    for name, rows in logs.groupby(hue, sort=False):
        means = rows.groupby(x)["log"].mean()
        ax.plot(means.index, np.exp(means.to_numpy()), color=looks[str(name)]["colour"], zorder=1.5, **DOTS)
    return ax


def trace(*, data: pd.DataFrame, x: str, y: str, hue: str, ax: Axes, styles: pd.DataFrame, **options: Any) -> Axes:
    """A value against depth or distance on a linear axis; what is not finite is marked at the edge."""
    good = np.isfinite(data[y].astype(float))
    _lines(data=data[good], x=x, y=y, hue=hue, ax=ax, styles=styles, **{"markers": True} | options)
    _marks(data=data, x=x, y=y, hue=hue, ax=ax, styles=styles)
    ax.set(xlabel=palette.quantity(x).title, ylabel=palette.quantity(y).title)
    return ax


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
    import seaborn as sns  # takes half a second, which those who draw maps do not need

    looks = looks_of(styles, hue)
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
