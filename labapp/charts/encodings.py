"""What do all charts share? Axes that can be read, one legend, tooltips that name the run and the layer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from labapp import palette

Chart = alt.Chart | alt.LayerChart | alt.FacetChart
PALE = 0.12  # opacity of runs out of focus
NUMBER = ".3~g"  # of tooltips: three significant digits
MARGIN = 42  # pixels for the labels of a vertical axis, so that charts above each other share their left edge
FLUSH = 14  # pixels from an axis' ends within which a label keeps inside it: the page cuts what is outside
INSET = 6  # pixels from the ends of an axis of steps, so that marks there are whole though what is outside is cut
PHONE = 340  # pixels of a plot's width, below which it has no legend: the page has one that folds
ROWS = 3  # of a legend at most; the sidebar names the runs as well
SHAPE = alt.Shape("shape:N", scale=None, legend=None)  # of the column that `shaped` adds
EXPLAINED = "explained"  # a column of styles that were chosen here: every chart of them has a legend


def axis_title(quantity: str, relative: bool) -> str:
    """A quantity as the title of an axis: with its unit, or against the last layer's."""
    about = palette.quantity(quantity)
    return f"{about.name} ÷ last layer's" if relative else about.title


def log_span(values: Iterable[float]) -> tuple[float, float]:
    """The least and the greatest positive finite value; 0.1 and 1 where there is none."""
    numbers = np.asarray(list(values), dtype=float)
    numbers = numbers[np.isfinite(numbers) & (numbers > 0)]
    return (float(numbers.min()), float(numbers.max())) if numbers.size else (0.1, 1.0)


def log_axis(values: Iterable[float], nice: bool = True, **options: Any) -> dict[str, Any]:
    """A log scale over the positive finite values, with a few ticks that are easy to read: 0.01, 1, 100 or 10⁻⁷.

    Args:
        values: To be shown.
        nice: Whether the scale may go on beyond them, so that marks at its ends are whole.
        **options: Of the axis.
    """
    low, high = log_span(values)
    if low == high:
        low, high = low / 2, high * 2
    if nice:
        pad = (high / low) ** 0.02
        low, high = (10.0**end for end in outward(math.log10(low / pad), math.log10(high * pad)))
    ticks = palette.log_ticks(low, high)
    labels = " : ".join(f"datum.value == {tick!r} ? '{palette.tick_label(tick)}'" for tick in ticks) + " : ''"
    return {
        "scale": alt.Scale(type="log", domain=[low, high], nice=False),
        "axis": alt.Axis(values=ticks, labelExpr=labels, grid=True, **options),
    }


def outward(low: float, high: float) -> tuple[float, float]:
    """The ends of a scale on a grid of round numbers, no further out than an eighth of the span.

    While a run trains its values go on a little with each row. A page keeps a chart whose description stays the same
    and gives it the new rows; with ends at the very values each row would make it another chart, drawn from nothing.
    """
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return low, high
    power = 10.0 ** math.floor(math.log10(span / 20))
    grid = next(power * times for times in (1, 2, 5, 10) if power * times >= span / 20 * (1 - 1e-9))
    ends = math.floor(low / grid + 1e-9), math.ceil(high / grid - 1e-9)
    return (ends[0] * grid, ends[1] * grid) if grid >= 1 else (ends[0] / round(1 / grid), ends[1] / round(1 / grid))


def steps_axis(steps: pd.Series, labelled: bool = True) -> alt.X:
    """The axis of steps; without labels where the chart below has the same axis."""
    axis = ticks_along(8) if labelled else ticks_along(8, labels=False, ticks=False)
    title = palette.quantity("step").title if labelled else None
    return alt.X("step:Q", title=title, axis=axis, scale=_whole(steps))


def _whole(steps: pd.Series) -> alt.Scale:
    if steps.empty:
        return alt.Scale()
    low, high = float(steps.min()), float(steps.max())
    return alt.Scale(domain=[low, outward(low, high)[1]], nice=False, padding=INSET)


def positive(values: pd.Series) -> pd.Series:
    """The values that a log axis can show; NaN, a gap in the line, in the place of the others."""
    numbers = values.astype(float)
    return numbers.where(np.isfinite(numbers) & (numbers > 0))


def shaped(table: pd.DataFrame, styles: pd.DataFrame) -> pd.DataFrame:
    """The table with the column shape, the marker of each run.

    A scale for markers would turn the lines of the legend into markers.
    """
    return table.assign(shape=table["run"].map(styles.set_index("run")["shape"]))


def looks(styles: pd.DataFrame | None, table: pd.DataFrame) -> pd.DataFrame:
    """The styles that a chart was given; else such as fit its table, which the chart then explains by a legend."""
    return palette.styles(table).assign(**{EXPLAINED: True}) if styles is None else styles


def colour_of(styles: pd.DataFrame, legend: bool = False) -> alt.Color:
    """The colour of each run, which is its family's; with a legend where the chart is wide enough for one."""
    scale = alt.Scale(domain=list(styles["run"]), range=list(styles["colour"]))
    return alt.Color("run:N", scale=scale, legend=_legend(styles) if legend or EXPLAINED in styles else None, sort=None)


def dash_of(styles: pd.DataFrame, legend: bool = False) -> alt.StrokeDash:
    """The line style of each run; Vega merges it with `colour_of` into one legend."""
    scale = alt.Scale(domain=list(styles["run"]), range=[dash or [1, 0] for dash in styles["dash"]])
    return alt.StrokeDash(
        "run:N", scale=scale, legend=_legend(styles) if legend or EXPLAINED in styles else None, sort=None
    )


def _legend(styles: pd.DataFrame) -> alt.Legend:
    """A legend of the runs in as many columns as there is room for; of no size where it would need too many rows.

    Vega does not wrap the entries by itself, and what is wider than the chart is cut.
    """
    entry = 60 + 7 * max(map(len, styles["run"]), default=1)  # pixels
    columns = f"max(1, floor(width / {entry}))"
    room = f"(width >= {max(PHONE, entry)} && {len(styles)} <= {ROWS} * {columns})"
    return alt.Legend(
        title=None, orient="top", columns=alt.ExprRef(f"{room} ? {columns} : {len(styles)}"), labelLimit=300,
        symbolType="stroke", symbolSize=alt.ExprRef(f"{room} ? 500 : 0"), symbolStrokeWidth=2.2, symbolOpacity=1,
        labelFontSize=alt.ExprRef(f"{room} ? 12 : 0"), rowPadding=alt.ExprRef(f"{room} ? 2 : 0"),
    )  # fmt: skip


def ticks_along(count: int, **options: Any) -> alt.Axis:
    """A horizontal axis of about so many ticks, whose labels stay inside of its ends."""
    return alt.Axis(tickCount=count, labelFlush=FLUSH, labelFlushOffset=-2, **options)  # a canvas may lack a pixel


def dotted(expected: pd.DataFrame, styles: pd.DataFrame, title: str, focus: alt.Parameter | None = None) -> list[Any]:
    """What theory expects of the layers of each run: dots in its colour, to be laid below what was measured.

    Args:
        expected: Columns of `of_layer` but the step.
        styles: From `palette.styles`.
        title: Of the quantity.
        focus: From `focus_on_runs`, where there is one.
    """
    base = alt.Chart(expected).encode(x=alt.X("relative_depth:Q"), y=alt.Y("value:Q"))
    line = base.mark_line(strokeWidth=4.2, strokeDash=[0, 7], strokeCap="round", clip=True)
    words = [word for word in of_layer(title)[:-1] if word.shorthand != "step:Q"]
    strength = alt.OpacityValue(0.6) if focus is None else unless(focus, 0.6)
    return [
        line.encode(color=colour_of(styles, focus is not None), detail=alt.Detail("run:N"), opacity=strength),
        base.mark_point(size=60, opacity=0, clip=True).encode(
            tooltip=[*words, alt.Tooltip("value:Q", title=f"{title}, by theory", format=NUMBER)]
        ),
    ]


def noted(rows: pd.DataFrame) -> list[alt.Tooltip]:
    """The tooltip that says what there is to note about a value, or why there is none; none where there is nothing."""
    said = "note" in rows and bool((rows["note"].fillna("") != "").any())
    return [alt.Tooltip("note:N", title="note")] if said else []


def typed(values: pd.Series) -> str:
    """The type of a column in an encoding: Q of numbers, N of words."""
    return "Q" if pd.api.types.is_numeric_dtype(values) else "N"


def focus_on_runs() -> alt.Parameter:
    """The runs that were clicked in the legend."""
    return alt.selection_point(fields=["run"], bind="legend")


def zoom_along() -> alt.Parameter:
    """Zooms and moves a chart along its horizontal axis, with the shift key held; a double click shows all again.

    Without the key the wheel, or a finger, scrolls the page and not the chart.
    """
    return alt.selection_interval(
        bind="scales",
        encodings=["x"],
        zoom="wheel![event.shiftKey]",
        translate="[pointerdown[event.shiftKey], window:pointerup] > window:pointermove!",
    )


def unless(focus: alt.Parameter, shown: float = 1.0, pale: float = PALE) -> Any:
    """Opacity: full for the runs in focus (all of them when none was clicked), pale for the others."""
    return given(alt.OpacityValue, focus, shown, pale)


def given(channel: Any, condition: Any, value: Any, other: Any) -> Any:
    """A channel of values, `alt.OpacityValue` for instance: one where a condition holds, and another elsewhere."""
    return channel(**alt.when(condition).then(alt.value(value)).otherwise(alt.value(other)))


def title_of(text: str, below: str) -> alt.Title:
    """A chart's title with a second, quieter line."""
    return alt.Title(text, anchor="start", subtitle=below, subtitleColor=palette.MUTED, subtitlePadding=4)


def of_run() -> list[alt.Tooltip]:
    """The tooltips that name the run and tell its id."""
    return [alt.Tooltip("run:N", title="run"), alt.Tooltip("run_id:N", title="id")]


def of_step() -> alt.Tooltip:
    """The tooltip that names the step."""
    return alt.Tooltip("step:Q", title="step")


def of_layer(title: str) -> list[alt.Tooltip]:
    """The tooltips that name the layer, its run and place, and its value."""
    return [
        alt.Tooltip("layer:N", title="layer"),
        *of_run(),
        alt.Tooltip("depth:Q", title="depth"),
        alt.Tooltip("stage:Q", title="stage"),
        of_step(),
        alt.Tooltip("value:Q", title=title, format=NUMBER),
    ]
