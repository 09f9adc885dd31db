"""What does a page show that is measured on checkpoints, and what when it was not measured yet?

have = app.probed(runs, ["similarity"])          # the runs that hold it
app.unmeasured(place, runs, ["similarity"])      # what is missing, why, and a button that measures it
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from labapp.app import launch
from labapp.app.missing import start
from labapp.app.sidebar import PACE, Room
from labapp.app.tables import token
from labapp.config import FOREIGN, LabError, listed
from labapp.probes.catalogue import CATALOGUE, why_not
from labapp.store import Run

_LINE = re.compile(r"\[(\d+)/(\d+)\] (.*?)(?: at step (\d+))?:")


def probe(run: Run, name: str, step: int) -> pd.DataFrame:
    """`run.probe(name, step)`, cached."""
    return _probe(*token(run), name, step)


def probed(runs: Iterable[Run], names: Sequence[str]) -> list[Run]:
    """The runs that hold all these tables, as far as they apply to their nets, and one of them at least.

    Of a net of another maker nobody knows what applies until it was tried: the first table decides.
    """
    found = []
    for run in runs:
        wanted, there = applying(run, names), run.probes()
        wanted = wanted[:1] if run.experiment.family == FOREIGN else wanted
        if wanted and all(name in there for name in wanted):
            found.append(run)
    return found


def applying(run: Run, names: Sequence[str]) -> list[str]:
    """Those of these quantities that apply to a run's net."""
    return [name for name in names if not why_not(name, run.experiment)]


def unmeasured(place: Room, runs: Sequence[Run], names: Sequence[str], what: str, primary: bool = True) -> None:
    """What is missing, why, and the one thing to do next; or how far it is, where that is being done.

    Args:
        place: The room.
        runs: Those that lack something.
        names: The quantities that the page needs.
        what: What they say, in a heading: "How dense-40 reuses its features".
        primary: Whether nothing else is on the page; else it is one line.
    """
    jobs = [job for job in launch.launches(place.root) if job.arguments[0] == "probe"]
    mine = [job for job in jobs if set(job.arguments) & {run.id for run in runs}]
    busy = [job for job in mine if job.status == "running"]
    able = [run for run in runs if run.checkpoints() or all(CATALOGUE[name].when == "plan" for name in names)]
    if primary:
        st.title(f"{what} is being measured." if busy else f"{what} has not been measured yet.", anchor=False)
    if busy:
        st.fragment(_progress, run_every=PACE)(busy[0].path)
        return
    if not able:
        kept = listed(run.name for run in runs)
        st.caption(f"{kept} kept no checkpoint to measure; train one with `--checkpoints` above 0.")
        return
    with st.container(horizontal=not primary, vertical_alignment="center"):
        titles = listed(f"*{CATALOGUE[name].title.lower()}*" for name in names)
        whose = listed(run.name for run in able)
        st.markdown(
            f"A training records its layers; {titles} {'is' if len(names) == 1 else 'are'} measured afterwards, on "
            f"the checkpoints of {whose}."
            if primary
            else f"{whose}: {titles} not measured yet."
        )
        pressed = st.button(
            "Measure",
            icon=":material/biotech:",
            key=f"probe-{'-'.join(names)}",
            type="primary" if primary else "tertiary",
            help="Starts `labapp probe` as a process; the page may be left meanwhile",
        )
    if mine and mine[0].status in ("failed", "lost"):
        st.error(f"The last attempt ended early: {' '.join(mine[0].tail(1)) or 'it left no message'}")
    if pressed:
        wanted = [name for name in names if any(name in applying(run, names) for run in able)]
        start(["probe", *(run.id for run in able), "--quantities", *wanted], place.root)


def unpaired(place: Room, run: Run, other: Run) -> None:
    """The same for the similarity of two runs, which is a table of its own."""
    jobs = [job for job in launch.launches(place.root) if {run.id, other.id, "--against"} <= set(job.arguments)]
    if jobs and jobs[0].status == "running":
        st.fragment(_progress, run_every=PACE)(jobs[0].path)
        return
    if not (run.checkpoints() and other.checkpoints()):
        st.caption(f"{run.name} and {other.name} can be compared when both have kept a checkpoint.")
        return
    st.caption(f"The layers of {run.name} have not been compared with those of {other.name} yet.")
    if jobs and jobs[0].status in ("failed", "lost"):
        st.error(f"The last attempt ended early: {' '.join(jobs[0].tail(1)) or 'it left no message'}")
    if st.button("Compare", icon=":material/biotech:", key="probe-against", type="primary"):
        start(["probe", run.id, "--against", other.id], place.root)


def share_done(lines: Sequence[str]) -> tuple[float, str]:
    """How far a measuring process is, and what it measured last, from the lines that it printed."""
    for line in reversed(lines):
        found = _LINE.match(line)
        if found:
            name = CATALOGUE[found[3]].title.lower() if found[3] in CATALOGUE else found[3]
            at = f" at step {int(found[4]):,}" if found[4] else ""
            return int(found[1]) / int(found[2]), f"{found[1]} of {found[2]}: {name}{at} is measured"
    return 0.0, "The laboratory is starting"


def _progress(path: Path) -> None:
    """How far a measuring process is; the page is drawn anew when it has ended."""
    job = launch.load(path)
    share, words = share_done(job.tail(40))
    st.progress(min(1.0, share), text=f"{words} …")
    if job.status != "running":
        st.rerun()


@st.cache_data(max_entries=128, show_spinner=False)
def _probe(path: str, version: str, name: str, step: int) -> pd.DataFrame:
    return Run(path).probe(name, step)


def readable(run: Run, name: str, step: int) -> pd.DataFrame:
    """`probe`, or an empty table and the sentence why on the page."""
    try:
        return probe(run, name, step)
    except LabError as error:
        st.error(str(error))
        return pd.DataFrame()
