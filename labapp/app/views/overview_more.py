"""How did they train besides loss and accuracy: on the batch, at which rate, how fast?

What stands behind the fold of the Overview page.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from labapp import app, charts, palette
from labapp.app import below

SHOWN = ("train_accuracy", "learning_rate", "images_per_second", "seconds")


def draw(archive: app.OpenArchive) -> None:
    """Draw the pictures, when they are asked for."""
    app.live(_folded, "trained", state=app.unfolded("trained", archive.chosen, ("steps",)))(archive)


def _folded(archive: app.OpenArchive) -> None:
    app.look_again_if_gone(archive.chosen)
    with st.expander("How they trained", icon=":material/speed:", key="trained", bind="query-params") as part:
        if part.open:
            _pictures(archive)


def _pictures(archive: app.OpenArchive) -> None:
    table, looks = below.whole_steps(archive.chosen), app.styles(archive.chosen)
    for start in range(0, len(SHOWN), 2):
        for quantity, column in zip(SHOWN[start : start + 2], st.columns(2, gap="medium"), strict=True):
            rows = table[table["quantity"] == quantity]
            with column:
                chart = None if rows.empty else charts.curve_chart(rows, looks, quantity)
                below.picture(quantity, words(rows, quantity), chart, f"how-{quantity}", rows)


def words(rows: pd.DataFrame, quantity: str) -> str:
    """The numbers of the last steps, in one line."""
    if rows.empty:
        return "none of the chosen runs has written it down"
    number: below.Number = palette.number
    if quantity == "seconds":
        number = palette.duration
    elif palette.quantity(quantity).unit.startswith("%"):
        number = palette.percent
    last = rows[rows["step"] == rows.groupby("run")["step"].transform("max")].drop_duplicates("run")
    return f"at the last step {below.of_runs(f'{number(row.value)} in {row.run}' for row in app.rows(last))}"
