"""What do the pages share? The frame around them, the runs chosen in it, cached tables, and the empty state.

`frame()` draws the sidebar and leaves a `Room` behind; a page asks `room()` for it. Tables are cached by the run's path
and its version, so that a run being written is read again only when something was added.
"""

from __future__ import annotations

import html
import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from labapp import frames, launch, palette
from labapp.config import Experiment, LabError
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
    known = st.session_state.setdefault("_known", {})
    fresh = [run.id for run in runs if known and run.id not in known]
    known.update(dict.fromkeys(by_id))
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
    """What the picker calls each run: facts that never change, because the label is part of the page's address."""
    labels = {}
    for run in runs:
        usual = Experiment(family=run.experiment.family)
        facts = [palette.NORMS[run.experiment.norm]] if run.experiment.norm != usual.norm else []
        facts += [run.experiment.activation] if run.experiment.activation != usual.activation else []
        facts += [f"seed {run.experiment.seed}"] if run.experiment.seed else []
        stamp = re.fullmatch(rf"{re.escape(run.name)}-\d{{8}}-\d{{6}}-(\w+)", run.id)
        labels[run.id] = " · ".join([run.name, *facts, stamp[1]]) if stamp else run.id
    double = [label for label in labels.values() if list(labels.values()).count(label) > 1]
    return {name: name if label in double else label for name, label in labels.items()}


def _readable(runs: list[Run]) -> tuple[list[Run], list[str]]:
    """The runs whose tables can be read, and a sentence about each one, or part of one, that cannot."""
    fine, sentences = [], []
    for run in runs:
        try:
            summary(run)
            sentences += [f"{run.id}: {problem}" for problem in _problems(*_token(run))]
            fine.append(run)
        except (LabError, OSError) as error:
            sentences.append(str(error))
    return fine, sentences


def _legend(chosen: list[Run]) -> None:
    """Swatch, name, norm, seed, test accuracy and status of every chosen run."""
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


def rows(table: pd.DataFrame) -> list[Any]:
    """The rows of a table as objects, a column an attribute."""
    return list(table.itertuples())


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
            st.caption(f"{job_name(job)}, {palette.duration(_age(job))}")
            if st.button("Stop", icon=":material/stop_circle:", key=f"stop-{job.id}", type="tertiary"):
                launch.stop(job)


def job_name(job: launch.Launch) -> str:
    """What a launch is called in a sentence."""
    return "Starter comparison" if job.arguments[0] == "starter" else f"labapp {job.arguments[0]}"


def _age(job: launch.Launch) -> float:
    return (pd.Timestamp.now().timestamp()) - job.started


def _left(run: Run) -> str:
    done, steps = run.progress
    return f" · {palette.duration(run.seconds / done * (steps - done))} left" if 0 < done < steps else ""


# Cached tables. The functions on the right of each pair take a path and a version, which is what the cache looks at.


def _token(run: Run) -> tuple[str, str]:
    return str(run.path.resolve()), run.version


@st.cache_data(max_entries=512, show_spinner=False)
def _problems(path: str, version: str) -> list[str]:
    return Run(path).problems


@st.cache_data(max_entries=512, show_spinner=False)
def _summary(path: str, version: str) -> dict[str, Any]:
    return frames.summary(Run(path))


@st.cache_data(max_entries=64, show_spinner=False)
def _curves(path: str, version: str) -> pd.DataFrame:
    return frames.read_curves(Run(path))


@st.cache_data(max_entries=64, show_spinner=False)
def _layers(path: str, version: str, quantity: str, kinds: tuple[str, ...]) -> pd.DataFrame:
    return frames.read_layers(Run(path), quantity, kinds)


def summary(run: Run) -> dict[str, Any]:
    """`frames.summary`, cached."""
    return _summary(*_token(run))


def overview(runs: list[Run] | tuple[Run, ...]) -> pd.DataFrame:
    """`frames.overview`, cached."""
    return frames.overview(runs, read=summary)


def curves(runs: list[Run] | tuple[Run, ...]) -> pd.DataFrame:
    """`frames.curves`, cached."""
    return frames.curves(runs, read=lambda run: _curves(*_token(run)))


def layer_table(
    runs: list[Run] | tuple[Run, ...], quantity: str, kinds: tuple[str, ...], relative: bool = False
) -> pd.DataFrame:
    """`frames.layer_table`, cached."""
    return frames.layer_table(
        runs, quantity, kinds, relative, read=lambda run, what, which: _layers(*_token(run), what, which)
    )


def styles(runs: list[Run] | tuple[Run, ...]) -> pd.DataFrame:
    """How each chosen run is drawn, on every page alike."""
    return palette.styles(frames.describe(runs))


def none_chosen(place: Room) -> None:
    """No run is chosen: say so, and where to choose."""
    st.title("No run is chosen.", anchor=False)
    st.caption(f"Choose some of the {len(place.runs)} runs in the sidebar.")


def broken(place: Room) -> None:
    """One sentence for each thing in the archive that cannot be read."""
    if place.broken:
        st.warning("\n\n".join(place.broken), icon=":material/broken_image:")


def starter_button(root: Path, primary: bool = False) -> None:
    """Start the starter comparison, unless it is running."""
    busy = any(job.arguments[0] == "starter" for job in launch.running(root))
    pressed = st.button(
        "Starter comparison",
        icon=":material/play_arrow:",
        key="starter",
        type="primary" if primary else "secondary",
        disabled=busy,
        help="Trains plain and residual nets of 20 and 56 layers and a dense net on the same images, same recipe",
    )
    if pressed:
        start(["starter"], root)


def start(arguments: list[str], root: Path) -> None:
    """Start the laboratory and look at the archive again; a refusal is shown as its sentence."""
    try:
        launch.start(arguments, root)
    except LabError as error:
        st.error(str(error))
    else:
        st.rerun()


def empty(place: Room) -> None:
    """An archive without runs: one picture, one sentence, one button."""
    jobs = launch.launches(place.root)
    running = [job for job in jobs if job.status == "running"]
    with st.container(horizontal_alignment="center"):
        st.space("large")
        st.image(PICTURE, width=520, alt="A plain net and a residual net, and the gradient on its way back")
        if running:
            st.title("The first run is about to begin.", anchor=False, text_alignment="center")
            st.caption("\n".join(running[0].tail(1)) or "The laboratory is starting.", text_alignment="center")
        else:
            st.title("Nothing is recorded here yet.", anchor=False, text_alignment="center")
            st.markdown(
                f"Record five nets side by side into `{place.root}` and watch them train; it takes a few minutes.",
                text_alignment="center",
            )
            starter_button(place.root, primary=True)
        if jobs and jobs[0].status in ("failed", "lost"):
            st.error(f"{job_name(jobs[0])} ended early: {' '.join(jobs[0].tail(1)) or 'it left no message'}")
        broken(place)


def _drawing() -> str:
    """A plain and a residual net as SVG, and the gradient on its way back: in the one it passes every layer."""
    ink, parts = palette.MUTED, []
    for row, (name, colour) in enumerate(
        (("plain", palette.colour("plain")), ("residual", palette.colour("residual")))
    ):
        top = 22 + 92 * row
        parts.append(f"<text x='8' y='{top + 25}' font-size='14' font-family='sans-serif' fill='{ink}'>{name}</text>")
        for layer in range(8):
            left = 92 + 48 * layer
            parts.append(
                f"<rect x='{left}' y='{top}' width='30' height='40' rx='4' fill='{colour}' fill-opacity='.18' "
                f"stroke='{colour}' stroke-width='1.6'/>"
            )
            parts.append(f"<path d='M{left + 30} {top + 20} h18' stroke='{ink}' stroke-width='1.4'/>")
            if name == "residual" and layer % 2 == 0:
                parts.append(
                    f"<path d='M{left - 9} {top + 20} v-14 q0 -16 16 -16 h64 q16 0 16 16 v14' fill='none' "
                    f"stroke='{colour}' stroke-width='2'/>"
                )
        parts.append(f"<path d='M74 {top + 20} h18' stroke='{ink}' stroke-width='1.4'/>")
        parts.append(
            f"<path d='M478 {top + 56} H92' stroke='{colour}' stroke-width='2' stroke-dasharray='5 4'/>"
            f"<path d='M92 {top + 56} l9 -4.5 v9 z' fill='{colour}'/>"
        )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 500 190' width='500' height='190'>{''.join(parts)}</svg>"
    )


PICTURE = _drawing()
