"""What is being trained or measured right now, and how far is it?"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from labapp import frames, palette
from labapp.app import launch
from labapp.app.archive import asked, look_inside
from labapp.app.live import LOOK, PACE, look, soon
from labapp.config import LabError, is_read_only
from labapp.store import Entry, Listing, Run


def show_running(place: DeltaGenerator, listing: Listing) -> None:
    """A bar for every run in progress, and what waits for its turn; nothing where none is."""
    st.session_state["_seen"] = _state(listing)
    if launch.running(listing.root) or any(entry.status == "running" for entry in listing.entries):
        with place.container():
            st.fragment(_bars, run_every=PACE, key=LOOK)()


def job_name(job: launch.Launch) -> str:
    """What a launch is called in a sentence."""
    if job.title:
        return job.title
    return "Starter comparison" if job.arguments[0] == "starter" else f"{job.arguments[0].capitalize()} command"


def _bars() -> None:
    """The bars, drawn again until nothing is left running; the whole page when a run began or ended."""
    try:
        listing, _ = look_inside(asked())
    except LabError:  # refused, or gone
        return
    if _state(listing) != st.session_state.get("_seen"):
        st.rerun()
    writing, training, starting, waiting = set(), st.container(), st.container(), st.container()  # each keeps its place
    names = frames.called(listing)
    for entry in listing.entries:
        if entry.status == "running":
            run = listing.run(entry)
            job = launch.launch_of(run)
            writing.add(job.id if job else "")
            with training:
                _bar(run, entry, names[entry.id].run, job)
    there = launch.running(listing.root)
    for job in there:
        if job.status == "running" and job.id not in writing:
            with starting:
                _job(job)
    with waiting:
        _queue([job for job in reversed(there) if job.status == "waiting"])
    look()  # at what shows their rows


def _bar(run: Run, entry: Entry, name: str, job: launch.Launch | None) -> None:
    """How far a run is, and a button that stops it, wherever it was started."""
    st.progress(
        min(1.0, entry.step / max(1, entry.steps)),
        text=palette.sentence(f"{name} · step {entry.step:,} of {entry.steps:,}{_left(entry)}"),
    )
    if is_read_only():
        return
    reason = launch.why_not_stopped(run)
    told = f"The step is made whole, then run {run.id} ends; it can be resumed from there. Twice: at once"
    _stop_button(job.id if job else run.id, reason or told, partial(launch.stop_run, run), disabled=bool(reason))


def _job(job: launch.Launch) -> None:
    """A launch that no run shows yet, or that does something else."""
    share, words = how_far(job.tail(40))
    if share is not None:
        st.progress(share, text=palette.sentence(f"{job_name(job)}{words}"))
    with st.container(horizontal=True, vertical_alignment="center"):
        since = time.strftime("%H:%M", time.localtime(job.started))
        short = job_name(job) if job.title else job_name(job).split()[0]
        st.caption(palette.sentence(f"{short}{'' if share is not None else words}"), help=f"Since {since}")
        if not is_read_only():
            _stop_button(job.id, "", partial(launch.stop, job))


def _queue(jobs: Sequence[launch.Launch]) -> None:
    """What waits for its turn, in its order."""
    if jobs:
        st.caption(f"Waiting for a core: {len(jobs):,}", help="Each begins by itself, also when this app is closed")
    for place, job in enumerate(jobs, start=1):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(palette.sentence(f"{place}. {job_name(job)}"))
            if not is_read_only():
                _stop_button(job.id, "Takes it out of the queue", partial(launch.stop, job), label="Remove")


def _stop_button(
    key: str, told: str, act: Callable[[], object], *, label: str = "Stop", disabled: bool = False
) -> None:
    icon = ":material/close:" if label == "Remove" else ":material/stop_circle:"
    st.button(
        label,
        icon=icon,
        key=f"stop-{key}",
        type="tertiary",
        disabled=disabled,
        help=palette.sentence(told) or None,
        on_click=_act,  # not once it is drawn: these bars may begin anew before they come to it
        args=(key, act),
    )
    if refused := st.session_state.get(f"_refused-{key}"):
        st.error(palette.sentence(refused))


def _act(key: str, act: Callable[[], object]) -> None:
    """Do what a button is for; a refusal is shown below it."""
    st.session_state.pop(f"_refused-{key}", None)
    soon()
    try:
        act()
    except LabError as error:  # it belongs to another user, runs on another machine, or has ended meanwhile
        st.session_state[f"_refused-{key}"] = str(error)


def _state(listing: Listing) -> tuple[object, list[tuple[str, str]]]:
    """The status of every run and of the latest and unended launches, to tell whether something began or ended."""
    jobs = enumerate(launch.launches(listing.root))
    return listing.standing, [(job.id, job.status) for place, job in jobs if place < 20 or job.status in launch.UNENDED]


def how_far(lines: Sequence[str]) -> tuple[float | None, str]:
    """The share that a launch of several works has done, and that in words, from the lines that it printed.

    `[3/12] 41 %, 80 s left: …` is 0.41 and " · 3 of 12 done · 1 min 20 s left"; `[2/5] …` has no share: ", 2 of 5".
    """
    for line in reversed(lines):
        found = re.match(r"\[(\d+)/(\d+)\](?: (\d+) %)?(?:, (\d+) s left)?", line)
        if found and found[3]:
            left = f" · {palette.duration(float(found[4]))} left" if found[4] else ""
            return min(1.0, int(found[3]) / 100), f" · {found[1]} of {found[2]} done{left}"
        if found and ": done" not in line:
            return None, f", {found[1]} of {found[2]}"
    return None, ""


def _left(entry: Entry) -> str:
    done, steps = entry.step, entry.steps
    return f" · {palette.duration(entry.seconds / done * (steps - done))} left" if 0 < done < steps else ""
