"""What is wrong with each run of a report, by its records alone? The findings of `labapp diagnose`."""

from __future__ import annotations

from typing import Any

from labapp.commands.report.document import Chapter, FactList, Fold, Paragraph, RowTable, Subheading
from labapp.commands.report.scope import ReportScope
from labapp.config import LabError
from labapp.frames.diagnosis import Diagnosis, diagnose, facts, verdict

DIAGNOSED = 30  # runs; those that did not finish come first


def diagnoses_chapter(scope: ReportScope) -> Chapter:
    """A row a run, then the findings of each, folded."""
    chosen = sorted(scope.entries, key=lambda entry: entry.status == "finished")[:DIAGNOSED]
    blocks: list[Any] = []
    if more := len(scope.entries) - len(chosen):
        words = f"{len(chosen)} runs were looked at, those that did not finish first; {more:,} more were not, which "
        blocks.append(Paragraph(f"{words}`labapp diagnose RUN` looks at.", muted=True))
    rows, folds = [], []
    for entry in chosen:
        name = scope.name(entry)
        try:
            told = diagnose(scope.listing.run(entry))
        except LabError as error:
            rows.append((name, entry.id, f"It cannot be read: {error}."))
            continue
        rows.append((name, entry.id, verdict(told)))
        if told.findings:
            folds.append(_fold(name, told))
    blocks += [RowTable(("run", "id", "what was found"), tuple(rows)), *folds]
    return Chapter("diagnoses", "Diagnosis of each run", tuple(blocks))


def _fold(name: str, told: Diagnosis) -> Fold:
    blocks: list[Any] = [Paragraph(" ".join(told.about), muted=True)]
    for rank, symptom in enumerate(told.findings, start=1):
        pairs = [*facts(symptom).items(), *(("to confirm", words) for words in symptom.confirm)]
        pairs = [(key, words) for key, words in pairs if words]
        blocks += [Subheading(f"{rank}. {symptom.title}"), Paragraph(symptom.words), FactList(tuple(pairs))]
    blind = [f"{one.question} {one.reason}." for one in told.looks if one.reason]
    asked = sum(not one.reason for one in told.looks)
    blocks.append(Paragraph(f"{asked} questions were asked." + (" Not asked: " + " ".join(blind) if blind else "")))
    count = len(told.findings)
    return Fold(f"{name}: {count} finding{'s' * (count != 1)}", tuple(blocks))
