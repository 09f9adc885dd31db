"""Who are the runs of a report: how they ended, in what they differ, where they ran, what is published beside them?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from labapp import frames, palette
from labapp.claims import Missing
from labapp.claims.numbers import parameters
from labapp.commands.accuracies import Accuracies
from labapp.commands.report.document import Chapter, FactList, Fold, Paragraph, RowTable, Subheading
from labapp.commands.report.pictures import shown
from labapp.commands.report.scope import ReportScope
from labapp.frames.naming import asked_for
from labapp.store import SETTINGS, Entry

LISTED = 60  # runs with a row of their own
TOLD = ("python", "torch", "torchvision", "numpy", "platform", "machine", "cores", "device", "threads", "git")
COMMIT = 10  # signs by which a commit is told
WORDS = {"git": "commit", "cores": "processor cores"}


def runs_chapter(scope: ReportScope) -> Chapter:
    """One row a run with what it has otherwise than others; then every setting, folded."""
    accuracy = Accuracies(scope.listing)
    entries = scope.entries[:LISTED]
    differing = frames.differing(scope.entries)
    rows = [
        (
            scope.name(entry),
            entry.id,
            entry.status,
            f"{entry.step:,} of {entry.steps:,}",
            palette.percent(accuracy(entry)) if not math.isnan(accuracy(entry)) else "–",
            ", ".join(_word(name, entry) for name in differing if name in asked_for(entry.experiment)) or "–",
        )
        for entry in entries
    ]
    blocks: list[Any] = []
    if more := len(scope.entries) - len(entries):
        blocks.append(Paragraph(f"The first {LISTED} of {len(scope.entries):,} runs; {more:,} more are not listed."))
    head = ("run", "id", "status", "steps", "test accuracy", "set otherwise than in other runs")
    blocks += [RowTable(head, tuple(rows)), *_settings(scope, entries, differing)]
    blocks += [*_notes(scope, entries), *_published(scope, accuracy)]
    return Chapter("runs", "Runs and their configuration", tuple(blocks))


def _settings(scope: ReportScope, entries: Sequence[Entry], differing: Sequence[str]) -> list[Fold]:
    """What all runs share, and of each run the rest."""
    first = scope.entries[0].experiment
    shared = tuple((_said(name), _value(getattr(first, name))) for name in SETTINGS if name not in differing)
    folds = [Fold(f"What all runs share: {len(shared)} settings", (FactList(shared),))]
    if differing:
        rows = tuple(
            (
                f"{scope.name(entry)} ({entry.id})",
                ", ".join(_word(name, entry) for name in differing if getattr(entry.experiment, name) is not None),
            )
            for entry in entries
        )
        folds.append(Fold(f"All other settings of each run: {len(differing)}", (FactList(rows),)))
    return folds


def _notes(scope: ReportScope, entries: Sequence[Entry]) -> list[Fold]:
    told = tuple(
        (f"{scope.name(entry)} ({entry.id})", "; ".join(filter(None, [", ".join(labels.tags), labels.note])))
        for entry in entries
        if (labels := entry.labels).tags or labels.note
    )
    return [Fold(f"Tags and notes of {len(told)} runs", (FactList(told),))] if told else []


def _published(scope: ReportScope, accuracy: Accuracies) -> list[Any]:
    """What papers give for the nets that are drawn, marked as published."""
    rows, seen = [], set()
    for entry in shown(scope)[0]:
        net = scope.called[entry.id].net
        if net in seen:
            continue
        seen.add(net)
        try:
            weights = parameters(scope.listing.run(entry))
        except Missing:
            weights = math.nan
        known: list[Any] = frames.beside(entry.experiment, weights, accuracy(entry)).to_dict("records")
        for row in known:
            differs = f"; its net differs: {row['differs']}" if row["differs"] else ""
            rows.append((net, row["what"], f"{row['number']} (published)", _own(row), f"{row['source']}{differs}"))
    if not rows:
        return []
    head = ("net", "number", "as published", "here", "source")
    return [
        Subheading("Published about these nets, not measured here"),
        RowTable(head, tuple(rows)),
    ]


def _own(row: Mapping[str, Any]) -> str:
    """The same number of the lab's run."""
    if math.isnan(row["own"]):
        return "–"
    return f"{row['own'] / 1e6:.3g} M" if row["quantity"] == "parameters" else f"{row['own']:.3g} %"


def environment(scope: ReportScope) -> RowTable:
    """Versions and machines, with the number of runs where there are several."""
    found: dict[str, Counter[str]] = {name: Counter() for name in ("labapp", *TOLD)}
    for run in scope.runs:
        found["labapp"][run.record.labapp] += 1
        for name in TOLD:
            if run.environment.get(name) is not None:
                found[name][_version(name, str(run.environment[name]))] += 1
    rows = []
    for name, count in found.items():
        several = len(count) > 1 or sum(count.values()) != len(scope.runs)
        told = [f"{value} ({number:,} runs)" if several else value for value, number in sorted(count.items())]
        rows.append((WORDS.get(name, name), ", ".join(told) or "not recorded"))
    return RowTable(("what", "of the runs"), tuple(rows))


def _version(name: str, said: str) -> str:
    """A commit by its first signs, with the + of one that was changed."""
    return said if name != "git" or len(said) <= COMMIT else f"{said[:COMMIT]}{'+' * said.endswith('+')}"


def _word(name: str, entry: Entry) -> str:
    return f"{_said(name)} {_value(getattr(entry.experiment, name))}"


def _said(name: str) -> str:
    return name.replace("_", " ")


def _value(value: object) -> str:
    if value is None:
        return "not set"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
