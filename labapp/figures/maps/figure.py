"""How does a sheet of maps look on paper?

Pictures in rows and columns, with maps over them, the mask's outline and a number below each; one colour bar for all.
The downloads of the Grad-CAM page, `labapp explain` and `analysis/gradcam.py` draw the same sheet.
"""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure, FigureBase
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from labapp.figures.maps.pixels import SIDE, blend, outline
from labapp.figures.maps.scale import scale_colours, scale_title
from labapp.figures.maps.sheet import Sheet
from labapp.figures.paper import UNDATED, WIDTH, paper

SMALLEST = 0.62  # inches of a picture; a sheet of more than fit into a page's width is wider


def figure_of(sheet: Sheet, width: float = WIDTH) -> Figure:
    """The sheet as a figure of its own; the caller is in `figures.paper()`."""
    figure = Figure(figsize=(width, height_of(sheet, width)), layout=tight())
    draw_sheet(figure, sheet)
    return figure


def tight() -> ConstrainedLayoutEngine:
    """A layout with pictures close together, and below each room for a line that may be wider than the picture."""
    return ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.07, wspace=0.01, hspace=0.01)


def height_of(sheet: Sheet, width: float = WIDTH) -> float:
    """Inches that a sheet of so many inches of width takes."""
    side = (width - 0.9) / _across(sheet)
    return len(sheet.rows) * (side + 0.2) + 0.95


def draw_sheet(figure: FigureBase, sheet: Sheet) -> None:
    """The sheet on a figure, or on a part of one."""
    axes = figure.subplots(max(1, len(sheet.rows)), _across(sheet), squeeze=False)
    small = _across(sheet) > 6
    size, thin = (5.5, 0.4) if small else (6.5, 0.7)  # points of words and of the outline
    for number, (row, line) in enumerate(zip(sheet.rows, axes, strict=False)):
        for ax in line:
            ax.set_axis_off()
        _picture(line[0], _enlarged(sheet.picture), sheet.mask, thin)
        line[0].text(
            -0.06, 0.5, row.title, rotation=90, ha="right", va="center", weight="bold", transform=line[0].transAxes,
            fontsize=7.5,
        )  # fmt: skip
        if row.detail:
            _below(line[0], row.detail, size)
        for at, (ax, cell) in enumerate(zip(line[1:], row.cells, strict=False)):
            above = (sheet.columns[at] if not number else "") if sheet.columns else cell.above if cell else ""
            if above:
                ax.set_title(above, fontsize=size, loc="center", weight="normal", pad=2)
            if cell is None:
                continue
            _picture(ax, blend(sheet.picture, sheet.shown(cell), sheet.opacity, SIDE), sheet.mask, thin)
            if cell.below:
                _below(ax, cell.below, size)
    free = 0.01 + 0.2 * _across(sheet) / (max(1, len(sheet.rows)) * (WIDTH - 0.9))  # for the words below the last row
    norm = Normalize(-sheet.limit if sheet.signed else 0, sheet.limit)
    colours = scale_colours(sheet.signed, 256) / 255
    bar = figure.colorbar(
        ScalarMappable(norm, LinearSegmentedColormap.from_list("maps", colours.tolist())),
        ax=axes, orientation="horizontal", fraction=0.04, aspect=60, pad=free, shrink=0.7,
        extend=("both" if sheet.signed else "max") if sheet.scale == "even" else "neither",
    )  # fmt: skip
    bar.set_label(scale_title(sheet.scale, sheet.signed))
    bar.outline.set_linewidth(0.4)
    if sheet.title:
        figure.suptitle(sheet.title, fontsize=8, x=0.01, ha="left")


def _across(sheet: Sheet) -> int:
    return max((len(row.cells) for row in sheet.rows), default=0) + 1


def encoded(sheet: Sheet, kind: str = "png") -> bytes:
    """The sheet as the bytes of a PNG, SVG or PDF file; the same sheet, the same bytes."""
    buffer = io.BytesIO()
    with paper():
        figure = figure_of(sheet, max(WIDTH, 0.9 + SMALLEST * _across(sheet)))
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=kind, metadata=UNDATED[kind])
    return buffer.getvalue()


def _enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.NEAREST))


def _below(ax: Axes, words: str, size: float) -> None:
    text = ax.text(0.5, -0.03, words, ha="center", va="top", transform=ax.transAxes, fontsize=size)
    text.set_in_layout(False)  # else a long word would push the pictures apart; the layout's pads leave it room


def _picture(ax: Axes, pixels: NDArray[np.uint8], mask: NDArray[np.bool_] | None, thin: float) -> None:
    ax.imshow(pixels, interpolation="nearest")
    if mask is not None:
        factor = SIDE / mask.shape[0]
        lines = [[(x * factor - 0.5, y * factor - 0.5) for x, y in segment] for segment in outline(mask)]
        ax.add_collection(LineCollection(lines, colors="white", linewidths=thin, capstyle="round"))
