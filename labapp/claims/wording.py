"""How is a verdict read: its number, its interval, what it had to pass, and the command that makes its runs?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from labapp.claims.claim import PAPERS, Claim
from labapp.config import cards

if TYPE_CHECKING:
    from labapp.claims.judging import Judged, Judgement

FACTORS = ("decades", "ratio")  # units of criteria that are logarithms, read as factors
SHARE = "share"
MOST = 308.0  # decades that a float holds
SIGNS = {"supported": "✓", "contradicted": "✗", "undecided": "?", "no data": "–"}  # beside the word and the colour
INK = {"supported": "#2E7D32", "contradicted": "#C62828", "undecided": "#B26A00", "no data": "#757575"}


def as_shown(part: Judged, value: float) -> float:
    """A number of a part in the unit in which it is read: per cent, a factor, or as it is."""
    if part.part.unit == SHARE:
        return 100 * value
    if part.part.unit not in FACTORS:
        return value
    return math.inf if value > MOST else 10.0**value


def number(part: Judged, value: float) -> str:
    """A number of a part as one reads it: per cent, a factor, or as it is."""
    if math.isnan(value):
        return "–"
    if part.part.unit == SHARE:
        return f"{as_shown(part, value):.3g} %"
    if part.part.unit in FACTORS:
        factor = as_shown(part, value)
        if math.isinf(factor):
            return "∞"
        return f"{factor:.3g}×" if 0.01 <= factor < 1000 else f"{factor:.1e}×"
    return f"{value:.3g}"


def in_words(part: Judged) -> str:
    """The number with its interval and what it had to pass: "12 % [9 %, 15 %], to be above 0 %"."""
    value = number(part, part.value)
    if math.isfinite(part.low) and not part.part.exact:
        value += f" [{number(part, part.low)}, {number(part, part.high)}]"
    return f"{value}, to be {'above' if part.part.above else 'below'} {number(part, part.part.threshold)}"


def command_for(claim: Claim, root: str) -> str:
    """The command that makes the runs that a claim is judged by."""
    return f"labapp sweep analysis/sweeps/quick/{claim.sweep}.yaml --root {root}"


def seeds_of(part: Judged) -> str:
    """How many seeds a number is of: "3 seeds", "exact"."""
    return "exact" if part.part.exact else f"{part.seeds} seed{'s' * (part.seeds != 1)}"


def card_of(judged: Judgement) -> str:
    """A judgement as a notebook shows it: the statement, its source, and a row a number."""
    claim = judged.claim
    paper, authors, where = PAPERS[claim.paper]
    rows = [
        (f"{SIGNS[part.verdict]} {part.verdict}", part.part.says, in_words(part), seeds_of(part), part.note)
        for part in judged.parts
    ]
    told = [judged.note, f"published, not measured here: {claim.published}" if claim.published else "", judged.settings]
    source = f"{paper}, {authors}, {claim.where} ({where})"
    parts = [cards.note(claim.statement), cards.note(source)]
    parts.append(cards.grid(["verdict", "number", "mean, 95 % interval, threshold", "of", "note"], rows))
    return cards.card(claim.name, [*parts, *map(cards.note, told)], f"{SIGNS[judged.verdict]} {judged.verdict}")
