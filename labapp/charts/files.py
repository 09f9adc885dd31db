"""How does a chart of the screen stand alone, in a file?

    figures.drawn(alone(loss_chart(curves, styles), "Training loss over steps of plain-20"), "pdf")

On white, wide enough for a page, with the title, the legend and the labels that the screen has elsewhere.
"""

from __future__ import annotations

import json
import math
import textwrap
from typing import Any

import altair as alt
import pandas as pd

from labapp import palette
from labapp.charts.encodings import Chart

ON_CANVAS = {"embedOptions": {"renderer": "canvas"}}  # as SVG each mark would be an element of the page, hundreds
UNTOLD = {"aria": False}  # of each mark, in words that a canvas shows nobody: a fifth of the time of a heatmap
WIDTH = 640  # pixels of a chart that takes the page's width on the screen
STYLE = {
    "background": "white",
    "padding": 12,
    "axis": {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "gridColor": "#E4E4E4"},
    "legend": {"labelFontSize": 11, "titleFontSize": 12, "labelLimit": 320},
    "title": {"fontSize": 13, "anchor": "start", "subtitleFontSize": 11},
    "view": {"stroke": None},
}


class Unchecked:
    """A chart that is not held against the schema of Vega-Lite again: tests do that, and it costs a third of a page.

    Its description is made once, with its tables as they are sent; whoever keeps it can draw it again for nothing.
    """

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self._made: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The description that Streamlit asks for."""
        if self._made is None:
            made = self.chart.to_dict(validate=False)
            sent = alt.data_transformers.options.get("datasets", {})  # where Streamlit has the tables put meanwhile
            tables = {"datasets": made.get("datasets", {}) | sent}
            self._made = made | tables | {"usermeta": ON_CANVAS, "config": made.get("config", {}) | UNTOLD}
        return dict(self._made)


def unchecked() -> None:
    """Have charts made from here on without checking each part of them as well."""
    alt.utils.schemapi.disable_debug_mode()


def alone(chart: Chart, title: str = "", scale: Chart | None = None) -> dict[str, Any]:
    """The Vega-Lite description of a chart that stands on a page of its own.

    Args:
        chart: Any of `labapp.charts`.
        title: What is to be seen, above the chart; long ones are wrapped.
        scale: The bar of its colours, where the screen shows that apart.
    """
    whole = chart if scale is None else alt.vconcat(scale, chart)
    spec: dict[str, Any] = json.loads(whole.to_json(indent=None, validate=False))
    for part in _parts(spec):
        if part.get("width") == "container":
            part["width"] = WIDTH
        part.pop("autosize", None)
    spec["config"] = STYLE
    _give_legend(spec)
    _give_steps(spec)
    if title:
        own = spec.get("title")
        below = own if isinstance(own, str) else " – ".join(_said(own)) if own else ""
        spec["title"] = (
            {"text": textwrap.wrap(title, 96), "subtitle": below} if below else {"text": textwrap.wrap(title, 96)}
        )
    return spec


def as_csv(table: pd.DataFrame) -> bytes:
    """The table behind a chart, numbers as they are; what is not finite says what it is."""
    shown = table.copy()
    for name in shown.columns:
        if pd.api.types.is_float_dtype(shown[name].dtype):
            values = [float(value) for value in shown[name]]
            if not all(map(math.isfinite, values)):
                shown[name] = pd.Series([_number(value) for value in values], index=shown.index, dtype=object)
    return shown.to_csv(index=False).encode()


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return repr(value) if math.isfinite(value) else "Inf" if value > 0 else "-Inf"


def _parts(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The description and all that are within it."""
    below = [part for key in ("layer", "hconcat", "vconcat", "concat") for part in spec.get(key, [])]
    below += [spec["spec"]] if isinstance(spec.get("spec"), dict) else []
    return [spec, *(inner for part in below for inner in _parts(part))]


def _give_legend(spec: dict[str, Any]) -> None:
    """A legend of the runs, where the chart relies on the sidebar for it."""
    channels = [
        channel
        for part in _parts(spec)
        for name, channel in part.get("encoding", {}).items()
        if name in ("color", "strokeDash") and isinstance(channel, dict) and channel.get("field") == "run"
    ]
    if any(channel.get("legend") for channel in channels):
        return
    for channel in channels:
        runs = channel.get("scale", {}).get("domain", [])
        widest = max(map(len, runs), default=1)
        channel["legend"] = {
            "title": None,
            "orient": "bottom",
            "columns": max(1, min(len(runs), WIDTH // (60 + 7 * widest))),
            "symbolOpacity": 1,
            "symbolType": "stroke",
            "symbolSize": 400,
            "symbolStrokeWidth": 2.2,
        }


def _give_steps(spec: dict[str, Any]) -> None:
    """Labels for an axis of steps, where the screen has them below the next chart."""
    for part in _parts(spec):
        x = part.get("encoding", {}).get("x", {})
        if x.get("field") == "step" and (x.get("axis") or {}).get("labels") is False:
            x["axis"] = {name: value for name, value in x["axis"].items() if name not in ("labels", "ticks")}
            x["title"] = palette.quantity("step").title


def _said(title: dict[str, Any]) -> list[str]:
    parts = [title.get("text"), title.get("subtitle")]
    return [" ".join(part) if isinstance(part, list) else str(part) for part in parts if part]
