"""How does a sheet of maps look on a page?

As a table with a row for each net and a column for each layer or checkpoint. A cell stacks three pictures: the grey
image, the map's colours and the mask's outline. The browser blends them, so each is sent with few pixels. On a phone a
row folds, and each cell has the heading of its column above it.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from labapp import app
from labapp.figures import maps

SMALL, LARGE = 64, 136  # pixels of a cell: of many columns, and of few
SHARP = 2 * LARGE  # pixels of a picture that fine screens can show
BESIDE = 750  # pixels of a page's width beside the names
# The roles of the table's parts are given with them: a row that is not laid out as one would lose them.
FOLDING = """<style>@media (max-width: 520px) {
.maps :is(table, tbody) { display: block; }
.maps thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
.maps tr { display: flex; flex-wrap: wrap; margin-bottom: 12px; }
.maps tr > th { flex: 0 0 100%; box-sizing: border-box; }
.maps td { flex: 0 0 33.3%; min-width: 0; box-sizing: border-box; }
.maps td::before { content: attr(data-column); display: block; opacity: .75; }
}</style>"""
LAYER = "position:absolute;inset:0;width:100%;height:100%;border-radius:3px"


def map_grid(sheet: maps.Sheet, columns: Sequence[str], looks: Sequence[tuple[str, str]]) -> None:
    """Draw a sheet with its colour scale.

    Args:
        sheet: The maps.
        columns: What stands above each column.
        looks: A row's swatch (the address of a picture) and what hovering it says.
    """
    side = int(np.clip(BESIDE / (len(columns) + 1) - 8, SMALL, LARGE))
    picture = maps.at_most(sheet.picture, SHARP)  # it stands in every cell
    below, original = maps.address(maps.grey(picture)), maps.address(picture)
    border = outline_address(sheet.mask) if sheet.mask is not None else ""
    head = "".join(
        f"<th role='columnheader' scope='col' style='{_CELL};padding-bottom:4px'>{html.escape(name)}</th>"
        for name in ["image", *columns]
    )
    rows = []
    for row, (swatch, hover) in zip(sheet.rows, looks, strict=True):
        first = _stack(original, "", border, 1, side, f"{row.title}: the image")
        cells = [f"{_cell('image')}>{first}<div style='{_SMALL}'>{html.escape(row.detail)}</div></td>"]
        for cell, name in zip(row.cells, columns, strict=True):
            if cell is None:
                cells.append(f"{_cell(name)}>–</td>")
                continue
            shown = _stack(
                below, maps.address(sheet.shown(cell)), border, sheet.opacity, side,
                f"{row.title}, {name}: {cell.above} {cell.below}",
            )  # fmt: skip
            cells.append(
                f"{_cell(name)} title='{html.escape(cell.above, quote=True)}'>{shown}"
                f"<div style='{_SMALL}'>{html.escape(cell.below)}</div></td>"
            )
        heading = (
            "<th role='rowheader' scope='row' "
            "style='text-align:left;padding-right:12px;font-weight:600;min-width:min(110px,20vw)' "
            f"title='{html.escape(hover, quote=True)}'><img src=\"{swatch}\" width='34' alt=''><br>"
            f"{html.escape(row.title)}</th>"
        )
        rows.append(f"<tr role='row'>{heading}{''.join(cells)}</tr>")
    st.html(
        f"{FOLDING}<div class='maps' style='overflow-x:auto'>"
        "<table role='table' style='border-collapse:collapse;font-size:.85rem'>"
        f"<thead role='rowgroup'><tr role='row'><td></td>{head}</tr></thead>"
        f"<tbody role='rowgroup'>{''.join(rows)}</tbody></table></div>{_bar(sheet)}"
    )


def _cell(column: str) -> str:
    return f"<td role='cell' data-column='{html.escape(column, quote=True)}' style='{_CELL}'"


def outline_address(mask: NDArray[np.bool_]) -> str:
    """The border of a mask as a picture of lines, white on dark so that it shows on any colour."""
    height, width = mask.shape
    path = "".join(f"M{a[0]} {a[1]}L{b[0]} {b[1]}" for a, b in maps.outline(mask))
    line = "fill='none' stroke-linecap='round' vector-effect='non-scaling-stroke'"
    return app.svg_address(
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}'>"
        f"<path d='{path}' {line} stroke='#000' stroke-opacity='.55' stroke-width='3'/>"
        f"<path d='{path}' {line} stroke='#fff' stroke-width='1.3'/></svg>"
    )


def _stack(below: str, over: str, border: str, opacity: float, side: int, says: str) -> str:
    says = html.escape(says, quote=True)
    parts = [f"<img src=\"{below}\" alt='{says}' style='{LAYER};image-rendering:pixelated'>"]
    if over:
        parts.append(f"<img src=\"{over}\" alt='' style='{LAYER};opacity:{opacity:g}'>")
    if border:
        parts.append(f"<img src=\"{border}\" alt='' style='{LAYER}'>")
    return f"<div style='position:relative;width:min({side}px,25vw);aspect-ratio:1;margin:auto'>{''.join(parts)}</div>"


def _bar(sheet: maps.Sheet) -> str:
    """The one colour scale, with its ends and its middle."""
    stops = ",".join(f"rgb({r},{g},{b})" for r, g, b in maps.scale_colours(sheet.signed, 24))
    low = -sheet.limit if sheet.signed else 0.0
    marks = [low, (low + sheet.limit) / 2, sheet.limit]
    beyond = sheet.scale == "even"
    words = [f"{mark:.3g}".replace("-", "−") for mark in marks]
    words[0] = f"≤ {words[0]}" if beyond and sheet.signed else words[0]
    words[-1] = f"≥ {words[-1]}" if beyond else words[-1]
    labels = "".join(f"<span>{word}</span>" for word in words)
    return (
        "<div style='max-width:560px;margin-top:10px;font-size:.8rem'>"
        f"<div style='height:12px;border-radius:3px;background:linear-gradient(to right,{stops})'></div>"
        f"<div style='display:flex;justify-content:space-between'>{labels}</div>"
        f"<div style='opacity:.7'>{maps.scale_title(sheet.scale, sheet.signed)}</div></div>"
    )


_CELL = "padding:2px 4px;text-align:center;font-weight:400;vertical-align:top"
_SMALL = "font-size:.78rem;opacity:.75;line-height:1.2;padding:2px 0 6px"
