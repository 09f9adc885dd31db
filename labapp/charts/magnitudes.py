"""How are the values of a layer distributed while it trains?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from labapp import palette
from labapp.charts.beyond import marked, marks
from labapp.charts.colours import colour_scale, tiles
from labapp.charts.encodings import INSET, NUMBER, Chart, of_run, of_step, ticks_along, zoom_along
from labapp.charts.layers import layered

APART = {"zero": palette.MARKS["zero"].colour, "NaN or infinite": palette.ALARM}  # bins that have no magnitude
STEPS: dict[str, Any] = {"title": palette.quantity("step").title, "axis": ticks_along(6, grid=False)}
EXTREMES = (("minimum", "least"), ("maximum", "greatest"))
DECADES = 6  # of a symmetric axis, from its greatest value down to where it becomes linear


def histogram_chart(bins: pd.DataFrame, height: int = 300) -> Chart:
    """Shares of values by their magnitude over steps, as colours; zeros and values that are not finite stand apart.

    Args:
        bins: From `frames.magnitudes`, of one layer.
        height: In pixels.
    """
    shown = bins.assign(percent=100 * bins["share"], high=bins["low"] + 1)
    finite = shown[shown["apart"] == ""]
    places = sorted(shown["low"].unique())
    ticks = places[:: max(1, math.ceil(len(places) / 9))]
    words = {place: _power(place) for place in ticks} | {
        place: "0" if name == "zero" else "NaN, ∞"
        for place, name in shown[shown["apart"] != ""][["low", "apart"]].drop_duplicates().itertuples(index=False)
    }
    label = " : ".join(f"datum.value == {place} ? '{word}'" for place, word in words.items()) or "''"
    sides: dict[str, Any] = {
        "x": alt.X("step:Q", scale=alt.Scale(nice=False), **STEPS),
        "x2": alt.X2("step_end:Q"),
        "y": alt.Y(
            "low:Q", title="|x|, bins of a factor of 2", scale=alt.Scale(nice=False, zero=False),
            axis=alt.Axis(values=sorted(words), labelExpr=f"{label} : ''", grid=False),
        ),
        "y2": alt.Y2("high:Q"),
    }  # fmt: skip
    tooltip = [
        alt.Tooltip("layer:N", title="layer"),
        *of_run(),
        of_step(),
        alt.Tooltip("range:N", title="magnitude"),
        alt.Tooltip("percent:Q", title="% of the values", format=NUMBER),
        alt.Tooltip("count:Q", title="values", format=","),
    ]
    largest = float(finite["percent"].max()) if len(finite) else 1.0
    squares = tiles(finite, sides, "percent", colour_scale((0.0, largest or 1.0)))
    layers: list[Any] = [squares.add_params(zoom_along()).encode(tooltip=tooltip)]
    apart = shown[shown["apart"] != ""]
    beyond = []
    if len(apart):
        names = [name for name in APART if (apart["apart"] == name).any()]
        scale = alt.Scale(domain=names, range=[APART[name] for name in names])
        legend = alt.Legend(title=None, orient="bottom", symbolType="square", symbolStrokeWidth=0)
        beyond.append(
            alt.Chart(apart.assign(strength=0.15 + 0.85 * apart["share"]))
            .mark_rect(clip=True)
            .encode(
                **sides, color=alt.Color("apart:N", scale=scale, legend=legend, sort=None), tooltip=tooltip,
                opacity=alt.Opacity("strength:Q", scale=None, legend=None),
            )
        )  # fmt: skip
    return layered(layers, beyond, "color", height=height)


def spread_chart(rows: pd.DataFrame, height: int = 300) -> Chart:
    """Median, quartiles and extremes of a layer's values over steps, on an axis that is linear around zero.

    Args:
        rows: From `frames.spread`, of one layer; one row a step.
        height: In pixels.
    """
    hue = palette.colour(str(rows["family"].iloc[0]) if len(rows) else "")
    five = ["minimum", "lower", "median", "upper", "maximum"]
    shown = rows.assign(**{name: rows[name].astype(float) for name in five})
    fine = shown.assign(**{name: shown[name].where(np.isfinite(shown[name])) for name in five})
    x = alt.X("step:Q", scale=alt.Scale(nice=False, padding=INSET), **STEPS)
    axis = symmetric_axis(fine[five].to_numpy().ravel())
    tooltip = [alt.Tooltip("layer:N", title="layer"), *of_run(), of_step()]
    numbers = [alt.Tooltip(f"{name}:Q", title=name, format=NUMBER) for name in five]
    base = alt.Chart(fine).encode(x=x)
    band = base.mark_area(color=hue, opacity=0.3, clip=True)
    ends = base.mark_line(color=hue, strokeWidth=1, strokeDash=[4, 3], clip=True)
    layers: list[Any] = [
        band.encode(y=alt.Y("lower:Q", title="value", **axis), y2=alt.Y2("upper:Q")),
        base.mark_line(color=hue, strokeWidth=2, clip=True).encode(y=alt.Y("median:Q")).add_params(zoom_along()),
        *(ends.encode(y=alt.Y(f"{name}:Q")) for name, _ in EXTREMES),
        base.mark_point(size=120, opacity=0, clip=True).encode(y=alt.Y("median:Q"), tooltip=[*tooltip, *numbers]),
        *(
            base.mark_point(size=60, opacity=0, clip=True).encode(y=alt.Y(f"{name}:Q"), tooltip=[*tooltip, *numbers])
            for name, _ in EXTREMES
        ),
    ]
    long = pd.concat([shown.assign(value=shown[name], number=word) for name, word in (*EXTREMES, ("median", "median"))])
    beyond = marks(
        marked(long).drop_duplicates(["step", "mark"]), alt.X("step:Q"), alt.ColorValue(hue), "value",
        [*tooltip, alt.Tooltip("number:N", title="which")], clip=True,
    )  # fmt: skip
    return layered(layers, beyond, "shape", height=height)


def symmetric_axis(values: Iterable[float]) -> dict[str, Any]:
    """A scale for values of either sign: linear around zero, logarithmic beyond, with decades as ticks."""
    numbers = np.abs(np.asarray(list(values), dtype=float))
    numbers = numbers[np.isfinite(numbers) & (numbers > 0)]
    if not numbers.size:
        return {"scale": alt.Scale(type="linear", domain=[-1, 1])}
    most = math.ceil(math.log10(numbers.max()) - 1e-9)
    least = min(most - 1, max(math.floor(math.log10(np.quantile(numbers, 0.1))), most - DECADES))
    stride = max(1, math.ceil((most - least) / 3))  # three a side have room, and the least would lie on zero
    powers = list(range(most, least, -stride))
    ticks = [-(10.0**power) for power in powers] + [0.0] + [10.0**power for power in powers[::-1]]
    words = [
        f"−{palette.tick_label(-tick)}" if tick < 0 else palette.tick_label(tick) if tick else "0" for tick in ticks
    ]
    label = " : ".join(f"datum.value == {tick!r} ? '{word}'" for tick, word in zip(ticks, words, strict=True))
    return {
        "scale": alt.Scale(type="symlog", constant=10.0**least, domain=[-(10.0**most), 10.0**most], nice=False),
        "axis": alt.Axis(values=ticks, labelExpr=f"{label} : ''", labelOverlap=False),
    }


def _power(exponent: int) -> str:
    return f"2{str(int(exponent)).translate(palette.SUPERSCRIPT)}"
