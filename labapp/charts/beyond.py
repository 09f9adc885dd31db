"""How does a chart show values that its axes and colours cannot: NaN, infinite, or zero on a logarithmic axis?

As marks at the edge of the plot, or cells of a colour of their own; each with an entry in a legend, and hovering tells
the value. A chart without such values has none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from labapp import palette

EDGE = 9  # pixels from the edge of the plot
NO_VALUE = "no value"


def marked(rows: pd.DataFrame, value: str = "value", log: bool = False) -> pd.DataFrame:
    """The rows whose value the axis cannot show, with the column mark, its name in `palette.MARKS`."""
    names = palette.beyond(rows[value].astype(float), log)
    return rows.assign(mark=names).loc[np.array(names, dtype=bool)]  # of no rows a list would name no columns


def marks(
    bad: pd.DataFrame,
    x: Any,
    colour: Any,
    title: str,
    tooltip: Sequence[alt.Tooltip],
    clip: bool = False,
    **encodings: Any,
) -> list[alt.Chart]:
    """Marks at the edges of the plot: infinite values at the upper one, the others at the lower one.

    Args:
        bad: From `marked`.
        x: The horizontal encoding of the chart.
        colour: That of the runs.
        title: Of the quantity.
        tooltip: What hovering tells besides the value.
        clip: Whether what is beside the plot is cut, as where it can be zoomed.
        **encodings: Others, such as opacity.
    """
    found = []
    for top in (True, False):
        names = [name for name, mark in palette.MARKS.items() if mark.top is top and (bad["mark"] == name).any()]
        if names:
            place = alt.YValue(EDGE) if top else alt.YValue(alt.expr(f"height - {EDGE}"))
            found.append(
                alt.Chart(bad[bad["mark"].isin(names)])
                .mark_point(filled=True, size=70, opacity=1, clip=clip)
                .encode(
                    x=x, y=place, color=colour, shape=_shapes(names),
                    tooltip=[*tooltip, alt.Tooltip("mark:N", title=title)], **encodings,
                )
            )  # fmt: skip
    return found


def _shapes(names: list[str]) -> alt.Shape:
    known = [palette.MARKS[name] for name in names]
    scale = alt.Scale(domain=names, range=[mark.shape for mark in known])
    return alt.Shape("mark:N", scale=scale, legend=_legend(names, symbolFillColor=palette.MUTED), sort=None)


def _legend(names: list[str], **options: Any) -> alt.Legend:
    titles = {name: palette.MARKS[name].title if name in palette.MARKS else name for name in names}
    label = " : ".join(f"datum.value == '{name}' ? '{title}'" for name, title in titles.items())
    return alt.Legend(
        title=None,
        orient="bottom",
        columns=alt.ExprRef("max(1, min(3, floor(width / 110)))"),
        labelExpr=f"{label} : ''",
        labelLimit=320,
        symbolStrokeWidth=0,
        **options,
    )


def cells(bad: pd.DataFrame, sides: dict[str, Any], tooltip: Sequence[alt.Tooltip], **mark: Any) -> list[alt.Chart]:
    """Cells of colours of their own, with a legend.

    Args:
        bad: Rows with the column mark: a name in `palette.MARKS`, or NO_VALUE, which is grey.
        sides: The encodings of their place.
        tooltip: What hovering tells; the column mark has what the value is.
        **mark: Options of the rectangles.
    """
    if bad.empty:
        return []
    colours = {name: mark.colour for name, mark in palette.MARKS.items()} | {NO_VALUE: palette.MUTED}
    names = [name for name in colours if (bad["mark"] == name).any()]
    scale = alt.Scale(domain=names, range=[colours[name] for name in names])
    legend = _legend(names, symbolType="square")  # of both channels: Vega makes them one
    fill = alt.Color("mark:N", scale=scale, legend=legend, sort=None)
    stroke = alt.Stroke("mark:N", scale=scale, legend=legend, sort=None)
    return [alt.Chart(bad).mark_rect(**mark).encode(**sides, color=fill, stroke=stroke, tooltip=list(tooltip))]
