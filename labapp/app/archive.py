"""Which archive does the app show, and which of its runs are chosen?

`choose()` draws the folder and the run picker into the sidebar; a page gets the outcome from `opened()`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from labapp import frames
from labapp.app.picking import AT_FIRST, pick
from labapp.app.tables import problems, summary, token
from labapp.config import LabError, listed, place, roots, shown, under_roots
from labapp.store import AGE, Entry, Listing, Run, UnreachableError, look

_OUTSIDE = "{} is a link out of the folders that this app may open, so it is left alone"


@dataclass(frozen=True)
class OpenArchive:
    """What lies in the archive, the runs that are chosen, and sentences about what cannot be read."""

    listing: Listing
    names: Mapping[str, str]  # of every run, by its id
    chosen: tuple[Run, ...]
    broken: tuple[str, ...]
    refused: str = ""  # why the folder that was asked for is not opened

    @property
    def root(self) -> Path:
        """The archive's folder."""
        return self.listing.root

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, newest first."""
        return self.listing.runs

    @property
    def live(self) -> bool:
        """Whether a chosen run is being written."""
        return any(run.status == "running" for run in self.chosen)


def opened() -> OpenArchive:
    """The archive that the sidebar of this page found."""
    found: OpenArchive = st.session_state["_archive"]
    return found


def choose() -> OpenArchive:
    """Ask for the archive's folder and the runs to show, and keep the answer for `opened`."""
    _ask()
    listing, broken, refused = Listing.empty(roots()[0]), list[str](), ""
    outside: tuple[Entry, ...] = ()
    try:
        listing = Listing.empty(asked())
        listing, outside = look_inside(listing.root)
    except LabError as error:
        broken = [str(error)] if os.access(listing.root, os.F_OK) or isinstance(error, UnreachableError) else []
        refused = _refusal()
    names = {name: each.run for name, each in frames.called(listing).items()}
    broken += [sentence for _, sentence in listing.broken]
    broken += [_OUTSIDE.format(shown(listing.root / entry.id)) for entry in outside]
    broken += [entry.labels_problem for entry in listing.entries if entry.labels_problem]
    wanted, missing = pick(listing, names, bool(refused))
    chosen, unreadable = _readable([listing.run(entry) for entry in wanted])
    archive = OpenArchive(listing, names, tuple(chosen), (*missing, *broken, *unreadable), refused)
    st.session_state["_archive"] = archive
    return archive


def first_runs() -> list[Run]:
    """The runs that a page shows of the first archive before anybody has chosen.

    Raises:
        LabError: There is no archive, or it cannot be read.
    """
    listing, _ = look_inside(roots()[0])
    return _readable([listing.run(entry) for entry in listing.entries[:AT_FIRST]])[0]


def look_inside(root: Path) -> tuple[Listing, tuple[Entry, ...]]:
    """What lies in an archive, without runs that lead out of what may be opened; and those.

    Raises:
        LabError: There is no archive, or it cannot be read.
    """
    listing = look(root, AGE)
    outside = tuple(entry for entry in listing.entries if entry.linked and _leads_out(listing.root / entry.id))
    if not outside:
        return listing, ()
    return replace(listing, entries=tuple(entry for entry in listing.entries if entry not in outside)), outside


def asked() -> Path:
    """The archive's folder that the sidebar's field names, links followed.

    Raises:
        LabError: It lies outside the folders that this app was opened for.
    """
    return under_roots(st.session_state.get("archive") or roots()[0])


def _refusal() -> str:
    try:
        asked()
    except LabError as error:
        return str(error)
    return ""


def look_again_if_gone(chosen: Sequence[Run]) -> None:
    """Draw the whole page anew when a run was removed since; for fragments, which keep what they were given."""
    if not all((run.path / "run.json").is_file() for run in chosen):
        st.rerun()


def _ask() -> None:
    folders = roots()
    more = "" if len(folders) < 2 else f" This app may open what lies under {listed(map(shown, folders))}."
    st.text_input(
        "Archive folder",
        value=shown(place(os.environ.get("LABAPP_RUNS") or folders[0])),
        key="archive",
        bind="query-params",
        help="A folder of runs, or an address as `s3://bucket/runs`. `labapp train` and `starter` write into it, "
        f"and the app adds an index, and what you say of runs.{more}",
    )


def _readable(runs: list[Run]) -> tuple[list[Run], list[str]]:
    """The runs whose tables can be read, and a sentence about each one, or part of one, that cannot."""
    fine, sentences = [], []
    for run in runs:
        try:
            seen = token(run)
            if stray := _strays(*seen):
                sentences.append(_OUTSIDE.format(stray))
                continue
            summary(run, seen)
            sentences += [f"{run.id}: {problem}" for problem in problems(run, seen)]
            fine.append(run)
        except (LabError, OSError) as error:
            sentences.append(str(error))
    return fine, sentences


def strays(run: Run) -> str:
    """A link in a run's folder that leads out of what may be opened; "" where there is none."""
    return _strays(*token(run))


@st.cache_data(max_entries=512, show_spinner=False)
def _strays(path: str, version: str) -> str:
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            if (place := Path(folder, name)).is_symlink() and _leads_out(place):
                return str(place)
    return ""


def _leads_out(place: Path) -> bool:
    try:
        under_roots(place)
    except LabError:
        return True
    return False
