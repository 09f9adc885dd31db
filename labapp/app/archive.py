"""Which archive does the app show, and which of its runs are chosen?

`choose()` draws the folder and the run picker into the sidebar; a page gets the outcome from `opened()`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from labapp import frames
from labapp.app.tables import problems, summary, token
from labapp.config import LabError, listed, roots, under_roots
from labapp.store import Run, broken_runs, list_runs

AT_FIRST = 6  # runs chosen when nobody has chosen yet: the newest
_OUTSIDE = "{} is a link out of the folders that this app may open, so it is left alone"


@dataclass(frozen=True)
class OpenArchive:
    """The archive's folder, its runs (newest first), those chosen, and sentences about what cannot be read."""

    root: Path
    runs: tuple[Run, ...]
    chosen: tuple[Run, ...]
    broken: tuple[str, ...]
    refused: str = ""  # why the folder that was asked for is not opened

    @property
    def live(self) -> bool:
        """Whether a chosen run is being written."""
        return any(run.status == "running" for run in self.chosen)


def opened() -> OpenArchive:
    """The archive that the sidebar of this page found."""
    return st.session_state["_archive"]


def choose() -> OpenArchive:
    """Ask for the archive's folder and the runs to show, and keep the answer for `opened`."""
    _ask()
    root, runs, broken, refused = roots()[0], list[Run](), list[str](), ""
    try:
        root = asked()
        runs, broken = list_runs(root), [sentence for _, sentence in broken_runs(root)]
    except LabError as error:
        broken = [str(error)] if os.access(root, os.F_OK) else []
        refused = _refusal()
    outside = [run for run in runs if run.path.is_symlink() and _leads_out(run.path)]
    broken += [_OUTSIDE.format(run.path) for run in outside]
    runs = [run for run in runs if run not in outside]
    chosen, unreadable = _readable(_picker(runs))
    archive = OpenArchive(root, tuple(runs), tuple(chosen), (*broken, *unreadable), refused)
    st.session_state["_archive"] = archive
    return archive


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
    more = "" if len(folders) < 2 else f" This app may open what lies under {listed(folders)}."
    st.text_input(
        "Archive folder",
        value=str(os.environ.get("LABAPP_RUNS") or folders[0]),
        key="archive",
        bind="query-params",
        help=f"A folder of runs. `labapp train` and `labapp starter` write into it; the app only reads.{more}",
    )


def _picker(runs: list[Run]) -> list[Run]:
    by_id = {run.id: run for run in runs}
    known = st.session_state.setdefault("_known", set(by_id))
    fresh = [name for name in by_id if name not in known]  # appeared since the page was opened: shown at once
    known.update(by_id)
    first: list[str] | None = list(by_id)[:AT_FIRST]
    if "runs" in st.session_state:
        before = list(st.session_state["runs"])
        now = [*(name for name in before if name in by_id), *(name for name in fresh if name not in before)]
        if now != before:
            st.session_state["runs"], first = now, None  # Streamlit wants one of the two
    labels = dict(zip(by_id, frames.names(runs), strict=True))  # part of the page's address; new runs change none
    picked = st.multiselect(
        "Runs",
        list(by_id),
        default=first,
        format_func=lambda name: labels.get(name, name),
        key="runs",
        bind="query-params",
        placeholder="Choose runs",
        filter_mode="contains",
    )
    return [by_id[name] for name in picked if name in by_id]


def _readable(runs: list[Run]) -> tuple[list[Run], list[str]]:
    """The runs whose tables can be read, and a sentence about each one, or part of one, that cannot."""
    fine, sentences = [], []
    for run in runs:
        try:
            if stray := strays(run):
                sentences.append(_OUTSIDE.format(stray))
                continue
            summary(run)
            sentences += [f"{run.id}: {problem}" for problem in problems(run)]
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
