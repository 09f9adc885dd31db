"""What do the layers do with the signal?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from labapp import palette
from labapp.charts.beyond import marked, marks
from labapp.charts.encodings import (
    MARGIN,
    NUMBER,
    SHAPE,
    Chart,
    colour_of,
    dash_of,
    dotted,
    log_axis,
    log_span,
    looks,
    noted,
    of_layer,
    outward,
    positive,
    shaped,
    ticks_along,
    typed,
)
from labapp.charts.layers import layered

WHOLE = ("zero_fraction", "linear_probe")  # drawn from 0 to 100 %
PARTS = {  # what hovering adds where a value is the ratio of two
    "dead_share": ("dead", "of channels"),
    "forward_ratio": ("‖branch‖", "‖shortcut‖"),
    "backward_ratio": ("gradient by the branch", "by the shortcut"),
}


def signal_chart(
    rows: pd.DataFrame,
    styles: pd.DataFrame | None = None,
    quantity: str = "output_std",
    span: tuple[float, float] | None = None,
    band: tuple[float, float] | None = None,
    even: float | None = None,
    theory: pd.DataFrame | None = None,
    interval: bool = False,
    told: Mapping[str, str] | None = None,
    height: int = 250,
) -> Chart:
    """One signal against relative depth, with a line for each run.

    Args:
        rows: From `frames.at_step`, of one quantity; shares become per cent.
        styles: From `palette.styles`; chosen, and explained by a legend, when left out.
        quantity: Its name.
        span: Least and largest value at any step, so that the axis stands still while the step changes; those of the
            rows when left out.
        band: A range to shade.
        even: A value to draw a rule at.
        theory: From `frames.expected`, of the same quantity.
        interval: Whether to shade from low to high; for linear axes.
        told: What hovering tells besides: columns and their titles.
        height: In pixels.

    Example:
        charts.signal_chart(frames.at_step(frames.signals(runs), 0).query("quantity == 'output_std'"))
    """
    styles, about = looks(styles, rows), palette.quantity(quantity)
    span = span or _span(rows["value"].astype(float), about.log)
    percent = about.unit.startswith("%")
    numbers = ["value", "low", "high"] if interval else ["value"]
    scaled = rows[numbers].astype(float) * (100 if percent else 1)
    shown = shaped(rows.assign(**{name: scaled[name] for name in numbers}), styles)
    fine = positive(shown["value"]).notna() if about.log else np.isfinite(shown["value"])
    y, fill = _vertical(about, quantity, span, band, percent, max(2, height // 50))
    x = alt.X(
        "relative_depth:Q",
        title="relative depth",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=ticks_along(4),
    )
    tooltip = of_layer(about.title)
    tooltip += [
        alt.Tooltip(f"{field}:Q", title=title, format=NUMBER)
        for field, title in zip(("part", "whole"), PARTS.get(quantity, ()), strict=False)
    ]
    if interval:
        ends = (("low", "from" if told else "95 % interval from"), ("high", "to"))
        tooltip += [alt.Tooltip(f"{field}:Q", title=title, format=NUMBER) for field, title in ends]
    tooltip += [alt.Tooltip(f"{field}:{typed(shown[field])}", title=title) for field, title in (told or {}).items()]
    tooltip += noted(shown)
    base = alt.Chart(shown.assign(value=shown["value"].where(fine))).encode(x=x, y=y)
    if theory is not None and len(theory):
        fill = fill + dotted(theory.assign(value=theory["value"] * (100 if percent else 1)), styles, about.title)
    layers: list[Any] = fill + [
        alt.Chart(pd.DataFrame({"value": [even]}))
        .mark_rule(color=palette.MUTED, strokeDash=[4, 3])
        .encode(y=alt.Y("value:Q"))
    ] * (even is not None)
    if interval and shown["low"].notna().any():
        shade = base.mark_area(line=False).encode(y=alt.Y("low:Q", title=about.unit or about.name), y2=alt.Y2("high:Q"))
        layers.append(shade.encode(color=colour_of(styles), opacity=alt.OpacityValue(0.14)))
    layers.append(base.mark_line(strokeWidth=1.6).encode(color=colour_of(styles), strokeDash=dash_of(styles)))
    layers.append(base.mark_point(filled=True, size=26, opacity=1).encode(color=colour_of(styles), shape=SHAPE))
    layers.append(base.mark_point(size=140, opacity=0).encode(tooltip=tooltip))  # a small point is hard to hit
    where = [*of_layer(about.title)[:-1], *noted(shown)]
    beyond = marks(marked(shown, log=about.log), alt.X("relative_depth:Q"), colour_of(styles), about.title, where)
    return layered(layers, beyond, "shape", height=height)


def _span(values: pd.Series, log: bool) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return log_span(known) if log or known.empty else (float(known.min()), float(known.max()))


def _vertical(
    about: palette.Caption,
    quantity: str,
    span: tuple[float, float],
    band: tuple[float, float] | None,
    percent: bool,
    ticks: int,
) -> tuple[alt.Y, list[Any]]:
    """The vertical axis, and the band to shade behind everything."""
    title = about.unit or about.name
    if not about.log:
        top = max(5.0, 100 * span[1]) if percent else span[1] or 1.0
        top = 100.0 if quantity in WHOLE else top
        low = min(0.0, span[0]) * (100 if percent else 1)
        low, top = outward(low, top)
        axis = alt.Axis(tickCount=ticks, minExtent=MARGIN, maxExtent=MARGIN)
        return alt.Y("value:Q", title=title, axis=axis, scale=alt.Scale(domain=[low, top], nice=True)), []
    options = log_axis([*span, *(band or ())], minExtent=MARGIN, maxExtent=MARGIN)
    y = alt.Y("value:Q", title=title, **options)
    if band is None:
        return y, []
    edges = pd.DataFrame({"value": [band[0]], "high": [band[1]]})
    shade = alt.Chart(edges).mark_rect(color=palette.MUTED, opacity=0.16).encode(y=y, y2=alt.Y2("high:Q"))
    return y, [shade]
