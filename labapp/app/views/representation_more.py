"""Do features and classifier collapse to one point a class, and how else can their directions be counted?

The tabs below the Representation page.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app import below
from labapp.app.probed import applying, probed
from labapp.store import Run

TOLD = {"split": "images of", "images": "images"}
BY_LAYER = {"nc1": "training images", "nc1_test": "test images"}


def draw(archive: app.OpenArchive) -> None:
    """Draw the tabs."""
    below.tabs(
        archive,
        {"Neural collapse": _collapse, "Collapse by layer": _by_layer, "Directions, by variance": _directions},
        "more",
    )


def _collapse(archive: app.OpenArchive) -> None:
    able = [run for run in archive.chosen if applying(run, ["neural_collapse"])]
    have = probed(able, ["neural_collapse"])
    rows, looks = frames.collapse(have, app.probe), app.styles(archive.chosen)
    columns = st.columns(3, gap="medium")
    for number, quantity in enumerate(frames.NC if have else ()):
        own = rows[rows["quantity"] == quantity]
        with columns[number % 3]:
            percent = palette.quantity(quantity).unit.startswith("%")
            words = collapse_words(own, palette.percent if percent else palette.number)
            chart = charts.curve_chart(own, looks, quantity, told=TOLD, checkpoints=True, height=190)
            below.picture(quantity, words, chart, f"collapse-{quantity}", own)
    if lack := [run for run in able if run not in have]:
        app.unmeasured(archive, lack, ["neural_collapse"], "", primary=False)


def collapse_words(rows: pd.DataFrame, number: below.Number) -> str:
    """The least and the greatest of training images, at the runs' last checkpoints, in one line; 0 is full collapse."""
    last = rows[rows["step"] == rows.groupby("run")["step"].transform("max")]
    ends = below.extremes(last[last["split"] == "train"])
    if ends is None:
        said = [note for note in dict.fromkeys(last["note"].fillna("")) if note]
        return said[0] if said else "no finite value"
    test = last[last["split"] == "test"].set_index("run")["value"]
    words = [
        f"{number(end.value)} in {end.run} (test images {number(float(test.get(end.run, float('nan'))))})"
        for end in ends
    ]
    return "at the last checkpoint " + " to ".join(dict.fromkeys(words))


def _by_layer(archive: app.OpenArchive) -> None:
    below.checkpointed(archive, ["by_depth"], "collapse", _layers)


def _layers(runs: Sequence[Run], step: int) -> None:
    table, looks = frames.across_depth(runs, step, app.probe, quantities=tuple(BY_LAYER)), app.styles(runs)
    span = charts.log_span(table["value"])
    for (quantity, of), column in zip(BY_LAYER.items(), st.columns(2, gap="medium"), strict=True):
        rows = table[table["quantity"] == quantity]
        with column:
            chart = charts.signal_chart(rows, looks, "nc1", span, height=280)
            below.picture("nc1", below.from_to(rows), chart, f"layers-{quantity}", rows, of)


def _directions(archive: app.OpenArchive) -> None:
    below.checkpointed(archive, ["by_depth"], "directions", _participation)


def _participation(runs: Sequence[Run], step: int) -> None:
    quantity = "participation_ratio"
    rows, looks = frames.across_depth(runs, step, app.probe, quantities=(quantity,)), app.styles(runs)
    known = rows["value"].dropna()
    chart = charts.signal_chart(rows, looks, quantity, (0.0, float(known.max()) if len(known) else 1.0), height=280)
    below.picture(quantity, below.from_to(rows), chart, f"layers-{quantity}", rows)
