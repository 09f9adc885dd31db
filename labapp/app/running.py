"""What is being trained or measured right now, and how far is it?"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from labapp import frames, palette
from labapp.app import launch
from labapp.config import LabError
from labapp.store import Run, list_runs

PACE = 2.0  # seconds between looks at something that is still running


def show_running(place: DeltaGenerator, root: Path, runs: Sequence[Run]) -> None:
    """A bar for every run in progress; nothing where none is."""
    st.session_state["_seen"] = _state(root, runs)
    if launch.running(root) or any(run.status == "running" for run in runs):
        with place.container():
            st.fragment(_bars, run_every=PACE)()


def job_name(job: launch.Launch) -> str:
    """What a launch is called in a sentence."""
    return "Starter comparison" if job.arguments[0] == "starter" else f"{job.arguments[0].capitalize()} command"


def _bars() -> None:
    """The bars, drawn again until nothing is left running; the whole page when a run began or ended."""
    here = Path(st.session_state.get("archive") or ".").expanduser()
    try:
        runs = list_runs(here)
    except LabError:
        runs = []
    if _state(here, runs) != st.session_state.get("_seen"):
        st.rerun()
    for run, name in zip(runs, frames.names(runs), strict=True):
        if run.status == "running":
            done, steps = run.progress
            st.progress(min(1.0, done / max(1, steps)), text=f"{name} · step {done:,} of {steps:,}{_left(run)}")
    for job in launch.running(here):
        with st.container(horizontal=True, vertical_alignment="center"):
            since = time.strftime("%H:%M", time.localtime(job.started))
            st.caption(f"{job_name(job).split()[0]}{_part(job)}", help=f"Since {since}")
            if st.button("Stop", icon=":material/stop_circle:", key=f"stop-{job.id}", type="tertiary"):
                launch.stop(job)


def _state(root: Path, runs: Sequence[Run]) -> list[tuple[str, str]]:
    """The status of every run and of the latest launches, to tell whether something began or ended."""
    return [(run.id, run.status) for run in runs] + [(job.id, job.status) for job in launch.launches(root)[:20]]


def _part(job: launch.Launch) -> str:
    """How far a launch of several trainings is, from the last line it printed: ", 2 of 5"."""
    found = re.match(r"\[(\d+)/(\d+)\]", "".join(job.tail(1)))
    return f", {found[1]} of {found[2]}" if found else ""


def _left(run: Run) -> str:
    done, steps = run.progress
    return f" · {palette.duration(run.seconds / done * (steps - done))} left" if 0 < done < steps else ""
