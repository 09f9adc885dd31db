"""What does a page show that is measured on checkpoints, and what when it was not measured yet?

`show_probed` draws the runs that hold what a page needs; of the others it says what is missing and why, and offers a
button that measures it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from labapp import frames, palette
from labapp.app import launch
from labapp.app.archive import OpenArchive
from labapp.app.live import PACE
from labapp.app.missing import start
from labapp.app.tables import token
from labapp.config import FOREIGN, READING, LabError, is_read_only, is_trusted, listed, module_of
from labapp.probes.catalogue import CATALOGUE, is_cheap, spec_of, why_not
from labapp.store import Run

_LINE = re.compile(r"\[(\d+)/(\d+)\] (.*?)(?: at step (\d+))?:")


def probe(run: Run, name: str, step: int) -> pd.DataFrame:
    """`run.probe(name, step)`, cached."""
    return _probe(*token(run), name, step)


def readable(run: Run, name: str, step: int) -> pd.DataFrame:
    """`probe`; where it cannot be read, an empty table, and an error on the page."""
    try:
        return probe(run, name, step)
    except LabError as error:
        st.error(palette.sentence(error))
        return pd.DataFrame()


def probed(runs: Iterable[Run], names: Sequence[str]) -> list[Run]:
    """The runs that hold all of these tables that apply to their nets, and at least one of them.

    Which tables apply to a net from another library is only known once they were tried: there the first one decides.
    """
    found = []
    for run in runs:
        wanted, there = applying(run, names), run.probes()
        wanted = wanted[:1] if run.experiment.family == FOREIGN else wanted
        if wanted and all(name in there for name in wanted):
            found.append(run)
    return found


def measured_steps(runs: Sequence[Run], name: str) -> pd.DataFrame:
    """At which steps was a quantity measured? Columns run and step, as `frames.standing` takes them."""
    pairs = zip(runs, frames.names(runs), strict=True)
    rows = [(called, step) for run, called in pairs for step in run.probes().get(name, [])]
    return pd.DataFrame(rows, columns=["run", "step"])


def applying(run: Run, names: Sequence[str]) -> list[str]:
    """Those of these quantities that apply to a run's net."""
    return [name for name in names if not why_not(name, run.experiment)]


def show_probed(
    archive: OpenArchive,
    runs: Iterable[Run],
    names: Sequence[str],
    what: str,
    draw: Callable[[OpenArchive, Sequence[Run]], None],
) -> bool:
    """Draw the runs that were measured; below them, or instead, what was not. Whether any was.

    Args:
        archive: The archive that the app shows.
        runs: Those the page is about.
        names: The quantities that it needs.
        what: What they say, for a heading, with {} for the runs' names: "How {} reuses its features".
        draw: Draws the measured runs.
    """
    wanted = list(runs)
    have = sorted(probed(wanted, names), key=lambda run: run.status != "finished")  # those at their end first
    lack = [run for run in wanted if run not in have]
    if have:
        draw(archive, have)
    if lack:
        unmeasured(archive, lack, names, what.format(listed(frames.names(lack))), primary=not have)
    return bool(have)


def unmeasured(
    archive: OpenArchive, runs: Sequence[Run], names: Sequence[str], what: str, primary: bool = True
) -> None:
    """What is missing, why, and the one thing to do next; or how far it is, where that is being done.

    What is made in moments is begun without being asked for.

    Args:
        archive: The archive that the app shows.
        runs: Those that lack something.
        names: The quantities that the page needs.
        what: What they say, in a heading: "How dense-40 reuses its features".
        primary: Whether nothing else is on the page; else it is one line.
    """
    jobs = [job for job in launch.launches(archive.root) if job.arguments[0] == "probe"]
    mine = [job for job in jobs if set(job.arguments) & {word(run) for run in runs}]
    busy = [job for job in mine if job.status == "running"]
    able = [run for run in runs if is_trusted(run.experiment.net)]
    untrusted = [run for run in runs if run not in able]
    able = [run for run in able if run.checkpoints() or all(spec_of(name).when == "plan" for name in names)]
    cheap = able and all(is_cheap(name, run.experiment) for run in able for name in applying(run, names))
    if cheap and not mine and not is_read_only() and not st.session_state.get(f"tried-{'-'.join(names)}"):
        st.session_state[f"tried-{'-'.join(names)}"] = True  # once, should it be refused
        start(["probe", *map(word, able), "--cheap", "--quantities", *names], archive.root)
    if primary:
        st.title(
            palette.sentence(f"{what} is being measured." if busy else f"{what} has not been measured yet."),
            anchor=False,
        )
    if busy:
        st.fragment(_progress, run_every=PACE)(busy[0].path)
        return
    say_untrusted(untrusted, ["probe", "--quantities", *names])
    if not able:
        if kept := [run for run in runs if run not in untrusted]:
            st.caption(
                palette.sentence(
                    f"{listed(frames.names(kept))} kept no checkpoint to measure; train with `--checkpoints` above 0."
                )
            )
        return
    with st.container(horizontal=not primary, vertical_alignment="center"):
        titles = listed(f"*{spec_of(name).title.lower()}*" for name in names)
        whose = listed(frames.names(able))
        st.markdown(
            f"A training records its layers; {titles} {'is' if len(names) == 1 else 'are'} measured afterwards, on "
            f"the checkpoints of {palette.markdown(whose)}."
            if primary
            else f"{palette.markdown(whose)}: {titles} not measured yet."
        )
        if is_read_only():
            st.caption(palette.sentence(f"Nothing is measured from here, because {READING}."))
            return
        pressed = st.button(
            "Measure",
            icon=":material/biotech:",
            key=f"probe-{'-'.join(names)}",
            type="primary" if primary else "tertiary",
            help="Starts `labapp probe` as a process; the page may be left meanwhile",
        )
    _say_failure(mine)
    if pressed:
        wanted = [name for name in names if any(name in applying(run, names) for run in able)]
        start(["probe", *map(word, able), "--quantities", *wanted], archive.root)


def unpaired(archive: OpenArchive, run: Run, other: Run) -> None:
    """Like `unmeasured`, for the similarity of two runs, which is a table of its own."""
    jobs = [job for job in launch.launches(archive.root) if {word(run), word(other), "--against"} <= set(job.arguments)]
    if jobs and jobs[0].status == "running":
        st.fragment(_progress, run_every=PACE)(jobs[0].path)
        return
    mine, theirs = frames.names([run, other])
    untrusted = [each for each in (run, other) if not is_trusted(each.experiment.net)]
    if untrusted:
        say_untrusted(untrusted, ["probe", "--against", word(other)])
        return
    if not (run.checkpoints() and other.checkpoints()):
        st.caption(palette.sentence(f"{mine} and {theirs} can be compared when both have kept a checkpoint."))
        return
    st.caption(palette.sentence(f"The layers of {mine} have not been compared with those of {theirs} yet."))
    _say_failure(jobs)
    if is_read_only():
        st.caption(palette.sentence(f"Nothing is compared from here, because {READING}."))
    elif st.button("Compare", icon=":material/biotech:", key="probe-against", type="primary"):
        start(["probe", word(run), "--against", word(other)], archive.root)


def say_untrusted(runs: Sequence[Run], words: Sequence[str] = ()) -> None:
    """Of runs whose net is somebody's own code: that it is not executed by looking at them, and how to consent.

    Args:
        runs: Some that nobody has consented to yet.
        words: Of a command that would do it once, `labapp WORDS RUN --trust MODULE`; for all pages where left out.
    """
    for run, name in zip(runs, frames.names(runs), strict=True):
        module = str(module_of(run.experiment.net))
        command = shlex.join(["labapp", *words[:1], word(run), *words[1:], "--trust", module])
        once = f"once with `{command}`, or " if words else ""
        always = shlex.join(["labapp", "app", "--trust", module])
        st.caption(
            palette.sentence(
                f"{name} asks for the code of module '{module}', which looking at a run does not execute; shown is "
                f"what was recorded. If you know it, consent {once}for all pages with `{always}`."
            )
        )


def word(run: Run) -> str:
    """A run on a command line: its id, which is no option, whatever it begins with."""
    return f"./{run.id}" if run.id.startswith("-") else run.id


def share_done(lines: Sequence[str]) -> tuple[float, str]:
    """How far a measuring process is, and what it measured last, from the lines that it printed."""
    for line in reversed(lines):
        found = _LINE.match(line)
        if found:
            name = CATALOGUE[found[3]].title.lower() if found[3] in CATALOGUE else found[3]
            at = f" at step {int(found[4]):,}" if found[4] else ""
            return int(found[1]) / int(found[2]), f"{found[1]} of {found[2]}: {name}{at} is measured"
    return 0.0, "The laboratory is starting"


def _say_failure(jobs: Sequence[launch.Launch]) -> None:
    """What the latest of these launches printed last, if it failed."""
    if jobs and jobs[0].status in ("failed", "lost"):
        st.error(palette.sentence(f"The last attempt ended early: {' '.join(jobs[0].tail(1)) or 'it left no message'}"))


def _progress(path: Path) -> None:
    """How far a measuring process is; the page is drawn anew when it has ended."""
    job = launch.load(path)
    share, words = share_done(job.tail(40))
    st.progress(min(1.0, share), text=palette.sentence(f"{words} …"))
    if job.status != "running":
        st.rerun()


@st.cache_data(max_entries=128, show_spinner=False)
def _probe(path: str, version: str, name: str, step: int) -> pd.DataFrame:
    return Run(path).probe(name, step)
