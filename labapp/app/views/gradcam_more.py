"""What do maps score over many images, as it was measured and kept?

The tab below the Grad-CAM page.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app import below
from labapp.app.probed import applying, probed

NAMES = ["map_scores"]


def draw(archive: app.OpenArchive) -> None:
    """Draw the tab."""
    below.tabs(archive, {"Kept scores": _scores}, "more")


def _scores(archive: app.OpenArchive) -> None:
    able = [run for run in archive.chosen if applying(run, NAMES)]
    have = probed(able, NAMES)
    rows, looks = frames.map_scores(have, app.probe), app.styles(archive.chosen)
    shown = ("map_energy", "map_change") if have else ()
    for quantity, column in zip(shown, st.columns(2, gap="medium"), strict=False):
        own = rows[rows["quantity"] == quantity]
        number = palette.percent if quantity == "map_energy" else palette.number
        with column:
            chart = charts.scores_chart(own, looks, quantity)
            below.picture(quantity, scores_words(own, number), chart, f"scores-{quantity}", own)
    if lack := [run for run in able if run not in have]:
        app.unmeasured(archive, lack, NAMES, "", primary=False)


def scores_words(rows: pd.DataFrame, number: below.Number) -> str:
    """The first of the scores of each run, in one line."""
    known = rows[rows["value"].notna()]
    if known.empty:
        said = [note for note in dict.fromkeys(rows["note"].fillna("")) if note]
        return said[0] if said else "no finite value"
    firsts = known.drop_duplicates("run")
    return below.of_runs(f"{number(row.value)} in {row.run}, {row.of}" for row in app.rows(firsts))
