"""Which channels died, when, and which came back?"""

from __future__ import annotations

import altair as alt
import pandas as pd

from labapp import palette
from labapp.charts.encodings import INSET, Chart, given, of_run, ticks_along, zoom_along
from labapp.charts.layers import layered


def lifetimes_chart(spans: pd.DataFrame, steps: tuple[int, int], depths: tuple[int, int], height: int = 300) -> Chart:
    """A bar for each time in which a channel was dead, from the step at which it died to that at which it came back.

    A layer has a band of the vertical axis, which its channels share; a ring is where a channel came back.

    Args:
        spans: From `frames.dead_spans`, of one run.
        steps: The first and the last recorded step.
        depths: Of the first and the last layer that can have dead channels.
        height: In pixels.
    """
    family = palette.colour(str(spans["family"].iloc[0]) if len(spans) else "")
    shown = spans.assign(
        low=spans["depth"] - 0.5 + spans["channel"] / spans["channels"],
        high=spans["depth"] - 0.5 + (spans["channel"] + 1) / spans["channels"],
        middle=spans["depth"] - 0.5 + (spans["channel"] + 0.5) / spans["channels"],
        ended=[f"came back at step {end:,}" if back else "to the end" for end, back in zip(
            spans["end"], spans["back"], strict=True)],
    )  # fmt: skip
    tooltip = [
        alt.Tooltip("layer:N", title="layer"),
        alt.Tooltip("depth:Q", title="depth"),
        *of_run(),
        alt.Tooltip("channel:Q", title="channel"),
        alt.Tooltip("channels:Q", title="of channels"),
        alt.Tooltip("step:Q", title="dead from step"),
        alt.Tooltip("ended:N", title="until"),
    ]
    x = alt.X(
        "step:Q", title=palette.quantity("step").title, scale=alt.Scale(domain=list(steps), nice=False, padding=INSET),
        axis=ticks_along(6),
    )  # fmt: skip
    y = alt.Y(
        "low:Q", title="layer, by depth", scale=alt.Scale(domain=[depths[0] - 0.5, depths[1] + 0.5], nice=False),
        axis=alt.Axis(tickCount=6, grid=False),
    )  # fmt: skip
    base = alt.Chart(shown)
    bars = base.mark_rect(strokeWidth=0.6, stroke=family, color=family, clip=True).encode(
        x=x, x2=alt.X2("end:Q"), y=y, y2=alt.Y2("high:Q"), tooltip=tooltip,
        opacity=given(alt.OpacityValue, "datum.back", 0.55, 1.0),
    )  # fmt: skip
    back = (
        alt.Chart(shown[shown["back"].astype(bool)])
        .mark_point(filled=False, size=22, color=palette.MUTED, opacity=1, clip=True)
        .encode(x=alt.X("end:Q"), y=alt.Y("middle:Q"), tooltip=tooltip)
    )
    return layered([bars.add_params(zoom_along()), back], height=height)
