"""What happens at every layer and every step?"""

from __future__ import annotations

from collections.abc import Iterable

import altair as alt
import numpy as np
import pandas as pd

from labapp import palette
from labapp.charts.encodings import NUMBER, Chart, axis_title, log_axis, of_step

ON_CANVAS = {"embedOptions": {"renderer": "canvas"}}  # thousands of cells; as SVG each would be an element of the page


def heatmap_chart(
    cells: pd.DataFrame, quantity: str, domain: tuple[float, float], relative: bool = False, height: int = 270
) -> Chart:
    """Depth × step of one run; `domain` (log10) is that of all heatmaps on the page, so that colours compare."""
    title = axis_title(quantity, relative)
    shown = cells.assign(shown=10 ** cells["value"].astype(float))
    x = alt.X(
        "step:Q",
        title=palette.quantity("step").title,
        scale=alt.Scale(nice=False),
        axis=alt.Axis(tickCount=6, grid=False),
    )
    y = alt.Y("depth_start:Q", title="layer", scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=6, grid=False))
    place = [
        alt.Tooltip("layer:N", title="layer"),
        alt.Tooltip("depth:Q", title="depth"),
        of_step(),
    ]
    scale = alt.Scale(domain=list(domain), range=list(scale_range(relative)), clamp=True, interpolate="rgb")
    tiles = (
        alt.Chart(shown[shown["state"] == "finite"])
        .mark_rect(strokeWidth=1.2)
        .encode(
            x=x,
            x2="step_end:Q",
            y=y,
            y2="depth_end:Q",
            color=alt.Color("value:Q", scale=scale, legend=None),
            stroke=alt.Stroke("value:Q", scale=scale, legend=None),  # closes the hairlines between cells
            tooltip=[*place, alt.Tooltip("shown:Q", title=title, format=NUMBER)],
        )
    )
    layers = [tiles]
    bad = shown[shown["state"] != "finite"]
    if len(bad):
        layers.append(
            alt.Chart(bad)
            .mark_rect(color=palette.ALARM, stroke=palette.ALARM, strokeWidth=0.8)
            .encode(x=x, x2="step_end:Q", y=y, y2="depth_end:Q", tooltip=[*place, alt.Tooltip("state:N", title=title)])
        )
    return alt.layer(*layers, usermeta=ON_CANVAS).properties(
        height=height, width="container", title=str(cells["run"].iloc[0])
    )


def scale_chart(quantity: str, domain: tuple[float, float], relative: bool = False) -> alt.Chart:
    """The colour bar that all heatmaps of a page share."""
    edges = np.linspace(*domain, 101)
    table = pd.DataFrame({"low": 10 ** edges[:-1], "high": 10 ** edges[1:], "value": (edges[:-1] + edges[1:]) / 2})
    scale = alt.Scale(domain=list(domain), range=list(scale_range(relative)), interpolate="rgb")
    axis = log_axis([10 ** domain[0], 10 ** domain[1]], nice=False)
    return (
        alt.Chart(table, usermeta=ON_CANVAS)
        .mark_rect()
        .encode(
            x=alt.X("low:Q", title=axis_title(quantity, relative), **axis),
            x2="high:Q",
            y=alt.value(0),
            y2=alt.value(alt.expr("height")),
            color=alt.Color("value:Q", scale=scale, legend=None),
            stroke=alt.Stroke("value:Q", scale=scale, legend=None),
        )
        .properties(height=92, width="container")
    )


def colour_domain(values: Iterable[float], relative: bool = False) -> tuple[float, float]:
    """The span of a log10 colour scale over all that is shown; symmetric about 0 where values are relative."""
    numbers = np.asarray(list(values), dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (-1.0, 0.0)
    if relative:
        high = max(abs(low), abs(high), 0.1)
        return -high, high
    return (low, high) if high - low > 0.1 else (low - 0.1, high + 0.1)


def scale_range(relative: bool) -> tuple[str, ...]:
    """Sequential colours, or diverging ones where 1 is the middle."""
    return palette.DIVERGING if relative else palette.SEQUENTIAL
