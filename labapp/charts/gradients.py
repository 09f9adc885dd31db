"""Does the signal reach the first layer?"""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from labapp import palette
from labapp.charts.beyond import marked, marks
from labapp.charts.encodings import (
    NUMBER,
    SHAPE,
    Chart,
    axis_title,
    colour_of,
    dash_of,
    dotted,
    focus_on_runs,
    log_axis,
    looks,
    of_layer,
    of_run,
    of_step,
    positive,
    shaped,
    steps_axis,
    ticks_along,
    title_of,
    unless,
    zoom_along,
)
from labapp.charts.layers import layered


def profile_chart(
    profile: pd.DataFrame,
    styles: pd.DataFrame | None = None,
    quantity: str = "output_grad_norm",
    relative: bool = False,
    theory: pd.DataFrame | None = None,
    domain: tuple[float, float] | None = None,
    height: int = 470,
) -> Chart:
    """Does the signal reach the first layer? Value against relative depth on a log axis, with a line for each run.

    `domain` fixes the vertical axis while the step changes. The page names the step and the chart does not, because a
    browser keeps a chart whose description stays. Layers whose value is zero or not finite are marked at the edge; what
    theory expects (`frames.expected_gradient`) stands below the lines, in fine dots.

    Example:
        charts.profile_chart(frames.gradient_profile(frames.layer_table(runs), step=0))
    """
    styles = looks(styles, profile)
    focus, colour = focus_on_runs(), colour_of(styles, legend=True)
    title = axis_title(quantity, relative)
    shown = shaped(profile.assign(value=positive(profile["value"])), styles)
    axis = log_axis(domain if domain is not None else shown["value"])
    base = alt.Chart(shown).encode(
        x=alt.X(
            "relative_depth:Q",
            title=palette.quantity("relative_depth").title,
            scale=alt.Scale(domain=[0, 1], nice=False),
            axis=ticks_along(6),
        ),
        y=alt.Y("value:Q", title=title, **axis),
        opacity=unless(focus),
    )
    lines = base.mark_line(strokeWidth=2).encode(color=colour, strokeDash=dash_of(styles, legend=True))
    points = base.mark_point(filled=True, size=34).encode(color=colour, shape=SHAPE, tooltip=of_layer(title))
    layers: list[Any] = [lines, points]
    if theory is not None and len(theory):
        layers = [*dotted(theory, styles, title, focus), *layers]
    beyond = marks(
        marked(profile, log=True), alt.X("relative_depth:Q"), colour, title, of_layer(title)[:-1], opacity=unless(focus)
    )
    head = title_of("Against depth", "at the step that is chosen")
    return layered(layers, beyond, "shape", height=height, focus=focus, title=head)


def slope_chart(
    slopes: pd.DataFrame, styles: pd.DataFrame | None = None, step: int | None = None, height: int = 470
) -> Chart:
    """How does the slope change while the nets train? The band is its interval; `step` is marked.

    Where fewer than two layers have a finite value there is no slope, which is marked.

    Example:
        charts.slope_chart(frames.gradient_slope(frames.layer_table(runs)))
    """
    styles = looks(styles, slopes)
    base = alt.Chart(slopes).encode(x=steps_axis(slopes["step"]))
    band = base.mark_area(line=False, clip=True).encode(
        y=alt.Y("low:Q", title=palette.quantity("slope").title),
        y2=alt.Y2("high:Q"),
        color=colour_of(styles),
        opacity=alt.OpacityValue(0.16),
    )
    lines = base.mark_line(strokeWidth=1.8, clip=True).encode(
        y=alt.Y("slope:Q"), color=colour_of(styles), strokeDash=dash_of(styles)
    )
    fit = [alt.Tooltip("layers:Q", title="layers in the fit"), alt.Tooltip("left_out:Q", title="left out of it")]
    hits = base.mark_point(size=90, opacity=0, clip=True).encode(
        y=alt.Y("slope:Q"),
        tooltip=[
            *of_run(),
            of_step(),
            alt.Tooltip("slope:Q", title="log₁₀ a layer", format=NUMBER),
            alt.Tooltip("low:Q", title="95 % interval from", format=NUMBER),
            alt.Tooltip("high:Q", title="to", format=NUMBER),
            alt.Tooltip("factor:Q", title="growth a layer towards the input", format=NUMBER),
            *fit,
        ],
    )
    beyond = marks(
        marked(slopes, "slope"), alt.X("step:Q"), colour_of(styles), "slope", [*of_run(), of_step(), *fit], clip=True
    )
    rules = [
        alt.Chart(pd.DataFrame({"slope": [0.0]}))
        .mark_rule(color=palette.MUTED, strokeWidth=1)
        .encode(y=alt.Y("slope:Q"))
    ]
    if step is not None:
        here = alt.Chart(pd.DataFrame({"step": [step]}))
        rules.append(here.mark_rule(color=palette.MUTED, strokeDash=[4, 3], clip=True).encode(x=alt.X("step:Q")))
    title = title_of("While they train", "below 0 the gradient grows towards the input")
    drawn = [*rules, band, lines.add_params(zoom_along()), hits]
    return layered(drawn, beyond, "shape", height=height, title=title)
