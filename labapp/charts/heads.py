"""Which images does a net take, and does it matter to its head where things stand in them?"""

from __future__ import annotations

import altair as alt
import pandas as pd

from labapp import palette
from labapp.charts.encodings import NUMBER, Chart, ticks_along
from labapp.charts.layers import layered

TAKEN = {True: "taken", False: "refused"}


def sizes_chart(table: pd.DataFrame, family: str) -> Chart:
    """A square for each size that was tried: filled where the net takes it, empty and crossed where it does not.

    Args:
        table: The probe accepted_sizes.
        family: For its colour.
    """
    shown = table.assign(
        verdict=[TAKEN[bool(taken)] for taken in table["accepted"]],
        sign=["" if taken else "×" for taken in table["accepted"]],
        strength=[0.75 if taken else 0.0 for taken in table["accepted"]],
    )
    tooltip = [
        alt.Tooltip("size:O", title="pixels a side"),
        alt.Tooltip("verdict:N", title="the net"),
        alt.Tooltip("positions:Q", title="positions of the last map"),
        alt.Tooltip("note:N", title="note"),
    ]
    x = alt.X("size:O", title="pixels a side", axis=alt.Axis(labelAngle=0, ticks=False, domain=False))
    base = alt.Chart(shown).encode(x=x)
    squares = base.mark_rect(color=palette.colour(family), stroke=palette.MUTED, strokeWidth=0.8).encode(
        fillOpacity=alt.FillOpacity("strength:Q", scale=None, legend=None), tooltip=tooltip
    )
    crosses = base.mark_text(fontSize=15, color=palette.MUTED).encode(text=alt.Text("sign:N"), tooltip=tooltip)
    return layered([squares, crosses], height=118)


def order_chart(table: pd.DataFrame, family: str) -> Chart:
    """Accuracy with the positions of the last map as they are, and permuted, with its interval.

    Args:
        table: The probe spatial_order, one row.
        family: For its colour.
    """
    row = table.iloc[0]
    ways = pd.DataFrame(
        {
            "order": ["as they are", "permuted"],
            "accuracy": [100 * float(row["accuracy"]), 100 * float(row["accuracy_permuted"])],
            "low": [float("nan"), 100 * float(row["low"])],
            "high": [float("nan"), 100 * float(row["high"])],
        }
    )
    hue, title = palette.colour(family), "test accuracy (%)"
    scale = alt.Scale(domain=[0, 100])
    base = alt.Chart(ways).encode(y=alt.Y("order:N", title=None, sort=list(ways["order"])))
    tooltip = [
        alt.Tooltip("order:N", title="positions"),
        alt.Tooltip("accuracy:Q", title="test accuracy, %", format=NUMBER),
        alt.Tooltip("low:Q", title="95 % interval from", format=NUMBER),
        alt.Tooltip("high:Q", title="to", format=NUMBER),
    ]
    rules = base.mark_rule(color=hue, strokeWidth=3, opacity=0.5)
    points = base.mark_point(filled=True, size=90, color=hue, opacity=1)
    along = alt.X("accuracy:Q", title=title, scale=scale, axis=ticks_along(5))
    drawn = [
        rules.encode(x=alt.X("low:Q", title=title, scale=scale), x2=alt.X2("high:Q")),
        points.encode(x=along, tooltip=tooltip),
    ]
    return layered(drawn, height=140)
