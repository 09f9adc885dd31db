"""Where do a net's parameters lie, how does it grow, and what does a pyramid on it do?"""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from labapp import palette
from labapp.charts.beyond import cells, marked
from labapp.charts.colours import colour_scale
from labapp.charts.encodings import NUMBER, Chart, given, of_run, ticks_along
from labapp.charts.layers import layered

BAR = 34  # pixels of height of a net's bar
NAMED = 0.07  # share from which a piece of a bar carries its name


def parts_chart(parts: pd.DataFrame) -> Chart:
    """One bar for each net, from 0 to 100 % of its parameters; stages go from pale to strong, linear layers come last.

    Args:
        parts: From `frames.parts`.
    """
    stages = parts["part"].str.startswith("stage")
    deepest = parts["order"].where(stages).groupby(parts["run"]).transform("max").astype(float)
    strength = (0.25 + 0.5 * parts["order"] / deepest).where(stages, 0.12).where(parts["part"] != "linear", 1.0)
    shown = parts.assign(
        colour=[palette.colour(family) for family in parts["family"]],
        strength=strength,
        middle=100 * (parts["start"] + parts["end"]) / 2,
        low=100 * parts["start"],
        high=100 * parts["end"],
        percent=100 * parts["share"],
    )
    linear = parts[parts["part"] == "linear"].set_index("run")["share"]
    called = {run: f"{run}, FC {palette.percent(linear.get(run, 0.0))}" for run in parts["run"]}
    shown["name"] = shown["run"].map(called)
    y = alt.Y(
        "name:N", sort=list(called.values()), title=None, axis=alt.Axis(labelLimit=240, ticks=False, domain=False)
    )
    x = alt.X("low:Q", title="% of the parameters", scale=alt.Scale(domain=[0, 100]), axis=ticks_along(5))
    base = alt.Chart(shown).encode(
        y=y,
        tooltip=[
            *of_run(),
            alt.Tooltip("part:N", title="part"),
            alt.Tooltip("parameters:Q", title="parameters", format=","),
            alt.Tooltip("percent:Q", title="% of the net", format=NUMBER),
            alt.Tooltip("layers:Q", title="layers"),
        ],
    )
    pieces = base.mark_bar(height={"band": 0.72}, stroke=palette.MUTED, strokeWidth=0.7).encode(
        x=x,
        x2=alt.X2("high:Q"),
        color=alt.Color("colour:N", scale=None, legend=None),
        opacity=alt.Opacity("strength:Q", scale=None, legend=None),
    )
    words = alt.Chart(shown[shown["share"] >= NAMED]).encode(x=alt.X("middle:Q"), y=y, text=alt.Text("part:N"))
    halo = words.mark_text(fontSize=11, stroke="#FFFFFF", strokeWidth=3, strokeOpacity=0.75)  # for either page
    names = words.mark_text(fontSize=11, color="#1F1F1F")
    return layered([pieces, halo, names], height=46 + BAR * len(called))


def growth_chart(growth: pd.DataFrame, family: str = "dense", height: int = 230) -> Chart:
    """Channels behind each part of a dense net: what layers add and what transitions keep.

    Args:
        growth: The probe of that name.
        family: For its colour.
        height: In pixels.
    """
    hue = palette.colour(family)
    base = alt.Chart(growth).encode(
        x=alt.X("step:Q", title="part, in order", axis=ticks_along(8)),
        y=alt.Y("channels:Q", title="channels", scale=alt.Scale(zero=True)),
    )
    tooltip = [
        alt.Tooltip("layer:N", title="layer"),
        alt.Tooltip("part:N", title="which is a"),
        alt.Tooltip("block:Q", title="block"),
        alt.Tooltip("channels_in:Q", title="channels read"),
        alt.Tooltip("channels_new:Q", title="channels made"),
        alt.Tooltip("channels:Q", title="channels behind it"),
        alt.Tooltip("compression:Q", title="share kept", format=NUMBER),
    ]
    line = base.mark_line(interpolate="step-after", color=hue, strokeWidth=1.8)
    points = base.mark_point(filled=True, size=34, opacity=1, color=hue).encode(
        shape=alt.Shape(
            "part:N",
            scale=alt.Scale(domain=["stem", "layer", "transition"], range=["square", "circle", "diamond"]),
            legend=alt.Legend(title=None, orient="top"),
        ),
        tooltip=tooltip,
    )
    return layered([line, points], height=height)


def pyramid_chart(levels: pd.DataFrame) -> Chart:
    """Gradient norm of every pyramid level at every stage, as numbers on a colour.

    Args:
        levels: From `frames.pyramid`.
    """
    bad = marked(levels, "gradient_norm")
    whole, levels = levels, levels.drop(bad.index)
    largest = float(levels["gradient_norm"].max()) if len(levels) else 0.0
    scale = colour_scale((0, largest or 1.0))
    order = sorted(whole["level"].unique())
    sides: dict[str, Any] = {
        "x": alt.X("stage:N", title="stage of the net", sort=None, axis=alt.Axis(labelAngle=0, orient="top")),
        "y": alt.Y("level:N", title="level", sort=order[::-1]),
    }
    place = [alt.Tooltip("level:N", title="level"), alt.Tooltip("stage:N", title="stage")]
    norms = [
        alt.Tooltip("gradient_norm:Q", title="gradient norm", format=NUMBER),
        alt.Tooltip("through_lateral:Q", title="through the pyramid alone", format=NUMBER),
    ]
    base = alt.Chart(levels).encode(**sides, tooltip=[*place, *norms])
    squares = base.mark_rect().encode(color=alt.Color("gradient_norm:Q", scale=scale, legend=None))
    # the sequential colours are dark at their low end, on either page
    ink = given(alt.ColorValue, alt.datum.gradient_norm > 0.6 * largest, "#1F1F1F", "#FFFFFF")
    words = base.mark_text(fontSize=13).encode(text=alt.Text("gradient_norm:Q", format=".2~g"), color=ink)
    beyond = cells(bad, sides, [*place, alt.Tooltip("mark:N", title="gradient norm")])
    return layered([squares, words], beyond, "color", "stroke", height=60 + 38 * len(order))
