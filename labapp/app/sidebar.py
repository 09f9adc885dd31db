"""What stands around every page? What is running, the archive's folder, the runs to choose from.

`frame()` draws the sidebar and leaves a `Room` behind; a page asks `room()` for it.
"""

from __future__ import annotations

import html
import os
import re
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from labapp import frames, palette
from labapp.app import launch
from labapp.app.tables import overview, problems, rows, styles, summary
from labapp.config import LabError
from labapp.store import Run, broken_runs, list_runs

AT_FIRST = 6  # runs chosen when nobody has chosen yet: the newest
PACE = 2.0  # seconds between looks at something that is still running


@dataclass(frozen=True)
class Room:
    """What the frame found: the archive, its runs (newest first), those chosen, and sentences about what is broken."""

    root: Path
    runs: tuple[Run, ...]
    chosen: tuple[Run, ...]
    broken: tuple[str, ...]

    @property
    def live(self) -> bool:
        """Whether a chosen run is being written."""
        return any(run.status == "running" for run in self.chosen)


def room() -> Room:
    """What the frame found in this run of the app."""
    return st.session_state["_room"]


def frame() -> None:
    """The sidebar of every page: what is running, the archive's folder, the run picker."""
    with st.sidebar:
        top = st.empty()
        root = _archive()
        try:
            runs, broken = list_runs(root), [sentence for _, sentence in broken_runs(root)]
        except LabError as error:
            runs, broken = [], [] if not root.exists() else [str(error)]
        chosen, unreadable = _readable(_picker(runs))
        st.fragment(_legend, run_every=PACE if any(run.status == "running" for run in chosen) else None)(chosen)
        st.button("Look for new runs", icon=":material/refresh:", type="tertiary", key="look")
        st.session_state["_room"] = Room(root, tuple(runs), tuple(chosen), (*broken, *unreadable))
        st.session_state["_seen"] = _state(root, runs)
        live = launch.running(root) or any(run.status == "running" for run in runs)
        if live:
            with top.container():
                st.fragment(_progress, run_every=PACE)()


def look_again_if_gone(chosen: Sequence[Run]) -> None:
    """Draw the whole page anew when a run was removed since; for fragments, which keep what they were given."""
    if not all((run.path / "run.json").is_file() for run in chosen):
        st.rerun()


def _archive() -> Path:
    folder = st.text_input(
        "Archive folder",
        value=os.environ.get("LABAPP_RUNS", "runs"),
        key="archive",
        bind="query-params",
        help="A folder of runs. `labapp train` and `labapp starter` write into it; the app only reads.",
    )
    return Path(folder or ".").expanduser()


def _picker(runs: list[Run]) -> list[Run]:
    by_id = {run.id: run for run in runs}
    known = st.session_state.setdefault("_known", set(by_id))
    fresh = [name for name in by_id if name not in known]  # appeared since the page was opened: shown at once
    known.update(by_id)
    if "runs" in st.session_state:
        before = list(st.session_state["runs"])
        now = [*(name for name in before if name in by_id), *(name for name in fresh if name not in before)]
        if now != before:
            st.session_state["runs"] = now
    labels = _labels(runs)
    picked = st.multiselect(
        "Runs",
        list(by_id),
        default=list(by_id)[:AT_FIRST],
        format_func=lambda name: labels.get(name, name),
        key="runs",
        bind="query-params",
        placeholder="Choose runs",
        filter_mode="contains",
    )
    return [by_id[name] for name in picked if name in by_id]


def _labels(runs: list[Run]) -> dict[str, str]:
    """What the picker calls each run: words that do not change, because they are part of the page's address.

    The oldest run of a kind needs no more than its name and what is unusual about it; later ones end in their folder's.
    """
    labels: dict[str, str] = {}
    for run in reversed(runs):
        usual = frames.usual_of(run.experiment)
        facts = [palette.NORMS[run.experiment.norm]] if run.experiment.norm != usual.norm else []
        facts += [run.experiment.activation] if run.experiment.activation != usual.activation else []
        facts += [f"seed {run.experiment.seed}"] if run.experiment.seed else []
        label = " · ".join([run.name, *facts])
        if label in labels.values():
            label = f"{label} · {run.id.rpartition('-')[2]}"
        labels[run.id] = run.id if label in labels.values() else label
    return labels


def _readable(runs: list[Run]) -> tuple[list[Run], list[str]]:
    """The runs whose tables can be read, and a sentence about each one, or part of one, that cannot."""
    fine, sentences = [], []
    for run in runs:
        try:
            summary(run)
            sentences += [f"{run.id}: {problem}" for problem in problems(run)]
            fine.append(run)
        except (LabError, OSError) as error:
            sentences.append(str(error))
    return fine, sentences


def _legend(chosen: list[Run]) -> None:
    """Swatch, name, norm, seed, test accuracy and status of every chosen run."""
    look_again_if_gone(chosen)
    if not chosen:
        return
    table = overview(chosen).merge(styles(chosen), on="run")
    lines = "".join(
        f"<tr><td style='padding:2px 8px 2px 0'><img width='34' src=\"{swatch(row.colour, row.dash)}\" alt=''></td>"
        f"<td style='width:100%'>{html.escape(row.run)}<br><span style='opacity:.65;font-size:.8em'>"
        f"{html.escape(' · '.join(_facts(row)))}</span></td>"
        f"<td style='text-align:right;white-space:nowrap'>{accuracy(row.accuracy)}</td></tr>"
        for row in rows(table)
    )
    st.html(f"<table style='border-collapse:collapse;font-size:.85rem;line-height:1.25;width:100%'>{lines}</table>")


def _facts(row: Any) -> list[str]:
    facts = [palette.NORMS.get(row.norm, row.norm), f"seed {row.seed}"]
    return facts if row.status == "finished" else [*facts, row.status]


def swatch(colour: str, dash: list[int]) -> str:
    """A short piece of a run's line, as the address of a picture."""
    pattern = f" stroke-dasharray='{' '.join(map(str, dash))}'" if dash else ""
    drawing = (
        "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='16' viewBox='0 0 40 16'>"
        f"<line x1='2' y1='8' x2='38' y2='8' stroke='{colour}' stroke-width='3'{pattern}/></svg>"
    )
    return "data:image/svg+xml;utf8," + urllib.parse.quote(drawing)


def accuracy(fraction: float) -> str:
    """Test accuracy for a table, "–" where nothing was tested yet."""
    return "–" if pd.isna(fraction) else palette.percent(fraction)


def _state(root: Path, runs: list[Run]) -> list[tuple[str, str]]:
    return [(run.id, run.status) for run in runs] + [(job.id, job.status) for job in launch.launches(root)[:20]]


def _progress() -> None:
    """A bar for every run in progress, on whatever page; it looks again until nothing is left running."""
    here = Path(st.session_state.get("archive") or ".").expanduser()
    try:
        runs = list_runs(here)
    except LabError:
        runs = []
    if _state(here, runs) != st.session_state.get("_seen"):
        st.rerun()
    for run in runs:
        if run.status == "running":
            done, steps = run.progress
            st.progress(min(1.0, done / max(1, steps)), text=f"{run.name} · step {done:,} of {steps:,}{_left(run)}")
    for job in launch.running(here):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{job_name(job).split()[0]}{_part(job)}", help=f"Since {_clock(job)}")
            if st.button("Stop", icon=":material/stop_circle:", key=f"stop-{job.id}", type="tertiary"):
                launch.stop(job)


def job_name(job: launch.Launch) -> str:
    """What a launch is called in a sentence."""
    return "Starter comparison" if job.arguments[0] == "starter" else f"{job.arguments[0].capitalize()} command"


def _part(job: launch.Launch) -> str:
    """Where a launch of several trainings stands, from the last line it printed: ", 2 of 5"."""
    found = re.match(r"\[(\d+)/(\d+)\]", "".join(job.tail(1)))
    return f", {found[1]} of {found[2]}" if found else ""


def _clock(job: launch.Launch) -> str:
    return time.strftime("%H:%M", time.localtime(job.started))


def _left(run: Run) -> str:
    done, steps = run.progress
    return f" · {palette.duration(run.seconds / done * (steps - done))} left" if 0 < done < steps else ""


# Cached tables. The functions on the right of each pair take a path and a version, which is what the cache looks at.
