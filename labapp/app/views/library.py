"""Which runs are there, and which of them are to be shown?

The table of all runs below the Overview: found by words and conditions, folded over seeds, chosen by their rows.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from labapp import app, frames, palette
from labapp.app.archive import asked, look_inside
from labapp.app.late import stands, wished
from labapp.app.live import rarely
from labapp.app.numbers import ArchiveNumbers, numbers_of
from labapp.app.picking import chosen, take
from labapp.app.views.library_filters import conditions
from labapp.app.views.library_labels import act
from labapp.config import LabError
from labapp.store import NUMBERS, Entry, Listing, Question, question

KEY = "all"
SHOWN = {"accuracy": "Test accuracy", "loss": "Training loss", "slope_end": "Slope, end", "recorder_cost": "Recording"}
MOST_SETTINGS = 8  # columns of settings in which the runs differ
UNTOLD = ("seed", "data", "device", "devices", "num_nodes")  # settings that have a column, or are of no interest
KEPT = 8  # answers to searches, and tables of them
PACE = 5.0  # seconds between two drawings of a table whose numbers are still being read
HELP = """Words stand in a run's name, id, tags, note or settings. `depth>=56`, `width=8,16`, `status!=finished`,
`tag=good`, `accuracy>0.9`, `started>2026-01-31` ask for one field; quotes keep words together."""


def show(archive: app.OpenArchive) -> None:
    """Draw the table of all runs, and what can be done with the chosen ones."""
    st.subheader("All runs", anchor=False)
    numbers = numbers_of(archive.listing)
    for run in archive.chosen:  # worked out for this page anyway
        entry = archive.listing.by_id.get(run.id)
        if entry is not None and entry.seen == run.seen and not numbers.kept.is_current(entry):
            numbers.learn(entry, app.summary(run))
    reading = bool(numbers.missing)  # behind the page, also where nothing runs
    shown = rarely(partial(_shown, archive.listing), partial(_standing, archive.listing))
    (st.fragment(_table, run_every=PACE) if reading else app.live(_table, "library", state=shown))(reading)
    act(archive)


def _shown(listing: Listing) -> tuple[object, int]:
    """What has to change for the table to change."""
    now, _ = look_inside(listing.root)
    return now, numbers_of(now).version


def _standing(listing: Listing) -> object:
    """What it shows at once: which runs there are, and how they stand."""
    return look_inside(listing.root)[0].standing


def _table(reading: bool) -> None:
    try:
        listing, _ = look_inside(asked())
    except LabError:  # gone meanwhile
        return
    numbers = numbers_of(listing)
    if reading and not numbers.missing:
        st.rerun()  # the pace is set where the fragment is called
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input(
            "Search",
            key="q",
            bind="query-params",
            placeholder="residual depth>=56 tag=good",
            help=HELP,
            icon=":material/search:",
        )
        more = conditions(listing, NUMBERS)
        fold = st.toggle(
            "Fold seeds",
            key="fold",
            bind="query-params",
            help="Repetitions of an experiment in one row, with the mean of their test accuracies and its 95 % "
            "interval over the seeds (Student's t)",
        )
    sought = _sought(str(words), more)
    found = _found(listing, sought, numbers)
    _say(listing, found, sought, numbers)
    if len(found):
        (_nets if fold else _runs)(listing, found, numbers)


def _sought(words: str, more: Question) -> Question:
    try:
        typed = question(words, NUMBERS)
    except LabError as error:
        st.warning(palette.sentence(f"This search is not understood: {error}."), icon=":material/search_off:")
        typed = Question()
    return Question(typed.words, (*typed.conditions, *more.conditions))


@dataclass(frozen=True, eq=False)
class _Found:
    """The runs that fit what is looked for, newest first."""

    entries: Sequence[Entry]
    ids: list[list[str]]  # of each row
    settings: list[str]  # in which they differ

    def __len__(self) -> int:
        return len(self.entries)


def _found(listing: Listing, sought: Question, numbers: ArchiveNumbers) -> _Found:
    """The runs that fit; kept for all sessions, as long as nothing changed."""

    def found() -> _Found:
        called = frames.called(listing)
        fit: Sequence[Entry] = listing.entries
        if sought:
            fit = [entry for entry in fit if sought.fits(entry, called[entry.id].run, numbers.number)]
        settings = [name for name in frames.differing(fit) if name not in UNTOLD][:MOST_SETTINGS]
        return _Found(fit, [[entry.id] for entry in fit], settings)

    kept: _Found = _kept(("found", listing, sought, numbers, numbers.version if sought.conditions else 0), found)
    return kept


def _kept(key: Hashable, make: Callable[[], Any]) -> Any:
    """What was made for a key, by whichever session; the least lately used goes first."""
    with _keeping:
        if key in _made:
            _made.move_to_end(key)
            return _made[key]
    made = make()
    with _keeping:
        _made[key] = made
        while len(_made) > KEPT:
            _made.popitem(last=False)
    return made


_made: OrderedDict[Hashable, Any] = OrderedDict()
_keeping = threading.Lock()


def _say(listing: Listing, found: _Found, sought: Question, numbers: ArchiveNumbers) -> None:
    """How many runs fit, and what is not known of them yet."""
    count = len(listing.entries)
    words = f"{len(found):,} of {count:,} runs fit." if sought else f"{count:,} {'run' if count == 1 else 'runs'}."
    if not found:
        words = f"None of the {count:,} runs fits; search for less, or take a filter back."
    if missing := numbers.missing:
        words += f" The numbers of {missing:,} are still being read."
    st.caption(palette.sentence(words))


def _runs(listing: Listing, found: _Found, numbers: ArchiveNumbers) -> None:
    """One row a run."""
    key = ("rows", found, numbers, numbers.version)
    _draw(_kept(key, lambda: _table_of(listing, found, numbers)), found.ids, found.settings)


def _table_of(listing: Listing, found: _Found, numbers: ArchiveNumbers) -> pd.DataFrame:
    settings = found.settings
    table = frames.library(found.entries, frames.called(listing), list(SHOWN), numbers.number, settings)
    percent = {name: 100 * table[name] for name in ("accuracy", "recorder_cost", "progress")}
    table = table.assign(**percent)
    empty: dict[str, Any] = {"tags": not any(map(len, table["tags"])), "note": not table["note"].any()}
    empty |= {"progress": (table["progress"] == 100).all(), "recorder_cost": table["recorder_cost"].isna().all()}
    columns = ["run", "tags", "status", "progress", *SHOWN, *settings, "seed", "started", "seconds", "note", "run_id"]
    return table[[name for name in columns if not empty.get(name)]]


def _nets(listing: Listing, found: _Found, numbers: ArchiveNumbers) -> None:
    """One row an experiment, its seeds folded."""
    called = frames.called(listing)
    table = frames.folded(frames.library(found.entries, called, ["accuracy"], numbers.number, []))
    unread = numbers.unread
    waiting = [not unread.isdisjoint(ids) for ids in table["ids"]]  # a mean of some seeds would be another
    ends = [_interval(row) for row in app.rows(table)]
    interval: Any = ["being read" if wait else end for wait, end in zip(waiting, ends, strict=True)]
    table["accuracy"] = table["accuracy"].mask(pd.Series(waiting, index=table.index, dtype=bool))
    shown = table.assign(run=table["net"], accuracy=100 * table["accuracy"], interval=interval)
    _draw(shown[["run", "runs", "seeds", "finished", "accuracy", "interval"]], table["ids"].tolist(), [])


def _interval(row: Any) -> str | None:
    return None if pd.isna(row.low) else f"{100 * row.low:.1f} to {100 * row.high:.1f} %"


def _draw(table: pd.DataFrame, ids: list[list[str]], settings: Sequence[str]) -> None:
    """The table itself, with the rows of chosen runs marked."""
    now = set(chosen())
    rows = [place for place, each in enumerate(ids) if now.issuperset(each)]
    state: Any = st.session_state
    drawn = state[KEY]["selection"]["rows"] if KEY in state else None
    if drawn is None or list(drawn) != rows:
        state[KEY] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    stands(KEY, tuple(ids[row][0] for row in rows))
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        table,
        key=KEY,
        hide_index=True,
        placeholder="–",
        on_select=lambda: _take_rows(ids, rows),
        selection_mode="multi-row",
        height=min(36 * (len(table) + 1) + 2, 460),
        alt="All runs that fit the search: choose rows to show those runs",
        column_config={
            "run": text("Run"),
            "tags": st.column_config.ListColumn("Tags"),
            "status": text("Status"),
            "progress": st.column_config.ProgressColumn("Progress", min_value=0, max_value=100, format="%d %%"),
            "accuracy": number(SHOWN["accuracy"], format="%.1f %%", help="Held-out images, at the last evaluation"),
            "interval": text("95 % interval", help="Of the mean over seeds; none for one seed"),
            "loss": number(SHOWN["loss"], format="%.3g", help="Mean over the last tenth of the steps, in nats"),
            "slope_end": number(SHOWN["slope_end"], format="%.3f", help="Gradient slope at the last recorded step"),
            "recorder_cost": number(SHOWN["recorder_cost"], format="%.1f %%", help="Time spent in the recorder"),
            "seed": number("Seed", format="%d"),
            "seeds": number("Seeds", help="A seed that ran twice counts once"),
            "runs": number("Runs"),
            "finished": number("Finished", help="Only finished runs count in the mean"),
            "started": st.column_config.DatetimeColumn("Started", format="YYYY-MM-DD HH:mm"),
            "seconds": number("Time", format="%.0f s", help="Of all attempts, evaluation included"),
            "note": text("Note"),
            "run_id": text("Id", help="Its folder in the archive"),
            **{name: st.column_config.Column(name.replace("_", " ").capitalize()) for name in settings},
        },
    )


def _take_rows(ids: list[list[str]], before: Sequence[int]) -> None:
    """Choose what was chosen and what rows were added, without those that were taken back."""
    now = [row for row in st.session_state[KEY]["selection"]["rows"] if row < len(ids)]
    if not wished(KEY, tuple(ids[row][0] for row in now)):
        return
    gone = {name for row in set(before) - set(now) for name in ids[row]}
    added = [name for row in now if row not in set(before) for name in ids[row]]
    take([*(name for name in chosen() if name not in gone), *added])
    st.rerun()  # the whole page and not this part alone, since everything shows the chosen runs
