"""Which claims do these runs answer, and how is each shown: verdict, numbers, picture, command?"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from labapp.claims import CLAIMS, NO_DATA, PAPERS, VERDICTS, Judged, Judgement, verdicts
from labapp.claims.wording import FACTORS, INK, SHARE, as_shown, command_for, in_words, number, seeds_of
from labapp.commands.report.document import (
    Chapter,
    CommandLine,
    Fold,
    Paragraph,
    Picture,
    RowTable,
    Subheading,
    VerdictCard,
)
from labapp.commands.report.scope import ReportScope
from labapp.config import listed
from labapp.figures import paper
from labapp.figures.sheets import claim_strips

RULE = (
    "A claim's numbers, thresholds and rule were fixed before anything was measured. A number is supported if the "
    "whole 95 % interval of its mean over seeds lies on the claim's side of the threshold, contradicted if it lies "
    "wholly on the other side, else undecided; a claim is supported if all its numbers are. At least three seeds are "
    "needed, of finished runs that differ in nothing but what the claim compares."
)


def judged(scope: ReportScope) -> dict[str, list[Judgement]]:
    """The verdicts on all claims by the runs of a report, of each claim one a setup."""
    return {name: verdicts(claim, scope.listing) for name, claim in CLAIMS.items()}


def claims_chapter(scope: ReportScope, found: dict[str, list[Judgement]]) -> Chapter:
    """What holds: all at a glance, then each that could be judged."""
    answered = {name: several for name, several in found.items() if several[0].verdict != NO_DATA}
    blocks: list[Any] = [Paragraph(_count(found))]
    if answered:
        blocks += [Paragraph(RULE, muted=True), _glance(answered)]
    if others := [name for name in found if name not in answered]:
        told = f"Not answered by these runs: {listed(others)}."
        blocks.append(Paragraph(f"{told} Which runs each of them needs is said under “What is missing”.", muted=True))
    for paper_name, (title, authors, address) in PAPERS.items():
        own = [several for several in answered.values() if several[0].claim.paper == paper_name]
        if own:
            blocks.append(Subheading(f"{title}: {authors} ({address})"))
            blocks += [_card(several, scope.root) for several in own]
    return Chapter("claims", "Claims", tuple(blocks))


def _count(found: dict[str, list[Judgement]]) -> str:
    count = Counter(several[0].verdict for several in found.values())
    told = [f"{count[word]} {'is' if count[word] == 1 else 'are'} {word}" for word in VERDICTS[:3] if count[word]]
    if not told:
        return f"None of the {len(found)} claims that the lab knows can be judged by these runs."
    lacking = f"; {count[NO_DATA]} cannot be judged by these runs" if count[NO_DATA] else ""
    return f"Of the {len(found)} claims that the lab knows {listed(told)}{lacking}."


def _glance(answered: dict[str, list[Judgement]]) -> RowTable:
    rows = []
    for several in answered.values():
        first, *_ = several[0].parts
        rows.append((several[0].claim.statement, several[0].verdict, in_words(first), seeds_of(first)))
    return RowTable(("claim", "verdict", "first number, 95 % interval", "seeds"), tuple(rows), 1)


def _card(several: list[Judgement], root: str) -> VerdictCard:
    best, *others = several
    claim = best.claim
    about = f"{claim.where}. Runs: {best.settings or 'as listed below'}; page {claim.shown} of the app."
    blocks: list[Any] = [Paragraph(about, muted=True), _numbers(best), *_pictures(best)]
    if best.note:
        blocks.append(Paragraph(f"{best.note[:1].upper()}{best.note[1:]}."))
    if claim.published:
        blocks.append(Paragraph(f"Published, not measured here: {claim.published}."))
    for other in others:
        first = next((part for part in other.parts if part.seeds), other.parts[0])
        words = f"{first.part.says}: {in_words(first)} ({seeds_of(first)})" if first.seeds else other.note
        blocks.append(Paragraph(f"Other runs, {other.settings or 'of another recipe'}: {other.verdict}; {words}."))
    blocks.append(CommandLine(command_for(claim, root)))
    blocks.append(Fold(f"{len(best.runs)} run{'s' * (len(best.runs) != 1)}", (Paragraph(listed(best.runs)),)))
    return VerdictCard(best.verdict, claim.statement, tuple(blocks))


def _numbers(verdict: Judgement) -> RowTable:
    rows = []
    for part in verdict.parts:
        told = in_words(part)
        because = f"{part.part.because}; {part.note}" if part.note else part.part.because
        rows.append((part.part.says, part.verdict, told, because, seeds_of(part)))
    return RowTable(("number", "verdict", "value, 95 % interval, threshold", "why this threshold", "seeds"),
                    tuple(rows), 1)  # fmt: skip


def _pictures(verdict: Judgement) -> list[Picture]:
    parts = [part for part in verdict.parts if part.seeds]
    if not parts:
        return []
    with paper():
        figure = claim_strips([_strip(part) for part in parts])
    caption = (
        "A dot is a seed, the bar the mean's 95 % interval, the dashed line the threshold; shaded, what is claimed."
    )
    alt = "; ".join(f"{part.part.says}: mean {number(part, part.value)}, {in_words(part)}" for part in parts)
    return [Picture(figure, caption, alt)]


def _strip(part: Judged) -> dict[str, Any]:
    factors, share = part.part.unit in FACTORS, part.part.unit == SHARE
    shown = partial(as_shown, part)
    return {
        "says": f"{part.part.says}{' (factor)' if factors else ' (%)' if share else ''}", "log": factors,
        "values": [shown(value) for value in part.numbers], "mean": shown(part.value),
        "low": shown(part.low) if not part.part.exact else float("nan"),
        "high": shown(part.high) if not part.part.exact else float("nan"),
        "threshold": shown(part.part.threshold), "above": part.part.above, "colour": INK[part.verdict],
    }  # fmt: skip
