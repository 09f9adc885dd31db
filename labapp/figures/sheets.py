"""How do whole figures look that a report shows: curves, gradients by depth, layers over steps, a claim's numbers?

Each function takes tidy tables and returns a figure, drawn in `paper()` by the functions of this room, without pyplot:
so nothing is left open when a report is not finished. `analysis` draws its figures of the same by them.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from labapp import palette
from labapp.figures.cells import heatmap
from labapp.figures.lines import curve, dots, profile
from labapp.figures.paper import UNDATED, WIDTH, colour_bar, legend, looks_of

ACROSS = 3  # panels in a row
LETTERS = 26  # of a panel's title on one line
STRIP = 0.62  # inches of one number of a claim


def error_curves(table: pd.DataFrame, styles: pd.DataFrame, band: str = "") -> Figure:
    """Training and test error over steps.

    Args:
        table: From `frames.curves`, with the column net; where it has published and source, a rhombus at the right edge
            is the test error that a net's paper gives, in per cent.
        styles: One row a net, with the column net.
        band: What a band around a line means.
    """
    figure = Figure(figsize=(WIDTH, 2.75), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for split, title, ax in zip(("train", "test"), ("Training", "Test"), axes, strict=True):
        rows = table[table["split"] == split]
        curve(data=rows, x="step", y="error", hue="net", ax=ax, styles=styles, markers=split == "test")
        ax.set(title=title, ylim=(0, 100))
    axes[1].set_ylabel("")
    known = table.dropna(subset="published").drop_duplicates("net") if "published" in table else table.iloc[:0]
    for net, value in zip(known["net"], known.get("published", ()), strict=True):
        look, edge = looks_of(styles, "net")[net], axes[1].get_yaxis_transform()
        axes[1].plot(1.0, value, "D", transform=edge, color=look["colour"], mfc="none", ms=4.5, clip_on=False)
    legend(figure, "net", styles, markers=True, band=band)
    if len(known):
        axes[1].set_title(f"◇ published: {'; '.join(known['source'].unique())}", loc="right", weight="normal", size=6.5)
    return figure


def layer_profiles(
    moments: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], styles: pd.DataFrame, band: str = ""
) -> Figure:
    """The gradient's norm against depth, a panel a moment, with what theory expects as dots.

    Args:
        moments: By title the measured rows and those of theory, both with relative_depth, value and net.
        styles: One row a net, with the column net.
        band: What a band around a line means.
    """
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axes = figure.subplots(1, len(moments), sharey=True, squeeze=False)[0]
    for (title, (rows, theory)), ax in zip(moments.items(), axes, strict=True):
        dots(data=theory, x="relative_depth", y="value", hue="net", ax=ax, styles=styles)
        profile(data=rows, x="relative_depth", y="value", hue="net", ax=ax, styles=styles)
        ax.set(title=title, ylabel=palette.quantity("output_grad_norm").title, xlim=(-0.02, 1.02))
    for ax in axes[1:]:
        ax.set_ylabel("")
    expected = any(len(theory) for _, theory in moments.values())
    legend(figure, "net", styles, markers=True, theory=expected, band=band)
    return figure


def layer_heatmaps(cells: pd.DataFrame, nets: Sequence[str], title: str) -> Figure:
    """Every layer at every step, a panel a net, on one colour scale.

    Args:
        cells: From `frames.gradient_heatmap`, with the column net.
        nets: In the order in which they are read.
        title: Of the scale.
    """
    finite = pd.concat([cells["value"], cells["extreme"]]).dropna()
    norm = Normalize(finite.min(), finite.max()) if len(finite) else Normalize(-1, 0)
    down = math.ceil(len(nets) / ACROSS)
    across = math.ceil(len(nets) / down)
    figure = Figure(figsize=(WIDTH, 0.3 + 1.9 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    for place, ax in enumerate(axes.flat):
        if place >= len(nets):
            ax.set_axis_off()
            continue
        heatmap(data=cells[cells["net"] == nets[place]], x="step", y="depth", hue="value", ax=ax, norm=norm)
        ax.set_title(textwrap.fill(nets[place], LETTERS))
        if place % across:
            ax.set_ylabel("")
        if place + across < len(nets):
            ax.set_xlabel("")
    colour_bar(figure, [*axes.flat], norm, title)
    return figure


def claim_strips(numbers: Sequence[Mapping[str, Any]]) -> Figure:
    """The numbers of a claim, one below the other: a dot a seed, mean with its interval, the claim's side shaded.

    Args:
        numbers: Of each: says (with its unit), values (of the seeds), mean, low, high, threshold; as they are
            shown, so factors where log is true; above, colour, log.
    """
    figure = Figure(figsize=(WIDTH, 0.12 + STRIP * len(numbers)), layout="constrained")
    for number, ax in zip(numbers, figure.subplots(len(numbers), 1, squeeze=False)[:, 0], strict=True):
        _strip(ax, number)
    return figure


def _strip(ax: Axes, number: Mapping[str, Any]) -> None:
    colour, threshold, log = number["colour"], number["threshold"], number["log"]
    shown = [threshold, *number["values"], number["low"], number["high"], number["mean"]]
    known = [value for value in shown if math.isfinite(value) and (value > 0 or not log)]
    low, high = min(known), max(known)
    if log:
        reach = (high / low) ** 0.08 if high > low else 1.5
        low, high = low / reach, high * reach
        ax.set_xscale("log")
    else:
        reach = 0.08 * ((high - low) or abs(threshold) or 1.0)
        low, high = low - reach, high + reach
    ax.axvspan(threshold if number["above"] else low, high if number["above"] else threshold, color=colour, alpha=0.12)
    ax.axvline(threshold, color=palette.MUTED, linestyle="--", linewidth=0.9)
    if not math.isnan(number["low"]):
        ends = max(number["low"], low), min(number["high"], high)  # one that no axis can show ends at its edge
        ax.plot(ends, [0, 0], color=colour, linewidth=4, alpha=0.45, solid_capstyle="butt")
        ax.plot(number["mean"], 0, "|", color=colour, markersize=11, markeredgewidth=1.8)
    ax.plot(number["values"], [0] * len(number["values"]), "o", color=colour, markersize=4)
    ax.set(xlim=(low, high), ylim=(-1, 1), yticks=[])
    ax.set_title(number["says"], weight="normal", fontsize=7)
    ax.spines["left"].set_visible(False)
    if log:
        ax.xaxis.set_major_locator(FixedLocator(palette.log_ticks(low, high)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: palette.tick_label(tick)))
    else:
        ax.xaxis.set_major_locator(MaxNLocator(6))


def as_svg(figure: Figure) -> bytes:
    """A figure as an SVG that needs no font of whoever looks at it; the same figure gives the same bytes."""
    return _saved(figure, "svg")


def as_png(figure: Figure, density: float) -> bytes:
    """A figure as a PNG of so many pixels an inch."""
    return _saved(figure, "png", dpi=density)


def _saved(figure: Figure, form: str, **options: Any) -> bytes:
    held = io.BytesIO()
    if figure.get_layout_engine() is not None:  # each drawing would move things a little again
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    with mpl.rc_context({"svg.fonttype": "path"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a name in letters that the font lacks: boxes
        figure.savefig(held, format=form, metadata=UNDATED[form], **options)
    return held.getvalue()
