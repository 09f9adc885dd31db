"""How do the signals of two sides differ, layer by layer?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from labapp import app, charts, palette
from labapp.frames import compare
from labapp.frames.compare import Side

ACROSS = 3  # small multiples in a row
USUAL = "where it is usually read"


def colour_of(side: Side) -> str:
    """The colour of a side: its first run's family."""
    return palette.colour(side.runs[0].experiment.family)


def draw(a: Side, b: Side, steps: pd.DataFrame, at: Any, found: Mapping[str, pd.DataFrame]) -> None:
    """Draw the ratio of a chosen quantity, those of the others in small, and where they are largest.

    Args:
        a: One side.
        b: The other.
        steps: From `compared_steps`.
        at: The row of `compared_steps` that is shown.
        found: By quantity, from `by_depth`; those that were recorded.
    """
    if not found:
        st.caption("Neither side recorded a quantity of its layers that both have.")
        return
    titles = {palette.quantity(quantity).name.capitalize(): quantity for quantity in found}
    kinds = sorted({kind for run in (*a.runs, *b.runs) for info in run.layers_info if (kind := info.get("kind"))})
    places = {USUAL: ""} | {palette.KINDS[kind]: kind for kind in palette.KINDS if kind in kinds}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        quantity = app.choice("Quantity", titles, "signal")
        where = app.choice("Layers", places, "layers-compared", width=260)
    rows = app.by_depth(a, b, quantity, at, where) if where else found[quantity]
    colour = colour_of(b)
    about = palette.quantity(quantity)
    if rows.empty:
        st.caption(
            palette.sentence(f"{about.name.capitalize()} was not recorded at {palette.KINDS.get(where, where)}.")
        )
    else:
        _say_matching(rows)
        app.chart(
            charts.ratio_chart(rows, colour, quantity, app.ratio_span(a, b, quantity, steps, where)),
            "ratio",
            f"{about.name.capitalize()} of B over that of A, layer by layer, at step {at.step}",
            rows,
        )
    others = [name for name in found if name != quantity]
    for start in range(0, len(others), ACROSS):
        for name, column in zip(others[start : start + ACROSS], st.columns(ACROSS), strict=False):
            with column:
                _multiple(found[name], colour, name, app.ratio_span(a, b, name, steps))
    _table(a, b, at, found)


def _say_matching(rows: pd.DataFrame) -> None:
    words = ["Layers are matched by name."]
    if (rows["of"] != "both").any() or rows["layer"].str.contains(" / ", regex=False).any():
        words = ["The nets differ, so layers are matched by relative depth."]
    reasons = rows.loc[rows["note"] != "", "note"].value_counts()
    words += [f"{count} of {len(rows)} places: {reason}." for reason, count in reasons.items()]
    st.caption(palette.sentence(" ".join(words)))


def _multiple(rows: pd.DataFrame, colour: str, quantity: str, span: tuple[float, float]) -> None:
    about = palette.quantity(quantity)
    with st.container(gap=None):
        st.markdown(f"**{palette.markdown(about.name.capitalize())}**", help=about.meaning or None)
        st.caption(palette.sentence(_below(rows)))
    app.chart(
        charts.ratio_chart(rows, colour, quantity, span, 220, legend=False),
        f"ratio-{quantity}",
        f"{about.name.capitalize()} of B beside that of A, layer by layer",
        rows,
    )


def _below(rows: pd.DataFrame) -> str:
    """A picture in one line: its range, and what it is of."""
    if rows["ratio"].isna().all():
        known = rows["difference"].dropna()
        return f"B − A, {_range(known, '')}" if len(known) else f"no number: {rows['note'].iloc[0]}"
    return f"B ÷ A, {_range(rows['ratio'].dropna(), '×')}"


def _range(values: pd.Series, unit: str) -> str:
    ends = [f"{palette.number(value)}{unit}" for value in (values.min(), values.max())]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _table(a: Side, b: Side, at: Any, found: Mapping[str, pd.DataFrame]) -> None:
    """The layer of the largest difference in each quantity."""
    table = compare.largest(
        a, b, int(at.step), tuple(found), compare=lambda _a, _b, quantity, _step, read=None: found[quantity]
    )
    names: Any = [palette.quantity(name).name for name in table["quantity"]]
    bounds: Any = [_interval(row) for row in app.rows(table)]
    st.subheader("Where they differ most", anchor=False)
    number = partial(st.column_config.NumberColumn, format="%.3g")
    st.dataframe(
        table.assign(name=names, interval=bounds)[["name", "ratio", "interval", "median", "a", "b", "layer", "note"]],
        hide_index=True,
        key="largest",
        placeholder="–",
        alt="Of each quantity the layer in which B and A differ most",
        column_config={
            "name": st.column_config.TextColumn("Quantity"),
            "ratio": number("B ÷ A", help="At the layer where it is furthest from 1"),
            "interval": st.column_config.TextColumn("95 %", help="Welch's, over the runs; needs two a side"),
            "median": number("Median layer", help="Median of B ÷ A over the layers"),
            "a": number("A"),
            "b": number("B"),
            "layer": st.column_config.TextColumn("Layer"),
            "note": st.column_config.TextColumn("Note"),
        },
    )


def _interval(row: Any) -> str | None:
    return None if math.isnan(row.low) else f"{palette.number(row.low)} to {palette.number(row.high)}"
