"""How does a tidy table look on the screen?

One function a picture: a table from `frames`, the styles from `palette.styles`, out comes an Altair chart that follows
the page's light or dark theme. Hovering names the run and the layer; clicking a run in a legend leaves the others pale.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from labapp import palette
from labapp.config import listed

PALE = 0.12
NUMBER = ".3~g"
IN_LEGEND = "legend"
MARGIN = 42  # pixels for the labels of a vertical axis, so that charts above each other share their left edge
Chart = alt.LayerChart | alt.FacetChart


def loss_chart(curves: pd.DataFrame, styles: pd.DataFrame, height: int = 300) -> Chart:
    """Did they train? Training loss over steps: thin lines, log axis."""
    focus = _focus()
    train = curves[curves["split"] == "train"]
    train = train.assign(loss=_positive(train["loss"]))
    axis = log_axis(train["loss"], minExtent=MARGIN, maxExtent=MARGIN)
    base = alt.Chart(train).encode(
        x=_steps(curves["step"], labelled=False), y=alt.Y("loss:Q", title=palette.quantity("loss").title, **axis)
    )
    lines = base.mark_line(strokeWidth=1.2).encode(
        color=_colour(styles), strokeDash=_dash(styles), opacity=_unless(focus)
    )
    hits = base.mark_point(size=90, opacity=0).encode(  # a thin line is hard to hit
        tooltip=[_of_run(), _of_step(), alt.Tooltip("loss:Q", title="training loss", format=NUMBER)]
    )
    return alt.layer(lines, hits).properties(height=height, width="container").add_params(focus)


def accuracy_chart(curves: pd.DataFrame, styles: pd.DataFrame, height: int = 220) -> Chart:
    """Did they learn what holds for other images? Test accuracy over steps: points, below the loss on the same axis."""
    test = curves[curves["split"] == "test"]
    test = _shaped(test.assign(accuracy=100 * test["accuracy"].astype(float)), styles)
    base = alt.Chart(test).encode(
        x=_steps(curves["step"]),
        y=alt.Y(
            "accuracy:Q",
            title=palette.quantity("accuracy").title,
            scale=alt.Scale(domain=[0, 100]),
            axis=alt.Axis(tickCount=5, minExtent=MARGIN, maxExtent=MARGIN),
        ),
        color=_colour(styles, legend=False),
    )
    threads = base.mark_line(strokeWidth=1, opacity=0.45).encode(strokeDash=_dash(styles, legend=False))
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        shape=SHAPE,
        tooltip=[
            _of_run(),
            _of_step(),
            alt.Tooltip("accuracy:Q", title="test accuracy, %", format=NUMBER),
            alt.Tooltip("loss:Q", title="test loss", format=NUMBER),
        ],
    )
    return alt.layer(threads, points).properties(height=height, width="container")


def profile_chart(
    profile: pd.DataFrame,
    styles: pd.DataFrame,
    quantity: str,
    relative: bool = False,
    theory: pd.DataFrame | None = None,
    domain: tuple[float, float] | None = None,
    height: int = 470,
) -> Chart:
    """Does the signal reach the first layer? Value against relative depth, log axis, one line a run.

    `domain` fixes the vertical axis while the step changes. Layers whose value is zero or not finite stand on the axis
    as crosses.
    """
    focus = _focus()
    title = axis_title(quantity, relative)
    steps = sorted(profile["step"].unique())
    at = f"step {listed((f'{step:,}' for step in steps), 'or')}" if steps else ""
    shown = _shaped(profile.assign(value=_positive(profile["value"])), styles)
    axis = log_axis(domain if domain is not None else shown["value"])
    base = alt.Chart(shown).encode(
        x=alt.X(
            "relative_depth:Q",
            title="relative depth (0: next to the image, 1: last layer)",
            scale=alt.Scale(domain=[0, 1], nice=False),
            axis=alt.Axis(tickCount=6),
        ),
        y=alt.Y("value:Q", title=title, **axis),
        opacity=_unless(focus),
    )
    lines = base.mark_line(strokeWidth=2).encode(color=_colour(styles), strokeDash=_dash(styles))
    points = base.mark_point(filled=True, size=34).encode(color=_colour(styles), shape=SHAPE, tooltip=_of_layer(title))
    layers: list[Any] = [lines, points]
    bad = profile[profile["state"] != "finite"]
    if len(bad):
        layers.append(
            alt.Chart(bad)
            .mark_point(shape="M-1,-1L1,1M1,-1L-1,1", size=70, strokeWidth=1.8, filled=False)
            .encode(
                x="relative_depth:Q",
                y=alt.value(alt.expr("height - 7")),
                color=_colour(styles),
                tooltip=[*_of_layer(title)[:-1], alt.Tooltip("state:N", title=title)],
            )
        )
    if theory is not None and len(theory):
        layers.append(
            alt.Chart(theory)
            .mark_line(strokeWidth=1.2, strokeDash=[2, 3], color=palette.MUTED)
            .encode(x="relative_depth:Q", y="value:Q", detail="run:N")
        )
    return (
        alt.layer(*layers)
        .properties(height=height, width="container", title=_title("Against depth", at))
        .add_params(focus)
    )


def slope_chart(slopes: pd.DataFrame, styles: pd.DataFrame, step: int | None = None, height: int = 470) -> Chart:
    """How does the slope change while the nets train? The band is its interval; `step` is marked."""
    base = alt.Chart(slopes).encode(x=_steps(slopes["step"]))
    band = base.mark_area(line=False).encode(
        y=alt.Y("low:Q", title=palette.quantity("slope").title),
        y2="high:Q",
        color=_colour(styles, legend=False),
        opacity=alt.value(0.16),
    )
    lines = base.mark_line(strokeWidth=1.8).encode(
        y="slope:Q", color=_colour(styles, legend=False), strokeDash=_dash(styles, legend=False)
    )
    hits = base.mark_point(size=90, opacity=0).encode(
        y="slope:Q",
        tooltip=[
            _of_run(),
            _of_step(),
            alt.Tooltip("slope:Q", title="log₁₀ a layer", format=NUMBER),
            alt.Tooltip("low:Q", title="95 % interval from", format=NUMBER),
            alt.Tooltip("high:Q", title="to", format=NUMBER),
            alt.Tooltip("factor:Q", title="growth a layer towards the input", format=NUMBER),
            alt.Tooltip("layers:Q", title="layers in the fit"),
        ],
    )
    rules = [
        alt.Chart(pd.DataFrame({"slope": [0.0]})).mark_rule(color=palette.MUTED, strokeWidth=1).encode(y="slope:Q")
    ]
    if step is not None:
        marked = alt.Chart(pd.DataFrame({"step": [step]}))
        rules.append(marked.mark_rule(color=palette.MUTED, strokeDash=[4, 3]).encode(x="step:Q"))
    title = _title("While they train", "below 0 the gradient grows towards the input")
    return alt.layer(*rules, band, lines, hits).properties(height=height, width="container", title=title)


def heatmap_chart(
    cells: pd.DataFrame, quantity: str, domain: tuple[float, float], relative: bool = False, height: int = 270
) -> Chart:
    """Depth × step of one run; `domain` (log10) is that of all heatmaps on the page, so that colours compare."""
    title = axis_title(quantity, relative)
    shown = cells.assign(shown=10 ** cells["value"].astype(float))
    x = alt.X(
        "step:Q",
        title=palette.quantity("step").title,
        scale=alt.Scale(nice=False),
        axis=alt.Axis(tickCount=6, grid=False),
    )
    y = alt.Y("depth_start:Q", title="layer", scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=6, grid=False))
    place = [
        alt.Tooltip("layer:N", title="layer"),
        alt.Tooltip("depth:Q", title="depth"),
        _of_step(),
    ]
    scale = alt.Scale(domain=list(domain), range=list(_range(relative)), clamp=True, interpolate="rgb")
    tiles = (
        alt.Chart(shown[shown["state"] == "finite"])
        .mark_rect(strokeWidth=1.2)
        .encode(
            x=x,
            x2="step_end:Q",
            y=y,
            y2="depth_end:Q",
            color=alt.Color("value:Q", scale=scale, legend=None),
            stroke=alt.Stroke("value:Q", scale=scale, legend=None),  # closes the hairlines between cells
            tooltip=[*place, alt.Tooltip("shown:Q", title=title, format=NUMBER)],
        )
    )
    layers = [tiles]
    bad = shown[shown["state"] != "finite"]
    if len(bad):
        layers.append(
            alt.Chart(bad)
            .mark_rect(color=palette.ALARM, stroke=palette.ALARM, strokeWidth=0.8)
            .encode(x=x, x2="step_end:Q", y=y, y2="depth_end:Q", tooltip=[*place, alt.Tooltip("state:N", title=title)])
        )
    return alt.layer(*layers).properties(height=height, width="container", title=str(cells["run"].iloc[0]))


def scale_chart(quantity: str, domain: tuple[float, float], relative: bool = False) -> alt.Chart:
    """The colour bar that all heatmaps of a page share."""
    edges = np.linspace(*domain, 101)
    table = pd.DataFrame({"low": 10 ** edges[:-1], "high": 10 ** edges[1:], "value": (edges[:-1] + edges[1:]) / 2})
    scale = alt.Scale(domain=list(domain), range=list(_range(relative)), interpolate="rgb")
    axis = log_axis([10 ** domain[0], 10 ** domain[1]], nice=False)
    return (
        alt.Chart(table)
        .mark_rect()
        .encode(
            x=alt.X("low:Q", title=axis_title(quantity, relative), **axis),
            x2="high:Q",
            y=alt.value(0),
            y2=alt.value(alt.expr("height")),
            color=alt.Color("value:Q", scale=scale, legend=None),
            stroke=alt.Stroke("value:Q", scale=scale, legend=None),
        )
        .properties(height=92, width="container")
    )


def axis_title(quantity: str, relative: bool) -> str:
    """A quantity as the title of an axis: with its unit, or against the last layer's."""
    about = palette.quantity(quantity)
    return f"{about.name} ÷ last layer's" if relative else about.title


def colour_domain(values: Iterable[float], relative: bool = False) -> tuple[float, float]:
    """The span of a log10 colour scale over all that is shown; symmetric about 0 where values are relative."""
    numbers = np.asarray(list(values), dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (-1.0, 0.0)
    if relative:
        high = max(abs(low), abs(high), 0.1)
        return -high, high
    return (low, high) if high - low > 0.1 else (low - 0.1, high + 0.1)


def log_axis(values: Iterable[float], nice: bool = True, **options: Any) -> dict[str, Any]:
    """A log scale over the positive finite values, whose ticks can be read: 0.01, 1, 100 or 10⁻⁷, never a crowd."""
    numbers = np.asarray(list(values), dtype=float)
    numbers = numbers[np.isfinite(numbers) & (numbers > 0)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.1, 1.0)
    if low == high:
        low, high = low / 2, high * 2
    ticks = palette.log_ticks(low, high)
    if nice:
        pad = (high / low) ** 0.04
        low, high = low / pad, high * pad
    labels = " : ".join(f"datum.value == {tick!r} ? '{palette.tick_label(tick)}'" for tick in ticks) + " : ''"
    return {
        "scale": alt.Scale(type="log", domain=[low, high], nice=False),
        "axis": alt.Axis(values=ticks, labelExpr=labels, grid=True, **options),
    }


def _title(text: str, below: str) -> alt.Title:
    return alt.Title(
        text,
        anchor="start",
        subtitle=below,
        subtitleColor=palette.MUTED,
        subtitlePadding=4,
    )


def _range(relative: bool) -> tuple[str, ...]:
    return palette.DIVERGING if relative else palette.SEQUENTIAL


def _positive(values: pd.Series) -> pd.Series:
    """What a log axis can show; the rest is a gap in the line."""
    numbers = values.astype(float)
    return numbers.where(np.isfinite(numbers) & (numbers > 0))


def _steps(steps: pd.Series, labelled: bool = True) -> alt.X:
    """The axis of steps; one that stands above another leaves the labels to it."""
    axis = alt.Axis(tickCount=8) if labelled else alt.Axis(tickCount=8, labels=False, ticks=False)
    title = palette.quantity("step").title if labelled else None
    return alt.X("step:Q", title=title, axis=axis, scale=_whole(steps))


def _whole(steps: pd.Series) -> alt.Scale:
    return alt.Scale(domain=[float(steps.min()), float(steps.max())], nice=False) if len(steps) else alt.Scale()


def _focus() -> alt.Parameter:
    return alt.selection_point(fields=["run"], bind=IN_LEGEND)


def _unless(focus: alt.Parameter, shown: float = 1.0, pale: float = PALE) -> Any:
    return alt.when(focus).then(alt.value(shown)).otherwise(alt.value(pale))


def _legend(styles: pd.DataFrame) -> alt.Legend:
    return alt.Legend(
        title=None,
        orient="top",
        symbolType="stroke",
        symbolSize=500,
        symbolStrokeWidth=2.2,
        labelLimit=300,
        columns=min(5, len(styles)),
    )


def _colour(styles: pd.DataFrame, legend: bool = True) -> alt.Color:
    scale = alt.Scale(domain=list(styles["run"]), range=list(styles["colour"]))
    return alt.Color("run:N", scale=scale, legend=_legend(styles) if legend else None, sort=None)


def _dash(styles: pd.DataFrame, legend: bool = True) -> alt.StrokeDash:
    scale = alt.Scale(domain=list(styles["run"]), range=[dash or [1, 0] for dash in styles["dash"]])
    return alt.StrokeDash("run:N", scale=scale, legend=_legend(styles) if legend else None, sort=None)


def _shaped(table: pd.DataFrame, styles: pd.DataFrame) -> pd.DataFrame:
    """The table with its markers as a column: an encoding of their own would turn the legend's lines into markers."""
    return table.assign(shape=table["run"].map(styles.set_index("run")["shape"]))


SHAPE = alt.Shape("shape:N", scale=None, legend=None)


def _of_run() -> alt.Tooltip:
    return alt.Tooltip("run:N", title="run")


def _of_step() -> alt.Tooltip:
    return alt.Tooltip("step:Q", title="step")


def _of_layer(title: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("layer:N", title="layer"),
        _of_run(),
        alt.Tooltip("depth:Q", title="depth"),
        alt.Tooltip("stage:Q", title="stage"),
        _of_step(),
        alt.Tooltip("value:Q", title=title, format=NUMBER),
    ]
