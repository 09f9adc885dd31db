"""What stands beside every page? What is running, the archive's folder, the runs to choose from, their legend."""

from __future__ import annotations

import streamlit as st

from labapp import charts
from labapp.app.archive import choose
from labapp.app.drawn import CORNER
from labapp.app.legend import legend
from labapp.app.live import begin, live
from labapp.app.running import show_running
from labapp.store import forget


def draw_sidebar() -> None:
    """Draw the sidebar."""
    charts.unchecked()
    begin()
    st.html(CORNER)
    with st.sidebar:
        top = st.empty()
        archive = choose()
        live(legend, "legend", archive.chosen, ("evals",))(archive.chosen)
        st.button(
            "Look for new runs",
            icon=":material/refresh:",
            type="tertiary",
            key="look",
            on_click=forget,
            args=(archive.root,),
        )
        show_running(top, archive.listing)
