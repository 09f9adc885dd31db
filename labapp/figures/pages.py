"""How do words, tables and figures become the pages of a PDF?

    with Pages(file, title="…") as pages:
        pages.words("What came out", size=14, bold=True)
        pages.table(["run", "test"], [["plain-20", "93 %"]])
        pages.picture(as_png(figure, 220), "A caption")

Lines are broken by the widths of the font that matplotlib brings along, so no browser and no other library is needed.
Text stays text. A sign that the font lacks is named, as ‹U+4E2D›.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, BinaryIO, Self

import matplotlib.image as mpimg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from labapp import palette

PAPER = (8.27, 11.69)  # inches, A4
MARGIN = 0.8
ACROSS = PAPER[0] - 2 * MARGIN
SIZE = 8.5  # points
LEADING = 1.38  # of the size, from line to line
GAP = 0.12  # inches between columns of a table
INK = "#1A1A1A"
_FAMILIES = {"text": "DejaVu Sans", "code": "DejaVu Sans Mono"}


class Pages:
    """Pages of A4 that are filled from the top; written into an open file."""

    def __init__(self, file: BinaryIO, title: str, maker: str) -> None:
        about: Any = {"Title": title, "Creator": maker, "CreationDate": None}
        self.title = title
        self._pdf = PdfPages(file, metadata=about)
        self._page: Figure | None = None
        self._left = 0.0  # inches that are free on the page
        self._count = 0

    def words(
        self,
        text: str,
        size: float = SIZE,
        *,
        bold: bool = False,
        code: bool = False,
        colour: str = INK,
        indent: float = 0.0,
        after: float = 0.05,
    ) -> None:
        """A paragraph; the last line of a page is never a heading."""
        lines = broken(text, ACROSS - indent, size, bold, code)
        high = size * LEADING / 72
        if bold:
            self._need(len(lines) * high + 4 * SIZE * LEADING / 72)
        for line in lines:
            self._need(high)
            self._left -= high
            self._put(line, MARGIN + indent, size, bold, code, colour)
        self._left -= after

    def space(self, inches: float) -> None:
        """Nothing, so high; less at the top of a page."""
        if self._page is not None and self._left < PAPER[1] - 2 * MARGIN:
            self._left -= inches

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], size: float = 7.0) -> None:
        """A table; its head stands on each page again."""
        widths = _columns([head, *rows], size)
        self._row(head, widths, size, bold=True)
        for row in rows:
            if not self._fits(_height(row, widths, size)):
                self._turn()
                self._row(head, widths, size, bold=True)
            self._row(row, widths, size)
        self._left -= 0.08

    def picture(self, png: bytes, caption: str) -> None:
        """A picture as wide as the text, or as high as the page, with its caption on the same page."""
        pixels = mpimg.imread(io.BytesIO(png), format="png")
        down, across = pixels.shape[:2]
        below = len(broken(caption, ACROSS, 7.0)) * 7.0 * LEADING / 72 + 0.1
        wide = min(ACROSS, (PAPER[1] - 2 * MARGIN - below) * across / down)
        high = wide * down / across
        self._need(high + below)
        self._left -= high
        page = self._open()
        ax = page.add_axes((MARGIN / PAPER[0], (MARGIN + self._left) / PAPER[1], wide / PAPER[0], high / PAPER[1]))
        ax.imshow(pixels, aspect="auto", interpolation="none")
        ax.axis("off")
        self.words(caption, 7.0, colour=palette.MUTED, after=0.1)

    def _row(self, row: Sequence[str], widths: Sequence[float], size: float, bold: bool = False) -> None:
        """One row; of one that is higher than a page what is too much goes onto the next."""
        cells = [broken(cell, width, size, bold) for cell, width in zip(row, widths, strict=True)]
        for at in range(max(map(len, cells))):
            self._need(size * LEADING / 72)
            self._left -= size * LEADING / 72
            place = MARGIN
            for lines, width in zip(cells, widths, strict=True):
                if at < len(lines):
                    self._put(lines[at], place, size, bold)
                place += width + GAP
        self._left -= 0.03

    def _put(
        self, line: str, place: float, size: float, bold: bool = False, code: bool = False, colour: str = INK
    ) -> None:
        self._open().text(
            place / PAPER[0], (MARGIN + self._left) / PAPER[1], line, size=size, color=colour, parse_math=False,
            weight="bold" if bold else "normal", family=_FAMILIES["code" if code else "text"], va="baseline",
        )  # fmt: skip

    def _fits(self, inches: float) -> bool:
        return self._page is not None and self._left >= inches

    def _need(self, inches: float) -> None:
        if not self._fits(min(inches, PAPER[1] - 2 * MARGIN)):
            self._turn()

    def _open(self) -> Figure:
        return self._turn() if self._page is None else self._page

    def _turn(self) -> Figure:
        """Write the page, and begin another one."""
        self._write()
        self._count += 1
        self._page, self._left = Figure(figsize=PAPER), PAPER[1] - 2 * MARGIN
        foot = f"{self.title}  ·  {self._count}"
        at = (MARGIN / PAPER[0], 0.45 / PAPER[1])
        self._page.text(*at, known(foot), size=6.5, color=palette.MUTED, parse_math=False, family=_FAMILIES["text"])
        return self._page

    def _write(self) -> None:
        if self._page is not None:
            self._pdf.savefig(self._page)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._open()  # a PDF without a page is none
            self._write()
        self._pdf.close()


def broken(text: str, width: float, size: float, bold: bool = False, code: bool = False) -> list[str]:
    """A text in lines that are at most so many inches wide; words that are longer are broken where the line ends."""
    lines, line, left = [], "", width
    blank = wide(" ", size, bold, code)
    for word in known(text).split():
        while True:
            need = wide(word, size, bold, code)
            if need <= left or (not line and need <= width):
                break
            if line:
                lines.append(line.rstrip())
                line, left = "", width
                continue
            head = _fitting(word, width, size, bold, code)
            lines.append(word[:head])
            word = word[head:]
        line, left = f"{line}{word} ", left - need - blank
    return [*lines, line.rstrip()]


def _fitting(word: str, width: float, size: float, bold: bool, code: bool) -> int:
    """How many of its letters fit; at least one."""
    taken = 0.0
    for at, sign in enumerate(word):
        taken += wide(sign, size, bold, code)
        if taken > width and at:
            return at
    return len(word)


def wide(text: str, size: float, bold: bool = False, code: bool = False) -> float:
    """Inches that a text takes on one line."""
    return sum(_advance(sign, bold, code) for sign in text) * size / 72


def known(text: str) -> str:
    """The text with the signs named that the font lacks."""
    return "".join(sign if _font(False, False).get_char_index(ord(sign)) else f"‹U+{ord(sign):04X}›" for sign in text)


@lru_cache(maxsize=4)
def _font(bold: bool, code: bool) -> Any:
    weight: Any = "bold" if bold else "normal"
    return get_font(findfont(FontProperties(family=_FAMILIES["code" if code else "text"], weight=weight)))


@lru_cache(maxsize=4096)
def _advance(sign: str, bold: bool, code: bool) -> float:
    """Of one letter, as a share of the size."""
    font = _font(bold, code)
    font.set_size(100, 72)
    return float(font.load_char(ord(sign)).linearHoriAdvance) / 65536 / 100


def _columns(rows: Sequence[Sequence[str]], size: float) -> list[float]:
    """The widths of the columns: what they need, the widest made narrower until all fit."""
    natural = [max(wide(known(row[at]), size, True) for row in rows) + 0.02 for at in range(len(rows[0]))]
    room = ACROSS - GAP * (len(natural) - 1)
    most = max(natural)
    while sum(min(width, most) for width in natural) > room:
        most *= 0.95
    return [min(width, most) for width in natural]


def _height(row: Sequence[str], widths: Sequence[float], size: float) -> float:
    lines = max(len(broken(cell, width, size)) for cell, width in zip(row, widths, strict=True))
    return lines * size * LEADING / 72
