"""How do runs show themselves in a notebook?

A run is a card: who it is, how far, how it ended, what lies in its folder and by which call one reads it. Several are a
table. A card never fails: of a run that is gone or damaged it says the sentence that reading it would raise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsIndex, overload

from labapp.config import LabError, cards, shown
from labapp.store.labels import read_labels

if TYPE_CHECKING:
    from labapp.store.index import Listing
    from labapp.store.run import Run

ROWS = 30  # of a table of runs
_READ = {"layers": "run.layers()", "steps": "run.steps()", "evals": "run.evals()"}


class Runs(list["Run"]):
    """Runs in a list that shows itself as a table; a part of it does too."""

    @overload
    def __getitem__(self, place: SupportsIndex) -> Run: ...
    @overload
    def __getitem__(self, place: slice) -> Runs: ...
    def __getitem__(self, place: SupportsIndex | slice) -> Run | Runs:
        found = super().__getitem__(place)
        return Runs(found) if isinstance(found, list) else found

    def _repr_html_(self) -> str:
        return cards.card(f"{len(self)} run{'s' * (len(self) != 1)}", _rows(self))


def listing_card(listing: Listing) -> str:
    """An archive: its runs, and the folders that cannot be read."""
    broken = [cards.note(f"{path.name}: {reason}") for path, reason in listing.broken[:ROWS]]
    count = len(listing.entries)
    some = [listing.run(entry) for entry in listing.entries[:ROWS]]
    parts = [*_rows(some), *_more(count - len(some)), *broken]
    return cards.card(f"{count} run{'s' * (count != 1)}", parts, shown(listing.root))


def run_card(run: Run) -> str:
    """One run."""
    try:
        return _card(run)
    except LabError as error:
        return cards.card(run.id, [cards.note(str(error))])


def _card(run: Run) -> str:
    what, (done, asked) = run.experiment, run.progress
    labels = read_labels(run.path)
    accuracy = last_accuracy(run)
    told = {
        "steps": f"{done:,} of {asked:,}",
        "images": what.imageset if what.net is None else "",
        "net": what.net or f"{what.norm} norm, {what.init} weights, seed {what.seed}",
        "test accuracy": "" if math.isnan(accuracy) else f"{accuracy:.1%}",
        "layers": f"{len(run.layers_info)} places" if run.layers_info else "",
        "time": f"{run.seconds:,.0f} s" if run.seconds else "",
        "ended": run.message,
        "tags": ", ".join(labels.tags),
        "note": labels.note,
        "tables": ", ".join(_READ.get(name, f"run.table({name!r})") for name in run.tables()),
        "probes": ", ".join(f"run.probe({name!r})" for name in run.probes()),
        "checkpoints": f"{len(run.checkpoints())}, the last at step {run.checkpoints()[-1]:,}"
        if run.checkpoints()
        else "",
        "damage": " ".join(run.damage),
        "folder": shown(run.path),
    }
    losses = run.steps(columns=["step", "loss"])["loss"].astype(float)
    known = losses[losses.notna()]
    words = f"training loss in nats, logarithmic: {known.iloc[0]:.3g} → {known.iloc[-1]:.3g}" if len(known) else ""
    parts = [cards.bar(done / asked if asked else 0.0), cards.facts(told), cards.line(losses, words, log=True)]
    return cards.card(labels.name or run.name, parts, run.status)


def last_accuracy(run: Run) -> float:
    """The last test accuracy, a fraction; NaN where none was measured."""
    tests = run.evals(columns=["step", "split", "accuracy"], where={"split": "test"})
    return float(tests["accuracy"].iloc[-1]) if len(tests) else math.nan


def _rows(runs: Sequence[Run]) -> list[str]:
    rows = [_row(run) for run in runs[:ROWS]]
    parts = [cards.grid(["run", "net", "steps", "test", "time", "status"], rows)] if rows else []
    return [*parts, *_more(len(runs) - len(rows))]


def _row(run: Run) -> list[str]:
    try:
        (done, asked), accuracy = run.progress, last_accuracy(run)
        name = read_labels(run.path).name or run.name
        score = "" if math.isnan(accuracy) else f"{accuracy:.1%}"
        return [run.id, name, f"{done:,} of {asked:,}", score, f"{run.seconds:,.0f} s", run.status]
    except LabError as error:
        return [run.id, str(error), "", "", "", ""]


def _more(count: int) -> list[str]:
    return [cards.note(f"and {count:,} more")] if count > 0 else []
