"""How does a report become one HTML file that asks nobody for anything?

Whatever is put into the page passes `_told` or `_plain`: signs that steer are named, and all that has a meaning in HTML
is escaped. A policy in the page's head forbids scripts and requests, should anything else fail.
"""

from __future__ import annotations

import base64
import re

from labapp import palette
from labapp.claims.wording import SIGNS
from labapp.commands.report.document import Document, Picture
from labapp.config.extras import needed
from labapp.figures import paper
from labapp.figures.sheets import as_svg

with needed(__name__):
    import jinja2
    from markupsafe import Markup, escape

_CODE = re.compile(r"`([^`]+)`")


def as_html(document: Document) -> bytes:
    """The page."""
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("labapp.commands.report"), autoescape=True, undefined=jinja2.StrictUndefined,
        finalize=_plain, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    pages.filters |= {"told": _told, "data": _data, "slug": _slug}
    return pages.get_template("report.html").render(document=document, signs=SIGNS).encode()


def _plain(value: object) -> object:
    """Before jinja escapes it; what is markup was escaped already."""
    return palette.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _told(words: str) -> Markup:
    """A sentence; what stands between `backticks` is code."""
    parts, at, text = [], 0, palette.visible(words).replace(" %", "\N{NO-BREAK SPACE}%")
    for code in _CODE.finditer(text):
        parts += [escape(text[at : code.start()]), Markup("<code>"), escape(code[1]), Markup("</code>")]
        at = code.end()
    return Markup("").join([*parts, escape(text[at:])])


def _slug(words: str) -> str:
    return words.replace(" ", "-")


def _data(picture: Picture) -> str:
    """A picture as an address that holds it: apart from the page, so that no two share names inside."""
    with paper():
        return f"data:image/svg+xml;base64,{base64.b64encode(as_svg(picture.figure)).decode()}"
