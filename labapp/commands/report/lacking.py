"""What does a report not say: claims without runs, quantities that were not measured, parts that are lost?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from labapp.claims import NO_DATA, Judgement
from labapp.claims.wording import command_for
from labapp.commands.report.document import Chapter, CommandLine, Paragraph, RowTable, Subheading
from labapp.commands.report.scope import ReportScope
from labapp.config import LabError, listed
from labapp.probes.catalogue import CATALOGUE
from labapp.probes.tasks import missing, tasks

SAID = 40  # sentences about damaged parts
ENDED = {
    "diverged": "Their loss became NaN or infinite, or exploded; they are kept, and no claim counts them.",
    "failed": "They ended with an error; no claim counts them.",
    "interrupted": "Their process is gone; `labapp resume RUN` goes on with one.",
    "stopped": "Somebody stopped them; `labapp resume RUN` goes on with one.",
    "incomplete": "A part of their record is lost; no claim counts them.",
    "running": "They are still being written; of them this is what was there when the report was made.",
}


def missing_chapter(scope: ReportScope, found: dict[str, list[Judgement]]) -> Chapter:
    """What is missing, and the command that makes it."""
    blocks = [*_ends(scope), *_parts(scope), *_quantities(scope), *_claims(scope, found)]
    return Chapter("missing", "What is missing", tuple(blocks or [Paragraph("Nothing that the lab knows of.")]))


def _ends(scope: ReportScope) -> list[Any]:
    count = Counter(entry.status for entry in scope.entries if entry.status != "finished")
    if not count:
        return [Paragraph("Every run finished.")]
    rows = tuple(
        (status, f"{number:,}", ENDED.get(status, ""), _some(_names(scope, status)))
        for status, number in sorted(count.items())
    )
    return [Subheading("Runs that did not finish"), RowTable(("status", "runs", "what that means", "which"), rows)]


def _names(scope: ReportScope, status: str) -> list[str]:
    return [entry.id for entry in scope.entries if entry.status == status]


def _some(words: list[str], most: int = 6) -> str:
    return listed(words if len(words) <= most else [*words[:most], f"{len(words) - most:,} more"])


def _parts(scope: ReportScope) -> list[Any]:
    told = [sentence for _, sentence in scope.listing.broken]
    told += [entry.labels_problem for entry in scope.entries if entry.labels_problem]
    told += [f"{run.id}: {problem}" for run in scope.runs for problem in run.problems]
    if not told:
        return [Paragraph("No part of a run is damaged or lost.")]
    more = len(told) - SAID
    shown = [*told[:SAID], *([f"and {more:,} more, which `labapp runs check` names"] if more > 0 else [])]
    return [Subheading("Parts that are damaged or lost"), *(Paragraph(f"{sentence}.") for sentence in shown)]


def _quantities(scope: ReportScope) -> list[Any]:
    """Quantities that could be measured on checkpoints that are there, and are not."""
    lacking: dict[str, list[str]] = {}
    without = []
    for run in scope.runs:
        if run.status == "running":
            continue
        try:
            names = {task.quantity for task in missing(run, tasks(run)[0])}
        except LabError:
            without.append(run.id)
            continue
        for name in names:
            lacking.setdefault(name, []).append(run.id)
    blocks: list[Any] = []
    if without:
        words = f"Nothing can be measured any more of {len(without):,} runs that kept no weights: {_some(without)}."
        blocks.append(Paragraph(words))
    if not lacking:
        return [*blocks, Paragraph("Of every checkpoint all that the lab measures has been measured.")]
    rows = tuple(
        (spec.title, f"{len(lacking[name]):,}", _command(name, lacking[name], scope.root))
        for name, spec in CATALOGUE.items()
        if name in lacking
    )
    return [Subheading("Not measured"), *blocks, RowTable(("quantity", "runs", "command"), rows)]


def _command(name: str, runs: list[str], root: str) -> str:
    which = " ".join(runs[:3]) + (" …" if len(runs) > 3 else "")
    return f"labapp probe {which} --quantities {name} --root {root}"


def _claims(scope: ReportScope, found: dict[str, list[Judgement]]) -> list[Any]:
    lacking = [several[0] for several in found.values() if several[0].verdict == NO_DATA]
    if not lacking:
        return [Paragraph("Every claim that the lab knows could be judged.")]
    if not scope.whole:
        commands = listed(f"`{command}`" for command in _commands(lacking, scope.root))
        words = f"{len(lacking)} claims are about other runs: {listed(verdict.claim.name for verdict in lacking)}."
        return [Paragraph(f"{words} They are made by {commands}.")]
    blocks: list[Any] = [Subheading("Claims without data, by the command that makes their runs")]
    for command in _commands(lacking, scope.root):
        own = [verdict for verdict in lacking if command_for(verdict.claim, scope.root) == command]
        rows = tuple((verdict.claim.statement, verdict.note) for verdict in own)
        blocks += [CommandLine(command), RowTable(("claim", "what is missing"), rows)]
    return blocks


def _commands(lacking: Iterable[Judgement], root: str) -> list[str]:
    return list(dict.fromkeys(command_for(verdict.claim, root) for verdict in lacking))
