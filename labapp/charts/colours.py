"""How does a value become a colour: one scale, cells without gaps, and the bar that explains them?"""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from labapp import palette

Domain = tuple[float, float]


def colour_scale(domain: Domain, diverging: bool = False) -> alt.Scale:
    """The palette's sequential colours over a domain, or the diverging ones; values beyond have the last colour."""
    colours = palette.DIVERGING if diverging else palette.SEQUENTIAL
    return alt.Scale(domain=list(domain), range=list(colours), clamp=True, interpolate="rgb")


def scale_legend(title: str, powers: bool = False) -> alt.Legend:
    """What explains the colours of a chart that stands alone; with `powers` they are of log₁₀ of the quantity."""
    label: dict[str, Any] = {"labelExpr": "format(pow(10, datum.value), '.0~e')"} if powers else {}
    return alt.Legend(title=title, titleLimit=400, gradientLength=160, **label)


def tiles(
    table: pd.DataFrame,
    sides: dict[str, Any],
    value: str,
    scale: alt.Scale,
    stroke: float = 1.0,
    legend: alt.Legend | None = None,
) -> alt.Chart:
    """Rectangles in the colours of a value.

    Args:
        table: One row a rectangle.
        sides: The encodings x, x2, y and y2.
        value: The column that is coloured.
        scale: From `colour_scale`.
        stroke: Pixels of an outline in the same colour, which closes the hairlines between rectangles.
        legend: Of the colours, where no bar beside the chart explains them.
    """
    drawn: alt.Chart = (
        alt.Chart(table)
        .mark_rect(strokeWidth=stroke, clip=True)
        .encode(
            **sides,
            color=alt.Color(f"{value}:Q", scale=scale, legend=legend),
            stroke=alt.Stroke(f"{value}:Q", scale=scale, legend=None),
        )
    )
    return drawn


def colour_bar(domain: Domain, axis: alt.X, scale: alt.Scale, height: int, powers: bool = False) -> alt.Chart:
    """A bar with the colours of a domain.

    Args:
        domain: Of the scale.
        axis: Below the bar, of the column low.
        scale: From `colour_scale`.
        height: In pixels.
        powers: Whether the domain is log₁₀ of what the axis shows.
    """
    edges = np.linspace(*domain, 101)
    ends = 10**edges if powers else edges
    table = pd.DataFrame({"low": ends[:-1], "high": ends[1:], "value": (edges[:-1] + edges[1:]) / 2})
    sides = {"x": axis, "x2": alt.X2("high:Q"), "y": alt.YValue(0), "y2": alt.Y2Value(alt.expr("height"))}
    return tiles(table, sides, "value", scale).properties(height=height, width="container")
