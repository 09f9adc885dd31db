"""Did they train?"""

from __future__ import annotations

import altair as alt
import pandas as pd

from labapp import palette
from labapp.charts.encodings import (
    MARGIN,
    NUMBER,
    SHAPE,
    Chart,
    colour_of,
    dash_of,
    focus_on_runs,
    log_axis,
    of_run,
    of_step,
    positive,
    shaped,
    steps_axis,
    unless,
)

LEGEND = 900  # pixels for the legend


def loss_chart(curves: pd.DataFrame, styles: pd.DataFrame, height: int = 300) -> Chart:
    """Did they train? Training loss over steps, on a log axis."""
    focus = focus_on_runs()
    train = curves[curves["split"] == "train"]
    train = train.assign(loss=positive(train["loss"]))
    axis = log_axis(train["loss"], minExtent=MARGIN, maxExtent=MARGIN)
    base = alt.Chart(train).encode(
        x=steps_axis(curves["step"], labelled=False), y=alt.Y("loss:Q", title=palette.quantity("loss").title, **axis)
    )
    lines = base.mark_line(strokeWidth=1.2).encode(
        color=colour_of(styles, LEGEND), strokeDash=dash_of(styles, LEGEND), opacity=unless(focus)
    )
    hits = base.mark_point(size=90, opacity=0).encode(  # a thin line is hard to hit
        tooltip=[of_run(), of_step(), alt.Tooltip("loss:Q", title="training loss", format=NUMBER)]
    )
    return alt.layer(lines, hits).properties(height=height, width="container").add_params(focus)


def accuracy_chart(curves: pd.DataFrame, styles: pd.DataFrame, height: int = 220) -> Chart:
    """Does what they learnt hold for other images? Test accuracy over steps, to stand below `loss_chart`."""
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
            of_run(),
            of_step(),
            alt.Tooltip("accuracy:Q", title="test accuracy, %", format=NUMBER),
            alt.Tooltip("loss:Q", title="test loss", format=NUMBER),
        ],
    )
    return alt.layer(threads, points).properties(height=height, width="container")
