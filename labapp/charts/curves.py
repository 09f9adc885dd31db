"""How does a number go on along one axis: over steps, over lengths of paths, along a line of images?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from labapp import palette
from labapp.charts.beyond import marked, marks
from labapp.charts.encodings import (
    INSET,
    MARGIN,
    NUMBER,
    SHAPE,
    Chart,
    colour_of,
    dash_of,
    given,
    log_axis,
    looks,
    noted,
    of_run,
    of_step,
    outward,
    positive,
    shaped,
    ticks_along,
    typed,
    zoom_along,
)
from labapp.charts.layers import layered

BESIDE = 0.45  # opacity of what stands beside the quantity, to be compared with it
MARKED = 60  # points of a line, up to which each has its run's marker


def curve_chart(
    rows: pd.DataFrame,
    styles: pd.DataFrame | None = None,
    quantity: str = "loss",
    x: str = "step",
    title: str = "",
    told: Mapping[str, str] | None = None,
    even: float | None = None,
    checkpoints: bool = False,
    height: int = 220,
) -> Chart:
    """One number along an axis, with a line for each run; values the axis cannot show are marked at its edge.

    Args:
        rows: Columns of the run, `x`, value; shares become per cent. Where there is a column `beside`, the rows in
            which it is true are drawn pale, as a line of their own; low and high are shaded.
        styles: From `palette.styles`; chosen, and explained by a legend, when left out.
        quantity: Its name.
        x: The column along the axis.
        title: Of that axis; that of the steps when left out.
        told: What hovering tells besides run, step and value: columns and their titles.
        even: A value to draw a rule at.
        checkpoints: Whether steps are those of checkpoints, which are log-spaced from 0 on.
        height: In pixels.

    Example:
        charts.curve_chart(frames.curves(runs).query("split == 'test'").assign(value=lambda rows: rows["error"]))
    """
    styles = looks(styles, rows)
    about = palette.quantity(quantity)
    scale = 100 if about.unit.startswith("%") else 1
    beside = rows["beside"] if "beside" in rows else pd.Series(False, rows.index)
    numbers = [name for name in ("value", "low", "high") if name in rows]
    shown = rows.assign(beside=beside, **{name: scale * rows[name].astype(float) for name in numbers})
    shown = shaped(shown, styles)
    fine = positive(shown["value"]) if about.log else shown["value"].where(np.isfinite(shown["value"]))
    y = _vertical(about, fine, even)
    along = _along(rows[x], title, checkpoints)
    places: dict[str, Any] = {"values": sorted({float(at) for at in rows[x]})} if checkpoints else {}
    across: Any = alt.X(f"{x}:Q", title=along["title"], scale=along["scale"], axis=ticks_along(6, **places))
    base = alt.Chart(shown.assign(value=fine)).encode(x=across, y=y)
    colour, strength = colour_of(styles), given(alt.OpacityValue, "datum.beside", BESIDE, 1.0)
    layers: list[Any] = []
    if even is not None:
        rule = alt.Chart(pd.DataFrame({"value": [even]})).mark_rule(color=palette.MUTED, strokeDash=[4, 3])
        layers.append(rule.encode(y=alt.Y("value:Q")))
    if "low" in shown and shown["low"].notna().any():
        shade = base.mark_area(line=False, clip=True).encode(
            y=alt.Y("low:Q", title=about.unit or about.name), y2=alt.Y2("high:Q")
        )
        layers.append(shade.encode(color=colour, detail=alt.Detail("beside:N"), opacity=alt.OpacityValue(0.14)))
    lines = base.mark_line(strokeWidth=1.8, clip=True)
    lines = lines.add_params(zoom_along()) if x == "step" else lines
    layers.append(
        lines.encode(color=colour, strokeDash=dash_of(styles), detail=alt.Detail("beside:N"), opacity=strength)
    )
    if len(shown) <= MARKED * max(1, len(styles)):
        points = base.mark_point(filled=True, size=30, clip=True)
        layers.append(points.encode(color=colour, shape=SHAPE, opacity=strength))
    words = [*of_run(), *([of_step()] if "step" in shown else [])]
    words += [
        alt.Tooltip(f"{column}:{typed(shown[column])}", title=name_of) for column, name_of in (told or {}).items()
    ]
    value = [alt.Tooltip("value:Q", title=about.title, format=NUMBER), *noted(shown)]
    if "low" in shown:
        value += [alt.Tooltip("low:Q", title="from", format=NUMBER), alt.Tooltip("high:Q", title="to", format=NUMBER)]
    layers.append(
        base.mark_point(size=120, opacity=0, clip=True).encode(tooltip=[*words, *value])
    )  # a line is hard to hit
    beyond = marks(
        marked(shown, log=about.log), alt.X(f"{x}:Q"), colour, about.title, [*words, *noted(shown)], clip=True
    )
    return layered(layers, beyond, "shape", height=height)


def _along(places: pd.Series, title: str, checkpoints: bool) -> dict[str, Any]:
    """Title and scale of the axis along which the number goes."""
    numbers = places.astype(float)
    domain = [float(numbers.min()), float(numbers.max())] if len(numbers) else [0.0, 1.0]
    if not (title or checkpoints):  # steps, of which there may be more in a moment
        domain[1] = outward(*domain)[1]
    if domain[0] == domain[1]:
        domain = [domain[0] - 0.5, domain[1] + 0.5]
    kind: dict[str, Any] = {"type": "symlog", "constant": 1} if checkpoints else {}
    return {
        "title": title or palette.quantity("step").title,
        "scale": alt.Scale(domain=domain, nice=False, padding=INSET, **kind),
    }


def _vertical(about: palette.Caption, values: pd.Series, even: float | None) -> alt.Y:
    title = about.unit or about.name
    room: dict[str, Any] = {"minExtent": MARGIN, "maxExtent": MARGIN}
    if about.log:
        return alt.Y("value:Q", title=title, **log_axis([*values, *([even] if even else [])], **room))
    low, high = (float(values.min()), float(values.max())) if values.notna().any() else (0.0, 1.0)
    zero = low >= 0
    domain = list(outward(0.0 if zero else low, high if high > low or not zero else low + 1))
    if domain[0] == domain[1]:
        domain = [domain[0] - 1, domain[1] + 1]
    return alt.Y("value:Q", title=title, axis=alt.Axis(tickCount=5, **room), scale=alt.Scale(domain=domain, nice=True))
