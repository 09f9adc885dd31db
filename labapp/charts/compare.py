"""How does side B differ from side A: over depth, and while they train?"""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from labapp import palette
from labapp.charts.beyond import marked, marks
from labapp.charts.encodings import MARGIN, NUMBER, Chart, log_axis, log_span, noted, positive, steps_axis
from labapp.charts.layers import layered

FAR = 10.0  # an interval that reaches further than this beyond all ratios is cut at the edge of the plot
BETWEEN = 0.16  # opacity of an interval


def ratio_chart(
    rows: pd.DataFrame,
    colour: str,
    quantity: str,
    span: tuple[float, float] | None = None,
    height: int = 420,
    legend: bool = True,
) -> Chart:
    """B ÷ A of one quantity against relative depth, with its interval; of what has either sign B − A.

    Args:
        rows: From `frames.compare.by_depth`, of one step.
        colour: Of side B.
        quantity: Its name.
        span: Least and largest number at any step (`ratio_span`), so that the axis stands still while the step changes.
        height: In pixels.
        legend: Whether the vertical axis says what it shows; small multiples have it in their heading.
    """
    about = palette.quantity(quantity)
    signed, shown, drawn = _read(rows)
    words = f"B − A, {about.name}" if signed else f"B ÷ A, {about.name}"
    title = words if legend else None
    y = alt.Y("value:Q", title=title, **_axis(_held(span, _ends(drawn, signed)), signed))
    x = alt.X(
        "relative_depth:Q",
        title=palette.quantity("relative_depth").title if legend else "relative depth",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(tickCount=6 if legend else 4),
    )
    base = alt.Chart(drawn).encode(x=x, y=y)
    even = alt.Chart(pd.DataFrame({"value": [0.0 if signed else 1.0]}))
    layers: list[Any] = [even.mark_rule(color=palette.MUTED, strokeDash=[4, 3]).encode(y=alt.Y("value:Q"))]
    if drawn["low"].notna().any():
        band = base.mark_area(line=False, clip=True, color=colour, opacity=BETWEEN)
        layers.append(band.encode(y=alt.Y("low:Q", title=title), y2=alt.Y2("high:Q")))
    tooltip = _of_place(about, words, signed, shown)
    layers += [
        base.mark_line(strokeWidth=1.8, color=colour),
        base.mark_point(filled=True, size=26, color=colour, opacity=1),
        base.mark_point(size=140, opacity=0).encode(tooltip=tooltip),  # a small point is hard to hit
    ]
    beyond = marks(marked(shown, log=not signed), alt.X("relative_depth:Q"), alt.ColorValue(colour), words, tooltip)
    return layered(layers, beyond, "shape", height=height)


def ratio_span(rows: pd.DataFrame) -> tuple[float, float]:
    """The least and the largest number that the vertical axis of `ratio_chart` has to hold, of any steps."""
    signed, _, drawn = _read(rows)
    return _ends(drawn, signed)


def _read(rows: pd.DataFrame) -> tuple[bool, pd.DataFrame, pd.DataFrame]:
    """Whether rows have either sign, so that B − A is shown; value, low and high, all of them and as they are drawn."""
    signed = bool(rows["ratio"].isna().all() and rows["difference"].notna().any())
    value, low, high = ("difference", "least", "most") if signed else ("ratio", "low", "high")
    shown = rows.assign(value=rows[value].astype(float), low=rows[low].astype(float), high=rows[high].astype(float))
    drawn = shown if signed else shown.assign(**{name: positive(shown[name]) for name in ("value", "low", "high")})
    return signed, shown, drawn


def _ends(drawn: pd.DataFrame, signed: bool) -> tuple[float, float]:
    values = drawn["value"][np.isfinite(drawn["value"])]
    ends = drawn[["low", "high"]].to_numpy(float).ravel()
    ends = ends[np.isfinite(ends)]
    if not signed:
        least, most = log_span([*values, 1.0])
        return log_span([least, most, *np.clip(ends, least / FAR, most * FAR)])
    reach = float(np.abs(values).max()) if len(values) else 1.0
    top = min(max(reach, float(np.abs(ends).max()) if len(ends) else 0.0), FAR * reach) or 1.0
    return -top, top


def _held(span: tuple[float, float] | None, ends: tuple[float, float]) -> tuple[float, float]:
    """The span of all steps, and this one's ends; a step may have differences alone where others have ratios."""
    if span is None or (span[0] < 0) != (ends[0] < 0):
        return ends
    return min(span[0], ends[0]), max(span[1], ends[1])


def _axis(ends: tuple[float, float], signed: bool) -> dict[str, Any]:
    if not signed:
        return log_axis(ends, minExtent=MARGIN, maxExtent=MARGIN)
    axis = alt.Axis(tickCount=5, minExtent=MARGIN, maxExtent=MARGIN)
    return {"scale": alt.Scale(domain=[1.05 * end for end in ends], nice=False), "axis": axis}


def _of_place(about: palette.Caption, words: str, signed: bool, rows: pd.DataFrame) -> list[alt.Tooltip]:
    """The tooltips of a layer: where it is, both sides, and what is between them."""
    return [
        alt.Tooltip("layer:N", title="layer"),
        alt.Tooltip("of:N", title="of side"),
        alt.Tooltip("relative_depth:Q", title="relative depth", format=NUMBER),
        alt.Tooltip("step:Q", title="step"),
        alt.Tooltip("a:Q", title=f"A, {about.name}", format=NUMBER),
        alt.Tooltip("b:Q", title=f"B, {about.name}", format=NUMBER),
        alt.Tooltip("value:Q", title="B − A" if signed else "B ÷ A", format=NUMBER),
        alt.Tooltip("low:Q", title="95 % interval from", format=NUMBER),
        alt.Tooltip("high:Q", title="to", format=NUMBER),
        alt.Tooltip("runs_a:Q", title="runs in A"),
        alt.Tooltip("runs_b:Q", title="runs in B"),
        *noted(rows),
    ]


def difference_chart(course: pd.DataFrame, colour: str, quantity: str, height: int = 220) -> Chart:
    """B − A of a curve over steps, with its interval: of a loss in nats, of an accuracy in points.

    Args:
        course: From `frames.compare.course`.
        colour: Of side B.
        quantity: loss or accuracy.
        height: In pixels.
    """
    points = quantity.endswith("accuracy")
    numbers = course[["difference", "least", "most"]].astype(float) * (100 if points else 1)
    shown = course.assign(value=numbers["difference"], low=numbers["least"], high=numbers["most"])
    title = "B − A (points)" if points else "B − A (nats)"
    base = alt.Chart(shown).encode(
        x=steps_axis(shown["step"]), y=alt.Y("value:Q", title=title, **_axis(_ends(shown, signed=True), signed=True))
    )
    layers: list[Any] = [
        alt.Chart(pd.DataFrame({"value": [0.0]}))
        .mark_rule(color=palette.MUTED, strokeDash=[4, 3])
        .encode(y=alt.Y("value:Q"))
    ]
    if shown["low"].notna().any():
        band = base.mark_area(line=False, clip=True, color=colour, opacity=BETWEEN)
        layers.append(band.encode(y=alt.Y("low:Q", title=title), y2=alt.Y2("high:Q")))
    tooltip = [
        alt.Tooltip("step:Q", title="step"),
        alt.Tooltip("a:Q", title="A", format=NUMBER),
        alt.Tooltip("b:Q", title="B", format=NUMBER),
        alt.Tooltip("value:Q", title=title, format=NUMBER),
        alt.Tooltip("low:Q", title="95 % interval from", format=NUMBER),
        alt.Tooltip("high:Q", title="to", format=NUMBER),
        alt.Tooltip("runs_a:Q", title="runs in A"),
        alt.Tooltip("runs_b:Q", title="runs in B"),
        *noted(shown),
    ]
    layers += [
        base.mark_line(strokeWidth=1.6, color=colour),
        base.mark_point(filled=True, size=24, color=colour, opacity=1),
        base.mark_point(size=90, opacity=0).encode(tooltip=tooltip),
    ]
    beyond = marks(marked(shown), alt.X("step:Q"), alt.ColorValue(colour), title, tooltip)
    return layered(layers, beyond, "shape", height=height)
