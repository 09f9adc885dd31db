"""Do nets look at the same places, and when does a net begin to look where it looks in the end?"""

from __future__ import annotations

import altair as alt
import pandas as pd

from labapp import palette
from labapp.charts.beyond import NO_VALUE, cells, marked, marks
from labapp.charts.colours import colour_scale
from labapp.charts.encodings import (
    Chart,
    colour_of,
    dash_of,
    focus_on_runs,
    given,
    looks,
    of_run,
    of_step,
    steps_axis,
    unless,
)
from labapp.charts.layers import layered


def agreement_chart(table: pd.DataFrame, measure: str = "rank correlation", order: list[str] | None = None) -> Chart:
    """Every pair of nets as a square: `table` with columns a, b, measure, mean, low, high, images."""
    rows = table[table["measure"] == measure]
    both = pd.concat([rows, rows.rename(columns={"a": "b", "b": "a"})], ignore_index=True)
    names = order or list(dict.fromkeys([*rows["a"], *rows["b"]]))
    x = alt.X("a:N", title=None, sort=names, axis=alt.Axis(labelAngle=0, labelLimit=110, orient="top"))
    y = alt.Y("b:N", title=None, sort=names, axis=alt.Axis(labelLimit=140))
    tooltip = [
        alt.Tooltip("a:N", title="net"),
        alt.Tooltip("b:N", title="and"),
        alt.Tooltip("mean:Q", title=measure, format=".2f"),
        alt.Tooltip("low:Q", title="from", format=".2f"),
        alt.Tooltip("high:Q", title="to", format=".2f"),
        alt.Tooltip("images:Q"),
    ]
    scale = colour_scale((-1, 1), diverging=True)
    bad = marked(both, "mean")
    base = alt.Chart(both.drop(bad.index)).encode(x=x, y=y, tooltip=tooltip)
    squares = base.mark_rect(cornerRadius=2).encode(color=alt.Color("mean:Q", scale=scale, legend=None))
    # the diverging colours are dark at its ends and light in the middle, on either page
    ink = given(alt.ColorValue, alt.expr.abs(alt.datum.mean) > 0.6, "#FFFFFF", "#1F1F1F")
    words = base.mark_text(fontSize=13).encode(text=alt.Text("mean:Q", format=".2f"), color=ink)
    bad = bad.assign(mark=bad["mark"].replace("NaN", NO_VALUE))
    beyond = cells(bad, {"x": x, "y": y}, [*tooltip, alt.Tooltip("mark:N", title=measure)], cornerRadius=2)
    return layered([squares, words], beyond, "color", "stroke", height=40 + 44 * len(names))


def drift_chart(table: pd.DataFrame, styles: pd.DataFrame | None = None) -> Chart:
    """ρ of each checkpoint's map with the last one's, over steps; `table` with run, step, measure, mean."""
    styles = looks(styles, table)
    rows = table[table["measure"] == "formed"]
    rows = rows.assign(run_id=rows["run"].map(styles.set_index("run")["run_id"]))
    focus = focus_on_runs()
    x = steps_axis(rows["step"])
    x["scale"] = alt.Scale(type="symlog", constant=1, nice=False)  # checkpoints are log-spaced, from 0 on
    base = alt.Chart(rows).encode(
        x=x,
        y=alt.Y("mean:Q", title="ρ with the last map", scale=alt.Scale(domain=[-1, 1])),
        color=colour_of(styles),
        tooltip=[*of_run(), of_step(), alt.Tooltip("mean:Q", title="ρ with the last map", format=".2f")],
        opacity=unless(focus),
    )
    lines = base.mark_line(strokeWidth=2).encode(strokeDash=dash_of(styles))
    drawn = [lines.add_params(focus), base.mark_point(filled=True, size=45)]
    told = [*of_run(), of_step()]
    beyond = marks(
        marked(rows, "mean"), alt.X("step:Q"), colour_of(styles), "ρ with the last map", told, opacity=unless(focus)
    )
    return layered(drawn, beyond, "shape", height=220)


def scores_chart(rows: pd.DataFrame, styles: pd.DataFrame | None = None, quantity: str = "map_energy") -> Chart:
    """Scores of maps over many images with their 95 % intervals, one row a score and run.

    Args:
        rows: From `frames.map_scores`, of one quantity.
        styles: Of the runs.
        quantity: Its name.
    """
    styles = looks(styles, rows)
    about = palette.quantity(quantity)
    factor = 100.0 if about.unit.startswith("%") else 1.0
    shown = rows.assign(**{name: factor * rows[name].astype(float) for name in ("value", "low", "high")})
    shown = shown.assign(row=shown["of"] + " · " + shown["run"])
    ends = [0.0, *shown[["value", "low", "high"]].to_numpy().ravel()]
    ends = [end for end in ends if end == end]
    x = alt.X("value:Q", title=about.title, scale=alt.Scale(domain=[min(ends), max(ends) or 1.0], nice=True))
    y = alt.Y("row:N", title=None, sort=None, axis=alt.Axis(labelLimit=190))
    tooltip = [
        *of_run(), of_step(), alt.Tooltip("of:N", title="of"),
        alt.Tooltip("value:Q", title=about.title, format=".3g"),
        alt.Tooltip("low:Q", title="95 % interval from", format=".3g"), alt.Tooltip("high:Q", title="to", format=".3g"),
        alt.Tooltip("images:Q"), alt.Tooltip("note:N"),
    ]  # fmt: skip
    bad = marked(shown, "value")
    base = alt.Chart(shown.drop(bad.index)).encode(y=y, color=colour_of(styles), tooltip=tooltip)
    drawn = [
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=about.title), x2=alt.X2("high:Q")),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=x),
    ]
    height = 90 + 24 * max(1, shown["row"].nunique())
    return layered(drawn, [], "shape", height=height)
