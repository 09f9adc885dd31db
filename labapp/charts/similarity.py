"""Which layers resemble each other?"""

from __future__ import annotations

import altair as alt
import pandas as pd

from labapp import palette
from labapp.charts.beyond import NO_VALUE
from labapp.charts.beyond import cells as beyond_cells
from labapp.charts.colours import colour_scale, scale_legend, tiles
from labapp.charts.encodings import NUMBER, Chart
from labapp.charts.layers import layered

LABELS = 8  # named layers of an axis


def similarity_chart(
    cells: pd.DataFrame, rows: str = "layer", columns: str = "layer", height: int = 460, legend: bool = False
) -> Chart:
    """CKA of pairs of layers as squares, colours from 0 to 1, layers from the image outwards.

    Args:
        cells: From `frames.self_similarity` or `frames.pair_similarity`.
        rows: Title of the vertical axis.
        columns: Title of the horizontal axis.
        height: In pixels.
        legend: Whether the chart explains its colours itself; a page has one bar for all.

    Example:
        charts.similarity_chart(frames.self_similarity(run, step), legend=True)
    """
    shown = cells.assign(x=cells["column"] - 0.5, x2=cells["column"] + 0.5, y=cells["row"] - 0.5, y2=cells["row"] + 0.5)
    x = alt.X("x:Q", title=columns, axis=_axis(cells, "column", "other_layer"), scale=_whole(cells["column"]))
    y = alt.Y("y:Q", title=rows, axis=_axis(cells, "row", "layer"), scale=_whole(cells["row"], turned=True))
    tooltip = [
        alt.Tooltip("layer:N", title="layer"),
        alt.Tooltip("other_layer:N", title="and"),
        alt.Tooltip("cka:Q", title="CKA", format=NUMBER),
        alt.Tooltip("low:Q", title="95 % interval from", format=NUMBER),
        alt.Tooltip("high:Q", title="to", format=NUMBER),
        alt.Tooltip("images:Q", title="images"),
        alt.Tooltip("note:N", title="note"),
    ]
    names = pd.Series(palette.beyond(shown["cka"]), index=shown.index)
    known = names == ""
    sides = {"x": x, "x2": alt.X2("x2:Q"), "y": y, "y2": alt.Y2("y2:Q")}
    bar = scale_legend("linear CKA") if legend else None
    squares = [tiles(shown[known], sides, "cka", colour_scale((0, 1)), 0.6, bar).encode(tooltip=tooltip)]
    bad = shown[~known].assign(mark=names[~known].replace("NaN", NO_VALUE))
    beyond = beyond_cells(bad, sides, [*tooltip, alt.Tooltip("mark:N", title="CKA")], strokeWidth=0.6)
    return layered(squares, beyond, "color", "stroke", height=height)


def _whole(places: pd.Series, turned: bool = False) -> alt.Scale:
    domain = [float(places.min()) - 0.5, float(places.max()) + 0.5]
    return alt.Scale(domain=domain[::-1] if turned else domain, nice=False)


def _axis(cells: pd.DataFrame, side: str, name: str) -> alt.Axis:
    """A few layers by their names, shortened in the middle."""
    layers = cells.drop_duplicates(side).sort_values(side)
    layers = layers.iloc[:: -(-len(layers) // LABELS)]
    words = " : ".join(
        f"datum.value == {place} ? {palette.expression(palette.short(layer, 16))}"
        for place, layer in zip(layers[side], layers[name], strict=True)
    )
    values = [int(place) for place in layers[side]]
    turned = -40 if side == "column" else 0
    return alt.Axis(values=values, labelExpr=f"{words} : ''", grid=False, labelAngle=turned, labelOverlap=False)
