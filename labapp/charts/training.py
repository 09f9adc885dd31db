"""Did they train?"""

from __future__ import annotations

import altair as alt
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
    focus_on_runs,
    log_axis,
    looks,
    of_run,
    of_step,
    positive,
    shaped,
    steps_axis,
    unless,
    zoom_along,
)
from labapp.charts.layers import layered

SPIKE = 2.0  # batches of one moment differ by less once a net has begun to learn


def loss_chart(curves: pd.DataFrame, styles: pd.DataFrame | None = None, height: int = 300) -> Chart:
    """Did they train? Training loss over steps, on a log axis.

    A point may be the mean of several steps; where the greatest of them is more than `SPIKE` times the mean, an upright
    line leads up to it. A loss that is not finite, or zero, is marked at its step.

    Example:
        charts.loss_chart(frames.curves(runs))
    """
    alone, styles = styles is None, looks(styles, curves)
    focus, colour = focus_on_runs(), colour_of(styles, legend=True)  # one for all layers, so that legends agree
    train = curves[curves["split"] == "train"]
    bad = marked(_worst(train), "loss", log=True)
    train = train.assign(loss=positive(train["loss"]))
    high = positive(train["high"])
    train = train.assign(
        low=positive(train["low"]),
        high=high,
        steps=[
            f"{first:,.0f}" if first == last else f"{first:,.0f} – {last:,.0f}"
            for first, last in zip(train["step_first"], train["step_last"], strict=True)
        ],
    )
    axis = log_axis([*train["loss"], *high[high > SPIKE * train["loss"]]], minExtent=MARGIN, maxExtent=MARGIN)
    base = alt.Chart(train).encode(
        x=steps_axis(curves["step"], labelled=alone),  # else the chart below has the labels
        y=alt.Y("loss:Q", title=palette.quantity("loss").title, **axis),
    )
    lines = base.mark_line(strokeWidth=1.2, clip=True).encode(
        color=colour, strokeDash=dash_of(styles, legend=True), opacity=unless(focus)
    )
    hits = base.mark_point(size=90, opacity=0, clip=True).encode(  # a thin line is hard to hit
        tooltip=[
            *of_run(),
            alt.Tooltip("steps:N", title="step"),
            alt.Tooltip("loss:Q", title="training loss, mean", format=NUMBER),
            alt.Tooltip("low:Q", title="least", format=NUMBER),
            alt.Tooltip("high:Q", title="greatest", format=NUMBER),
        ]
    )
    drawn: list[alt.Chart] = [lines.add_params(zoom_along()), hits]
    spikes = train[train["high"] > SPIKE * train["loss"]]
    if len(spikes):
        rules = alt.Chart(spikes).mark_rule(strokeWidth=1.2, clip=True)
        drawn.append(
            rules.encode(x=alt.X("step:Q"), y=alt.Y("loss:Q"), y2=alt.Y2("high:Q"), color=colour, opacity=unless(focus))
        )
    told = [*of_run(), of_step(), alt.Tooltip("nonfinite:Q", title="losses that are not finite")]
    beyond = marks(bad, alt.X("step:Q"), colour, "training loss", told, clip=True, opacity=unless(focus))
    return layered(drawn, beyond, "shape", height=height, focus=focus)


def _worst(train: pd.DataFrame) -> pd.DataFrame:
    """Rows at the step of their first loss that is not finite, where they have one: a mean leaves it out."""
    there = train["bad_step"].notna()
    step, loss = train["bad_step"].where(there, train["step"]), train["bad"].where(there, train["loss"])
    return train.assign(step=step, loss=loss)


def accuracy_chart(curves: pd.DataFrame, styles: pd.DataFrame | None = None, height: int = 220) -> Chart:
    """Does what they learnt hold for other images? Test accuracy over steps, to stand below `loss_chart`.

    Example:
        charts.accuracy_chart(frames.curves(runs))
    """
    styles = looks(styles, curves)
    test = curves[curves["split"] == "test"]
    test = shaped(test.assign(accuracy=100 * test["accuracy"].astype(float)), styles)
    base = alt.Chart(test).encode(
        x=steps_axis(curves["step"]),
        y=alt.Y(
            "accuracy:Q",
            title=palette.quantity("accuracy").title,
            scale=alt.Scale(domain=[0, 100]),
            axis=alt.Axis(tickCount=5, minExtent=MARGIN, maxExtent=MARGIN),
        ),
        color=colour_of(styles),
    )
    threads = base.mark_line(strokeWidth=1, opacity=0.45).encode(strokeDash=dash_of(styles))
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        shape=SHAPE,
        tooltip=[
            *of_run(),
            of_step(),
            alt.Tooltip("accuracy:Q", title="test accuracy, %", format=NUMBER),
            alt.Tooltip("loss:Q", title="test loss", format=NUMBER),
        ],
    )
    told = [*of_run(), of_step(), alt.Tooltip("loss:Q", title="test loss", format=NUMBER)]
    bad = marked(test, "accuracy")
    beyond = marks(bad, alt.X("step:Q"), colour_of(styles), palette.quantity("accuracy").title, told)
    return layered([threads, points], beyond, "shape", height=height)
