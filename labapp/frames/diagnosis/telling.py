"""How is a diagnosis told to somebody, or to a program, without this project at hand?

As text for a terminal, as Markdown, and as plain types for JSON. All three hold the same: each finding with its value,
threshold and source, what theory expects, what would confirm it; definitions of the quantities, from the docstrings
that compute them; what was looked at and what could not be.
"""

from __future__ import annotations

import math
import textwrap
from typing import Any

from labapp.frames.diagnosis.findings import STRONGEST, Diagnosis, Symptom, percent
from labapp.frames.diagnosis.limits import Limit
from labapp.frames.method import find

SHOWN = 6  # layers that are named one by one
WIDTH = 100
RANKS = (
    f"Strength goes from 0 to {STRONGEST:g}: by how many powers of ten a value is beyond its threshold, weighted by "
    f"the share of the steps; a fact that is no matter of degree has {STRONGEST:g}. What follows from another finding "
    "stands behind it."
)


def as_json(told: Diagnosis) -> dict[str, Any]:
    """Everything, in plain types; null where a number is not known."""
    return {
        "run": told.run,
        "net": told.net,
        "about": list(told.about),
        "ranking": RANKS,
        "findings": [_row(rank, symptom) for rank, symptom in enumerate(told.findings, start=1)],
        "definitions": _definitions(told),
        "looked_at": [
            {"rule": one.rule, "question": one.question, "findings": one.found} for one in told.looks if not one.reason
        ],
        "not_looked_at": [
            {"rule": one.rule, "question": one.question, "reason": one.reason} for one in told.looks if one.reason
        ],
    }


def as_markdown(told: Diagnosis) -> str:
    """A page of Markdown."""
    lines = [f"# What is wrong with {told.run}?", "", *_wrapped(" ".join(told.about)), "", f"**{verdict(told)}**", ""]
    for rank, symptom in enumerate(told.findings, start=1):
        lines += [f"## {rank}. {symptom.title}", "", symptom.words, ""]
        lines += [f"- **{name}**: {words}" for name, words in facts(symptom).items()]
        lines += [f"- **to confirm**: {words}" for words in symptom.confirm] + [""]
    if told.findings:
        lines += [RANKS, ""]
    definitions = _definitions(told)
    if definitions:
        lines += ["## What the quantities mean", ""]
        lines += [f"- **{name}**: {card['meaning']} {card['formula']}" for name, card in definitions.items()] + [""]
    lines += ["## What was looked at", ""]
    lines += [f"- {one.question} {_answer(one.found)}" for one in told.looks if not one.reason]
    if any(one.reason for one in told.looks):
        lines += ["", "## What could not be looked at", ""]
        lines += [f"- {one.question} Not here: {one.reason}." for one in told.looks if one.reason]
    return "\n".join(lines) + "\n"


def as_text(told: Diagnosis) -> str:
    """The same for a terminal."""
    lines = [f"{told.run}: {verdict(told)}", *_wrapped(" ".join(told.about), "  "), ""]
    for rank, symptom in enumerate(told.findings, start=1):
        lines += [f"{rank}. {symptom.title}", *_wrapped(symptom.words, "   ")]
        for name, words in [*facts(symptom).items(), *(("to confirm", words) for words in symptom.confirm)]:
            lines += _wrapped(f"{name:<10} {words}", "   ", 14)
        lines.append("")
    if told.findings:
        lines += [*_wrapped(RANKS), ""]
    definitions = _definitions(told)
    if definitions:
        lines.append("What the quantities mean")
        for name, card in definitions.items():
            lines += _wrapped(f"{name}: {card['meaning']}", "   ", 6)
        lines.append("")
    lines.append("What was looked at")
    for one in told.looks:
        if not one.reason:
            lines += _wrapped(f"{one.question} {_answer(one.found)}", "   ", 6)
    if any(one.reason for one in told.looks):
        lines += ["", "What could not be looked at"]
        for one in told.looks:
            if one.reason:
                lines += _wrapped(f"{one.question} Not here: {one.reason}.", "   ", 6)
    return "\n".join(lines) + "\n"


def verdict(told: Diagnosis) -> str:
    """The whole in a sentence."""
    if told.findings:
        first, more = told.findings[0].title, len(told.findings) - 1
        return f"{first}; {more} more finding{'s' * (more > 1)}." if more else f"{first}."
    blind = sum(bool(one.reason) for one in told.looks)
    asked = len(told.looks) - blind
    if not asked:
        return f"Nothing could be looked at: {told.looks[0].reason}."
    rest = f"; {blind} could not be asked" if blind else ""
    return f"Nothing found by {asked} questions{rest}."


def facts(symptom: Symptom) -> dict[str, str]:
    """What belongs to a finding besides its sentence, by name."""
    limit = symptom.threshold
    return {
        "layers": _layers(symptom),
        "steps": f"{symptom.first} to {symptom.last}, {percent(symptom.share)} of those that can be judged",
        "value": _value(symptom, limit),
        "threshold": f"{limit.value:.3g}. {limit.source[:1].upper()}{limit.source[1:]}.",
        "theory": symptom.expected,
        "strength": f"{symptom.strength:.2g} of {STRONGEST:g}",
    } | ({"follows from": symptom.because} if symptom.because else {})


def _value(symptom: Symptom, limit: Limit) -> str:
    interval = f" (95 % interval {symptom.low:.2g} to {symptom.high:.2g})" if symptom.low == symptom.low else ""
    return f"{symptom.value:.3g}{interval}, {limit.words}"


def _layers(symptom: Symptom) -> str:
    names = symptom.layers
    if not names:
        return "the whole net"
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _answer(found: int) -> str:
    return f"{found} finding{'s' * (found > 1)}." if found else "Nothing found."


def _row(rank: int, symptom: Symptom) -> dict[str, Any]:
    limit = symptom.threshold
    return {
        "rank": rank,
        "rule": symptom.rule,
        "title": symptom.title,
        "words": symptom.words,
        "layers": list(symptom.layers),
        "first_step": symptom.first,
        "last_step": symptom.last,
        "share_of_steps": round(symptom.share, 4),
        "quantity": symptom.quantity,
        "value": _plain(symptom.value),
        "low": _plain(symptom.low),
        "high": _plain(symptom.high),
        "threshold": {"name": symptom.limit, "value": limit.value, "of": limit.words, "source": limit.source},
        "theory": symptom.expected,
        "confirm": list(symptom.confirm),
        "strength": round(symptom.strength, 4),
        "follows_from": symptom.because or None,
    }


def _plain(number: float) -> float | str | None:
    """For JSON, which knows neither NaN nor infinity."""
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else "infinite"


def _definitions(told: Diagnosis) -> dict[str, dict[str, str]]:
    """Of each quantity that a finding speaks of: what it means, its formula, where it fails."""
    found = {}
    for name in dict.fromkeys(symptom.quantity for symptom in told.findings):
        card = find(name)
        if card is not None:
            found[name] = {"meaning": card.meaning, "formula": card.formula, "source": card.source, "fails": card.fails}
    return found


def _wrapped(words: str, indent: str = "", hanging: int | None = None) -> list[str]:
    later = indent if hanging is None else " " * hanging
    return textwrap.wrap(
        words, WIDTH, initial_indent=indent, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    ) or [""]
