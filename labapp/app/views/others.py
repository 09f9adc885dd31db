"""What did diagnostics measure that other packages bring?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from labapp import app, charts, frames, palette
from labapp.app import below
from labapp.probes.catalogue import others
from labapp.store import Run

MEANING = """
A package that is installed beside the lab can bring diagnostics of its own, and `labapp probe` measures them on the
checkpoints of a run. Of such a table the lab knows the columns and what its package says of it: it is drawn against
depth where it says how deep its rows stand, and shown as it is.
"""
HOW = "`labapp probe --list` names all there are; docs/diagnostics.md shows how one is written, in fewer than 40 lines."
ROWS = 5000  # of a table on the page; the whole is in the run
ADDED = (*frames.IDENTITY, "step")  # columns that say whose a row is
SAID = 3  # reasons that are told one by one


def page() -> None:
    """Draw the page."""
    app.show(_body)
    for problem in others().problems:
        st.warning(palette.sentence(problem), icon=":material/extension_off:")


def _body(archive: app.OpenArchive) -> None:
    names = frames.other_names(archive.chosen)
    if not names:
        st.title("No other package brings a diagnostic.", help=MEANING, anchor=False)
        st.caption(palette.sentence(HOW))
        return
    top = st.container()
    name = app.choice("Diagnostic", {name: name for name in names}, "diagnostic", width=330)
    spec = others().specs.get(name)
    with top:
        said = spec.question if spec else f"What '{name}' measured, no installed package explains."
        st.title(palette.sentence(said), help=MEANING, anchor=False)
        if spec:
            st.caption(palette.sentence(f"{spec.title}, by {spec.package}; the page Method has its formula."))
    app.playable(_measured, f"{below.SLIDERS}{name}")(archive, name)


def _measured(archive: app.OpenArchive, name: str) -> None:
    app.look_again_if_gone(archive.chosen)
    spec = others().specs.get(name)
    if spec:
        below.checkpointed(archive, [name], name, partial(_drawn, name, spec.title, spec.value))
        return
    have = [run for run in archive.chosen if name in run.probes()]
    steps = sorted({step for run in have for step in run.probes()[name]})
    step = app.step_slider(steps, f"{below.SLIDERS}{name}", "Checkpoint", begin=steps[-1])
    app.say_steps(frames.standing(app.measured_steps(have, name), step), step)
    _drawn(name, name, "", have, step)


def _drawn(name: str, title: str, value: str, runs: Sequence[Run], step: int) -> None:
    rows = frames.at_checkpoint(runs, name, step, app.probe)
    columns = frames.numbers_of(rows)
    if columns and frames.is_placed(rows):
        first = value if value in columns else columns[0]
        ordered = [first, *(column for column in columns if column != first)]
        column = (
            app.choice("Number", {each: each for each in ordered}, f"number-{name}", width=330)
            if len(ordered) > 1
            else first
        )
        app.names_on_phones(runs)
        _profile(title if column == value else f"{title}: {column}", frames.by_place(rows, column), runs)
    shown = rows[["run", "step", *(name for name in rows if name not in ADDED)]].head(ROWS)
    more = f", of which the first {ROWS:,} are here" if len(rows) > ROWS else ""
    st.caption(palette.sentence(f"The table as it is: {len(rows):,} rows{more}."))
    st.dataframe(shown, hide_index=True, key=f"table-{name}", alt=f"The table of {palette.visible(name)}")


def _profile(called: str, placed: pd.DataFrame, runs: Sequence[Run]) -> None:
    known = placed["value"][placed["value"].abs() < float("inf")].dropna()
    span = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    drawn = charts.signal_chart(placed, app.styles(runs), called, span, height=300)
    below.picture(called, below.from_to(placed), drawn, "other", placed)
    lacking = placed[placed["value"].isna()]
    if len(lacking) and len(known):
        said = [note for note in dict.fromkeys(lacking["note"]) if note] or ["its package does not say why"]
        st.caption(palette.sentence(f"No value at {len(lacking)} of {len(placed)} rows: {'; '.join(said[:SAID])}."))


if __name__ == "__main__":
    page()
