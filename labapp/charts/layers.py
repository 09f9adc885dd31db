"""How do layers become one chart? As they are, and so that new rows leave its description as it was.

Altair's own layering copies every part of every layer each time the chart is copied itself, which took most of the time
of a page. And it names a layer that can be zoomed by a hash over the first and the last rows of its table, so that each
row that a training adds would make it another chart, which a browser begins from nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import altair as alt

from labapp.charts.encodings import Chart

LEGEND = 34  # pixels of height of the legend of marks, so that the plot keeps its own


class Layers(alt.LayerChart):
    """A layered chart of which each part stays where it was put: parameters in their layer, tables as they are."""

    def __init__(self, data: Any = alt.Undefined, layer: Sequence[Any] = (), **options: Any) -> None:
        super(alt.LayerChart, self).__init__(data=data, layer=list(layer), **options)


def layered(
    layers: Sequence[Any],
    extra: Sequence[alt.Chart] = (),
    *apart: str,
    height: int,
    width: Any = "container",
    focus: alt.Parameter | None = None,
    title: Any = alt.Undefined,
) -> Chart:
    """The layers below marks or cells of what the axes cannot show, whose scales of shapes, or of colours, are theirs.

    Args:
        layers: Of the chart, at least one.
        extra: From `marks` or `cells`.
        *apart: Which channels have scales of their own where there are any: shape, or color and stroke.
        height: In pixels, to which a legend of marks adds its own.
        width: In pixels, or that of the chart's place.
        focus: From `focus_on_runs`, where there is one.
        title: Of the chart.
    """
    own: Any = alt.Resolve(scale=dict.fromkeys(apart, "independent")) if extra and apart else alt.Undefined
    table, parts = _shared(_agreeing([*layers, *extra]))
    if focus is not None:
        parts[0] = parts[0].add_params(focus)
    size = {"height": height + LEGEND * bool(extra), "width": width}
    return Layers(table, parts, resolve=own, title=title, **size)


def _shared(layers: Sequence[Any]) -> tuple[Any, list[Any]]:
    """The table of most layers, which is sent once, and the layers, those without one of their own."""
    count = Counter(id(layer.data) for layer in layers)
    most = next(layer.data for layer in layers if count[id(layer.data)] == max(count.values()))
    return most, [_without(layer) if layer.data is most else layer for layer in layers]


def _without(layer: Any) -> Any:
    layer = layer.copy(deep=False)
    layer.data = alt.Undefined
    return layer


def _agreeing(layers: Sequence[Any]) -> list[Any]:
    """The layers, all with the legend of the runs that one of them has: Vega hides a legend that any layer forbids."""
    for name in ("color", "strokeDash"):
        found = [(layer, channel) for layer in layers if (channel := _of_runs(layer, name)) is not None]
        legend = next((channel["legend"] for _, channel in found if channel["legend"] is not None), None)
        for layer, channel in found if legend is not None else []:
            layer.encoding[name] = channel.copy(deep=True)
            layer.encoding[name]["legend"] = legend
    return list(layers)


def _of_runs(layer: Any, name: str) -> Any:
    """A channel of a layer that stands for the run; None where it has none."""
    encoding: Any = getattr(layer, "encoding", alt.Undefined)
    channel = alt.Undefined if encoding is alt.Undefined else encoding[name]
    return channel if isinstance(channel, alt.Color | alt.StrokeDash) and channel["shorthand"] == "run:N" else None
