"""Where do the seeds' numbers lie, and their mean's interval, beside what they had to pass?"""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import pandas as pd

from labapp import palette
from labapp.charts.encodings import Chart, log_axis
from labapp.charts.layers import layered

HEIGHT = 130  # pixels of one number's chart, with its axis


def claim_chart(rows: pd.DataFrame, title: str, threshold: float, above: bool, colour: str, log: bool) -> Chart:
    """One number of a claim: a dot a seed, the mean with its interval of 95 %, and the threshold as a rule.

    Args:
        rows: value, seed, mean, low, high; as they are shown, so factors where `log`.
        title: Of the axis, with the unit.
        threshold: As it is shown.
        above: On which side of it the claim lies, which is shaded.
        colour: Of the verdict.
        log: Whether the numbers are factors.
    """
    numbers = [threshold, *rows[["value", "low", "high", "mean"]].to_numpy(float).ravel()]
    known = [number for number in numbers if math.isfinite(number) and (number > 0 or not log)]
    if log:
        options = log_axis(known)
    else:
        reach = (max(known) - min(known)) or abs(threshold) or 1.0
        domain = [min(known) - 0.08 * reach, max(known) + 0.08 * reach]
        options = {"scale": alt.Scale(domain=domain, nice=False), "axis": alt.Axis(tickCount=6)}

    def along(field: str) -> alt.X:  # every layer on the one scale
        return alt.X(f"{field}:Q", title=title, **options)

    x = along("value")
    low, high = options["scale"]["domain"]
    wanted = pd.DataFrame({"from": [threshold if above else low], "to": [high if above else threshold]})
    side = alt.Chart(wanted).mark_rect(color=colour, opacity=0.14).encode(x=along("from"), x2=alt.X2("to:Q"))
    rule = alt.Chart(pd.DataFrame({"value": [threshold]})).mark_rule(color=palette.MUTED, strokeDash=[4, 3]).encode(x=x)
    told = [
        alt.Tooltip("seed:O"),
        alt.Tooltip("value:Q", title=title, format=".4g"),
        alt.Tooltip("mean:Q", format=".4g"),
        alt.Tooltip("low:Q", title="95 % interval from", format=".4g"),
        alt.Tooltip("high:Q", title="to", format=".4g"),
    ]
    layers: list[Any] = [side, rule]
    base = alt.Chart(rows).encode(tooltip=told)
    if rows["low"].notna().any():
        ends = {"left": rows["low"].clip(lower=low), "right": rows["high"].clip(upper=high)}  # inside what is shown
        first = alt.Chart(rows.assign(**ends).head(1)).encode(tooltip=told[2:])
        layers.append(
            first.mark_rule(color=colour, strokeWidth=4, opacity=0.5).encode(x=along("left"), x2=alt.X2("right:Q"))
        )
        layers.append(first.mark_tick(color=colour, thickness=3, size=22).encode(x=along("mean")))
    layers.append(base.mark_point(filled=True, size=55, color=colour, opacity=0.9).encode(x=x))
    return layered(layers, height=HEIGHT)
