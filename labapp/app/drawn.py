"""How does a chart come onto a page? With what it shows in words, and a menu that downloads it.

A browser keeps a chart whose description, the words included, is the same as before, and gives it the new rows; else it
begins the chart from nothing, which costs it many times as much and flickers. So numbers that change with the step, or
while a run trains, are said beside their chart (for those who do not see it, where they are not written above it).
"""

from __future__ import annotations

import html
import re
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from labapp import charts

MEDIA = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
# The menu stands in the corner of its chart, takes no line of the page, and is read out as "Download".
CORNER = """<style>
[class*="st-key-chart-"] { position: relative; }
[class*="st-key-menu-"] { position: absolute; right: 0; top: 0; width: auto; z-index: 2; opacity: 0.5; }
[class*="st-key-menu-"]:hover, [class*="st-key-menu-"]:focus-within { opacity: 1; }
@media (min-width: 768px) { [data-testid="stSidebar"][data-collapsed="false"] { min-width: 340px; } }
[class*="st-key-menu-"] button p,
.labapp-said { position: absolute; clip-path: inset(50%); width: 1px; overflow: hidden; }
</style>"""


def chart(
    drawn: charts.Chart | charts.Unchecked,
    key: str,
    alt: str,
    table: pd.DataFrame,
    scale: charts.Chart | None = None,
    said: str = "",
    seen: bool = False,
) -> None:
    """Draw a chart as wide as its place, with a menu that downloads it as a picture and its table as CSV.

    Args:
        drawn: From `labapp.charts`; one that is kept between drawings is `Unchecked` already.
        key: Names the chart on its page, and the files.
        alt: What is to be seen, for those who do not see it; with `said` the title of the files.
        table: What is drawn, a row a measurement.
        scale: The bar of its colours, which the page draws once for several charts; files have it above the chart.
        said: The numbers of the step that is shown, or of what is recorded so far, in words.
        seen: Whether they stand on the page above the chart, where everybody reads them.
    """
    whole = f"{alt}: {said}" if said else alt
    with st.container(key=f"chart-{key}", gap=None):
        _draw(drawn, key, alt)
        if said and not seen:
            st.html(f"<p class='labapp-said'>{html.escape(said)}</p>")
        menu = st.popover("Download", icon=":material/download:", type="tertiary", key=f"menu-{key}", on_change="rerun")
        if menu.open:
            with menu:
                _files(drawn.chart if isinstance(drawn, charts.Unchecked) else drawn, key, whole, table, scale)


def colour_bar(drawn: charts.Chart, key: str, alt: str) -> None:
    """Draw the bar of colours of the charts below it; it is in their files."""
    _draw(drawn, key, alt)


def _draw(drawn: charts.Chart | charts.Unchecked, key: str, alt: str) -> None:
    as_it_is: Any = drawn if isinstance(drawn, charts.Unchecked) else charts.Unchecked(drawn)
    st.altair_chart(as_it_is, key=key, alt=alt)


def _files(drawn: charts.Chart, key: str, alt: str, table: pd.DataFrame, scale: charts.Chart | None) -> None:
    name = re.sub(r"[^\w.+-]+", "-", key).strip("-")
    for form in MEDIA:
        st.download_button(
            form.upper(),
            partial(_picture, drawn, form, alt, scale),
            file_name=f"{name}.{form}",
            mime=MEDIA[form],
            key=f"{form}-{key}",
            on_click="ignore",
            width="stretch",
        )
    st.download_button(
        "CSV", partial(charts.as_csv, table), file_name=f"{name}.csv", mime="text/csv",
        key=f"csv-{key}", on_click="ignore", width="stretch",
    )  # fmt: skip


def _picture(drawn: charts.Chart, form: str, alt: str, scale: charts.Chart | None) -> bytes:
    from labapp import figures  # matplotlib is not for every page

    return figures.drawn(charts.alone(drawn, alt, scale), form)
