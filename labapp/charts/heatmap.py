"""What happens at every layer and every step?"""

from __future__ import annotations

from collections.abc import Iterable

import altair as alt
import numpy as np
import pandas as pd

from labapp import palette
from labapp.charts.beyond import cells as beyond_cells
from labapp.charts.colours import colour_bar, colour_scale, scale_legend, tiles
from labapp.charts.encodings import FLUSH, NUMBER, Chart, axis_title, log_axis, of_run, outward, ticks_along, zoom_along
from labapp.charts.layers import layered

APART = 0.1  # of the colour scale; one step of its ten colours, below which a strip would not be seen


def heatmap_chart(
    cells: pd.DataFrame,
    quantity: str = "output_grad_norm",
    domain: tuple[float, float] | None = None,
    relative: bool = False,
    height: int = 270,
) -> Chart:
    """Depth × step of one run; `domain` (log10) is that of all heatmaps on the page, so that colours compare.

    Without a domain it is that of the cells, and a legend explains it.

    A cell of several recorded steps has the colour of their mean, and on its right third that of their extreme, where
    the two are further apart than `APART` of the scale: a spike of one step survives. A cell with a value that is zero
    or not finite has a colour of its own.

    Example:
        charts.heatmap_chart(frames.gradient_heatmap(frames.layer_table(runs[:1])))
    """
    title = axis_title(quantity, relative)
    legend = scale_legend(title, powers=True) if domain is None else None
    domain = domain or colour_domain([*cells["value"], *cells["extreme"]], relative)
    shown = cells.assign(
        shown=10 ** cells["value"].astype(float),
        least=10 ** cells["low"].astype(float),
        most=10 ** cells["high"].astype(float),
        third=cells["step_end"] - (cells["step_end"] - cells["step"]) / 3,
        steps=[
            f"{first:,} – {last:,}, {held:,} recorded" if held > 1 else f"{first:,}"
            for first, last, held in zip(cells["step"], cells["step_last"], cells["recorded"], strict=True)
        ],
    )
    x = alt.X(
        "step:Q",
        title=palette.quantity("step").title,
        scale=alt.Scale(nice=False),
        axis=ticks_along(6, grid=False),
    )
    y = alt.Y("depth_start:Q", title="layer", scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=6, grid=False))
    place = [
        alt.Tooltip("layer:N", title="layer"),
        alt.Tooltip("depth:Q", title="depth"),
        *of_run(),
        alt.Tooltip("steps:N", title="step"),
    ]
    ends = [
        alt.Tooltip("least:Q", title="least in the cell", format=NUMBER),
        alt.Tooltip("most:Q", title="greatest in the cell", format=NUMBER),
    ]
    sides = {"x": x, "x2": alt.X2("step_end:Q"), "y": y, "y2": alt.Y2("depth_end:Q")}
    finite = tiles(shown[shown["state"] == "finite"], sides, "value", colour_scale(domain, relative), 1.2, legend)
    told = [*place, alt.Tooltip("shown:Q", title=f"{title}, mean", format=NUMBER), *ends]
    layers = [finite.add_params(zoom_along()).encode(tooltip=told)]
    far = (shown["extreme"] - shown["value"]).abs() > APART * (domain[1] - domain[0])
    spikes = shown[far & (shown["state"] == "finite")]
    if len(spikes):
        strips = tiles(spikes, sides | {"x": alt.X("third:Q")}, "extreme", colour_scale(domain, relative), stroke=0)
        layers.append(strips.encode(tooltip=told))
    bad = shown[shown["state"] != "finite"].assign(mark=lambda rows: rows["state"])
    beyond = beyond_cells(bad, sides, [*place, alt.Tooltip("mark:N", title=title)], strokeWidth=0.8, clip=True)
    run = str(cells["run"].iloc[0])
    return layered(layers, beyond, "color", "stroke", height=height, title=run)


def scale_chart(quantity: str, domain: tuple[float, float], relative: bool = False) -> alt.Chart:
    """The colour bar that all heatmaps of a page share."""
    ticks = log_axis([10 ** domain[0], 10 ** domain[1]], nice=False, labelFlush=FLUSH, labelFlushOffset=-2)
    axis = alt.X("low:Q", title=axis_title(quantity, relative), **ticks)
    return colour_bar(domain, axis, colour_scale(domain, relative), height=92, powers=True)


def colour_domain(values: Iterable[float], relative: bool = False) -> tuple[float, float]:
    """The span of a log10 colour scale over all that is shown; symmetric about 0 where values are relative."""
    numbers = np.asarray(list(values), dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (-1.0, 0.0)
    if relative:
        high = max(abs(low), abs(high), 0.1)
        return outward(-high, high)
    return outward(low, high) if high - low > 0.1 else outward(low - 0.1, high + 0.1)
