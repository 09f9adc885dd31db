"""How does a report become a PDF? The same blocks as the page's, nothing folded."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from labapp import palette
from labapp.claims.wording import INK, SIGNS
from labapp.commands.report.document import (
    CommandLine,
    Document,
    FactList,
    Fold,
    Paragraph,
    Picture,
    RowTable,
    Subheading,
    VerdictCard,
)
from labapp.figures import paper
from labapp.figures.pages import Pages
from labapp.figures.sheets import as_png

DENSITY = 200  # pixels an inch


def as_pdf(document: Document) -> bytes:
    """The document as pages of A4."""
    held = io.BytesIO()
    with paper(), Pages(held, _plain(document.title), MAKER) as pages:
        pages.words(_plain(document.title), 17, bold=True, after=0.1)
        for name, words in document.about:
            pages.words(_plain(f"{name}: {words}"))
        pages.words(_plain(document.made), colour=palette.MUTED)
        for chapter in document.chapters:
            pages.space(0.15)
            pages.words(_plain(chapter.title), 13, bold=True, after=0.08)
            _put(pages, chapter.blocks)
    return held.getvalue()


MAKER = "labapp report"


def _put(pages: Pages, blocks: tuple[Any, ...]) -> None:
    for block in blocks:
        _WAYS[type(block)](pages, block)


def _plain(words: str) -> str:
    return palette.visible(words).replace("`", "")


def _paragraph(pages: Pages, block: Paragraph) -> None:
    pages.words(_plain(block.text), colour=palette.MUTED if block.muted else "#1A1A1A")


def _facts(pages: Pages, block: FactList) -> None:
    for name, words in block.pairs:
        pages.words(f"{_plain(name)}: {_plain(words)}", 7.0, indent=0.15, after=0.02)


def _table(pages: Pages, block: RowTable) -> None:
    rows = [
        [f"{SIGNS[cell]} {cell}" if at == block.verdicts else _plain(cell) for at, cell in enumerate(row)]
        for row in block.rows
    ]
    pages.table(block.head, rows)


def _command(pages: Pages, block: CommandLine) -> None:
    pages.words(palette.visible(block.text), 7.0, code=True, indent=0.15)


def _picture(pages: Pages, block: Picture) -> None:
    pages.picture(as_png(block.figure, DENSITY), _plain(block.caption))


def _fold(pages: Pages, block: Fold) -> None:
    pages.words(_plain(block.title), 7.5, bold=True, after=0.02)
    _put(pages, block.blocks)


def _card(pages: Pages, block: VerdictCard) -> None:
    pages.space(0.1)
    words = f"{SIGNS[block.verdict]} {block.verdict}: {_plain(block.title)}"
    pages.words(words, 9.0, bold=True, colour=INK[block.verdict])
    _put(pages, block.blocks)


def _heading(pages: Pages, block: Subheading) -> None:
    pages.words(_plain(block.text), 9.5, bold=True)


_WAYS: dict[type, Callable[[Pages, Any], None]] = {
    Paragraph: _paragraph,
    FactList: _facts,
    RowTable: _table,
    CommandLine: _command,
    Picture: _picture,
    Fold: _fold,
    VerdictCard: _card,
    Subheading: _heading,
}
