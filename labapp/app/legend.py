"""Which line on the charts is which run?"""

from __future__ import annotations

import html
import urllib.parse
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from labapp import palette
from labapp.app.archive import look_again_if_gone
from labapp.app.tables import made_of, overview, rows, styles
from labapp.store import Run

NAMED = 12  # runs that are named on a phone
ON_PHONES = """<style>@media (min-width: 521px) {
[data-testid="stLayoutWrapper"]:has(> .st-key-names-on-phones) { display: none; }
}</style>"""


def legend(chosen: Sequence[Run]) -> None:
    """Swatch, name, norm, seed, test accuracy and status of every chosen run; hovering tells its id."""
    look_again_if_gone(chosen)
    if not chosen:
        return
    st.html(made_of("legend", chosen, _lines))


def _lines(chosen: Sequence[Run]) -> str:
    lines = "".join(
        f"<tr title='{html.escape(row.run_id, quote=True)}'>"
        f"<td style='padding:2px 8px 2px 0'><img width='34' src=\"{swatch(look.colour, look.dash)}\" alt=''></td>"
        f"<td style='width:100%'>{html.escape(row.run)}<br><span style='opacity:.65;font-size:.8em'>"
        f"{html.escape(' · '.join(_facts(row)))}</span></td>"
        f"<td style='text-align:right;white-space:nowrap'>{_accuracy(row.accuracy)}</td></tr>"
        for row, look in zip(rows(overview(chosen)), rows(styles(chosen)), strict=True)
    )
    return f"<table style='border-collapse:collapse;font-size:.85rem;line-height:1.25;width:100%'>{lines}</table>"


def names_on_phones(chosen: Sequence[Run]) -> None:
    """Swatch and name of every chosen run in lines that fold, on screens too narrow for the sidebar and for legends."""
    with st.container(key="names-on-phones"):
        st.html(made_of("names", chosen, _names))


def _names(chosen: Sequence[Run]) -> str:
    table = styles(chosen)
    names = "".join(
        f"<span style='white-space:nowrap'><img width='34' src=\"{swatch(row.colour, row.dash)}\" alt=''> "
        f"{html.escape(row.run)}</span>"
        for row in rows(table.head(NAMED))
    )
    more = f"<span>and {len(table) - NAMED:,} more</span>" if len(table) > NAMED else ""
    return f"{ON_PHONES}<div style='display:flex;flex-wrap:wrap;gap:2px 14px;font-size:.85rem'>{names}{more}</div>"


def swatch(colour: str, dash: Sequence[int]) -> str:
    """A short piece of a run's line as an SVG picture, in the form of an address."""
    pattern = f" stroke-dasharray='{' '.join(map(str, dash))}'" if dash else ""
    return svg_address(
        "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='16' viewBox='0 0 40 16'>"
        f"<line x1='2' y1='8' x2='38' y2='8' stroke='{colour}' stroke-width='3'{pattern}/></svg>"
    )


def svg_address(drawing: str) -> str:
    """An SVG drawing as a `data:` address, for `<img src>`."""
    return "data:image/svg+xml;utf8," + urllib.parse.quote(drawing)


def _accuracy(fraction: float) -> str:
    """Test accuracy in per cent, "–" where nothing was tested yet."""
    return "–" if pd.isna(fraction) else palette.percent(fraction)


def _facts(row: Any) -> list[str]:
    facts = [palette.NORMS.get(row.norm, row.norm), f"seed {row.seed}"]
    return facts if row.status == "finished" else [*facts, row.status]
