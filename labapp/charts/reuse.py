"""Which earlier features are used?"""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from labapp import palette
from labapp.charts.beyond import NO_VALUE
from labapp.charts.beyond import cells as beyond_cells
from labapp.charts.colours import colour_bar, colour_scale, scale_legend
from labapp.charts.encodings import NUMBER, Chart, ticks_along
from labapp.charts.layers import layered

SHORT = {"transition": "T", "classifier": "C"}  # targets that are framed
TICKS = {"x": 7, "y": 7}  # labels of an axis at most


def reuse_chart(
    cells: pd.DataFrame, domain: tuple[float, float] | None = None, unit: str = "value", width: int = 0,
    height: int = 310, title: str = "",
) -> Chart:  # fmt: skip
    """A triangle: each source (from above) that each target (to the right) could use.

    Args:
        cells: From `frames.scaled`, of one block.
        domain: Of the colours; that of all triangles of a net. Symmetric about 0 means diverging colours. Chosen, and
            explained by a legend, when left out.
        unit: What `raw` is in.
        width: In pixels; 0 fills the column.
        height: In pixels.
        title: Above it.

    Example:
        charts.reuse_chart(frames.scaled(frames.reuse(dense, "weights", step), "column mean").query("block == 1"))
    """
    legend = scale_legend(unit) if domain is None else None
    domain = domain or linear_domain(cells["value"], bool((cells["value"] < 0).any()), "raw")
    shown = cells.assign(
        column=[SHORT.get(kind, str(target)) for kind, target in zip(cells["kind"], cells["target"], strict=True)],
        row=["in" if source == 0 else str(source) for source in cells["source"]],
    )
    columns = list(dict.fromkeys(shown.sort_values("target")["column"]))
    rows = list(dict.fromkeys(shown.sort_values("source")["row"]))
    x = alt.X("column:N", sort=columns, title="target", axis=_axis(columns, TICKS["x"]), scale=alt.Scale(padding=0))
    y = alt.Y("row:N", sort=rows, title="source", axis=_axis(rows, TICKS["y"]), scale=alt.Scale(padding=0))
    tooltip = [
        alt.Tooltip("source_layer:N", title="source"),
        alt.Tooltip("target_layer:N", title="read by"),
        alt.Tooltip("kind:N", title="which is a"),
        alt.Tooltip("raw:Q", title=unit, format=NUMBER),
        alt.Tooltip("value:Q", title="as coloured", format=NUMBER),
    ]
    if "null" in shown and shown["null"].notna().any():
        tooltip += [
            alt.Tooltip("null:Q", title="÷ column mean, untrained nets", format=NUMBER),
            alt.Tooltip("null_deviation:Q", title="deviation between those", format=NUMBER),
        ]
    if len(shown) and shown["seeds"].max() > 1:
        tooltip += [
            alt.Tooltip("deviation:Q", title="deviation over seeds", format=NUMBER),
            alt.Tooltip("seeds:Q", title="seeds"),
        ]
    names = palette.beyond(shown["raw"])
    bad = shown.assign(mark=[name or NO_VALUE for name in names])  # what was measured, or that it cannot be scaled
    fine = np.isfinite(shown["value"].astype(float))
    colour = alt.Color("value:Q", scale=colour_scale(domain, domain[0] < 0), legend=legend)
    base = alt.Chart(shown[fine]).encode(x=x, y=y, tooltip=tooltip)
    layers: list[Any] = [base.mark_rect().encode(color=colour)]
    framed = shown[shown["kind"].isin(list(SHORT)) & (len(columns) > 1)].drop_duplicates("column")
    if len(framed):
        layers.append(
            alt.Chart(framed)
            .mark_rect(filled=False, stroke=palette.MUTED, strokeWidth=2)
            .encode(
                x=x,
                y=alt.YValue(0),
                y2=alt.Y2Value(alt.expr("height")),
                tooltip=[alt.Tooltip("target_layer:N"), alt.Tooltip("kind:N")],
            )
        )
    beyond = beyond_cells(bad[~fine], {"x": x, "y": y}, [*tooltip, alt.Tooltip("mark:N", title=unit)], strokeWidth=0)
    head: Any = alt.Title(title, anchor="start", fontSize=13) if title else alt.Undefined
    return layered(layers, beyond, "color", "stroke", height=height, width=width or "container", title=head)


def linear_bar(domain: tuple[float, float], title: str | None = None) -> alt.Chart:
    """The colour bar that triangles share."""
    axis = alt.X("low:Q", title=title, scale=alt.Scale(domain=list(domain), nice=False), axis=ticks_along(5))
    return colour_bar(domain, axis, colour_scale(domain, domain[0] < 0), height=62 if title is None else 92)


def linear_domain(values: pd.Series, signed: bool, scale: str) -> tuple[float, float]:
    """The span of a linear colour scale: known for most scaled columns, else from 0 or symmetric about it."""
    signed = signed or scale == "column mean"
    if scale not in ("raw", "column mean"):
        return (-1.0, 1.0) if signed and scale == "column maximum" else (0.0, 1.0)
    sizes = values.abs().to_numpy(float)
    largest = float(sizes[np.isfinite(sizes)].max(initial=0.0)) or 1.0
    return (-largest, largest) if signed else (0.0, largest)


def _axis(labels: list[str], most: int) -> alt.Axis:
    stride = -(-len(labels) // most)
    named = [label for at, label in enumerate(labels) if at % stride == 0 or at == len(labels) - 1]
    return alt.Axis(values=named, labelAngle=0, grid=False, ticks=False, domain=False, labelOverlap=False)
