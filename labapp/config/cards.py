"""How does something of the lab show itself in a notebook?

    card("residual-56", [bar(0.4), facts({"steps": "120 of 300"}), grid(["what", "so"], rows)], "finished")

One piece of HTML that needs nothing else: no script, no style sheet, no picture that is fetched, so Jupyter, Colab, VS
Code and a page made of a notebook show the same. Colours are the page's own (`currentColor`, and greys that let it
through), so it is right on a light and on a dark one. Every word is text: whatever somebody named cannot become markup.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence

POINTS = 120  # of a line at most; more would not be seen on its 300 pixels
_LINE = "rgba(128,128,128,.45)"
_CARD = (
    "display:inline-block;max-width:100%;box-sizing:border-box;border-radius:6px;padding:.6em .9em;"
    f"border:1px solid {_LINE};font-size:.93em;line-height:1.45"
)
_QUIET = "opacity:.72"
_CELL = "padding:.1em .9em .1em 0;text-align:left;vertical-align:top;background:none;border:0;color:inherit"


def text(words: object) -> str:
    """Words as HTML, with what somebody named as it is; what steers a terminal or a page is a box."""
    said = "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in str(words))
    return html.escape(said).replace("\n", "<br>")


def card(title: object, parts: Iterable[str], beside: object = "") -> str:
    """A frame with a title, something said beside it, and parts made by the other functions, one below the other."""
    more = f'<span style="{_QUIET};margin-left:.8em">{text(beside)}</span>' if beside != "" else ""
    head = f'<div style="margin-bottom:.3em"><strong>{text(title)}</strong>{more}</div>'
    return f'<div style="{_CARD}">{head}{"".join(parts)}</div>'


def facts(said: Mapping[str, object]) -> str:
    """Names and what is to be said of each, in two columns; without those of which nothing is."""
    rows = "".join(
        f'<tr style="background:none"><th scope="row" style="{_CELL};font-weight:normal;{_QUIET};white-space:nowrap">'
        f'{text(name)}</th><td style="{_CELL}">{text(value)}</td></tr>'
        for name, value in said.items()
        if value not in ("", None)
    )
    return f'<table style="border-collapse:collapse;margin:.2em 0;border:0">{rows}</table>'


def grid(columns: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table with a head."""
    head = "".join(
        f'<th scope="col" style="{_CELL};{_QUIET};border-bottom:1px solid {_LINE}">{text(name)}</th>'
        for name in columns
    )
    body = "".join(
        f'<tr style="background:none">{"".join(f"""<td style="{_CELL}">{text(word)}</td>""" for word in row)}</tr>'
        for row in rows
    )
    scroll = "overflow-x:auto;max-width:100%"
    return (
        f'<div style="{scroll}"><table style="border-collapse:collapse;margin:.3em 0;border:0">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def note(words: object) -> str:
    """A quiet line."""
    return f'<div style="{_QUIET}">{text(words)}</div>' if words != "" else ""


def bar(share: float) -> str:
    """How much of something is done, from 0 to 1."""
    done = min(1.0, max(0.0, share)) if math.isfinite(share) else 0.0
    return (
        f'<div role="img" aria-label="{done:.0%} done" style="height:4px;background:{_LINE};margin:.2em 0">'
        f'<div style="height:4px;width:{100 * done:.1f}%;background:currentColor"></div></div>'
    )


def line(values: Iterable[float], words: object, log: bool = False) -> str:
    """A small line of numbers in their order, "" where fewer than two can be shown.

    Args:
        values: At most POINTS of them are drawn, evenly; what is not finite (or not positive, with `log`) is a gap.
        words: What it is, beside it and for those who do not see it.
        log: Whether its axis is logarithmic.
    """
    numbers = [float(value) for value in values]
    numbers = (
        [numbers[round(at * (len(numbers) - 1) / (POINTS - 1))] for at in range(POINTS)]
        if len(numbers) > POINTS
        else numbers
    )
    logs = [
        (math.log10(value) if log else value) if math.isfinite(value) and (value > 0 or not log) else None
        for value in numbers
    ]
    known = [value for value in logs if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    pieces: list[list[str]] = [[]]
    for at, value in enumerate(logs):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{300 * at / (len(logs) - 1):.1f},{38 - 36 * (value - low) / span:.1f}")
    drawn = "".join(f'<polyline points="{" ".join(piece)}"/>' for piece in pieces if piece)
    return (
        f'<div><svg role="img" aria-label="{text(words)}" viewBox="0 0 300 40" width="300" height="40" '
        'fill="none" stroke="currentColor" stroke-width="1.4" stroke-linejoin="round" style="max-width:100%">'
        f'{drawn}</svg><div style="{_QUIET}">{text(words)}</div></div>'
    )
