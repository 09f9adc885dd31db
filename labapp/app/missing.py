"""What does a page say when there is nothing to show?

What is missing, why, and the one thing to do next.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from labapp import palette
from labapp.app import launch
from labapp.app.archive import OpenArchive, opened
from labapp.app.live import PACE
from labapp.app.running import job_name
from labapp.config import READING, LabError, is_read_only, shown


def show(draw: Callable[[OpenArchive], object]) -> None:
    """A page: `draw` where there are runs to show, else what to do first; then what could not be read."""
    archive = opened()
    if not archive.listing.entries:
        empty(archive)
        return
    if archive.chosen:
        draw(archive)
    else:
        none_chosen(archive)
    broken(archive)


def none_chosen(archive: OpenArchive) -> None:
    """Say that no run is chosen, and where to choose."""
    st.title("No run is chosen.", anchor=False)
    st.caption(palette.sentence(f"Choose some of the {len(archive.listing.entries):,} runs in the sidebar."))


def broken(archive: OpenArchive) -> None:
    """One sentence for each thing in the archive that cannot be read, also of what this page found while it read."""
    found = [f"{run.id}: {damage}" for run in archive.chosen for damage in run.damage]
    told = dict.fromkeys([*archive.broken, *found])
    if told:
        st.warning("\n\n".join(map(palette.sentence, told)), icon=":material/broken_image:")


def starter_button(root: Path, primary: bool = False) -> None:
    """Start the starter comparison, unless it is running."""
    if is_read_only():
        st.caption(palette.sentence(f"Nothing is recorded from here, because {READING}."))
        return
    busy = any(job.arguments[0] == "starter" for job in launch.running(root))
    pressed = st.button(
        "Starter comparison",
        icon=":material/play_arrow:",
        key="starter",
        type="primary" if primary else "secondary",
        disabled=busy,
        help="Trains plain and residual nets of 20 and 56 layers, a dense net and a VGG on the same images with the "
        "same recipe, and measures them; what is there already is not done again",
    )
    if pressed:
        start(["starter"], root)


@st.cache_resource(show_spinner=False)
def begin_starter(root: str) -> None:
    """Once for all who open this server: the starter comparison, where there are no runs or it was interrupted."""
    with contextlib.suppress(LabError):  # of a folder that cannot be written the page itself tells
        launch.begin_starter(root)


def start(arguments: list[str], root: Path, *, queued: bool = False, title: str = "") -> None:
    """Start the laboratory and look at the archive again; a refusal is shown as its sentence."""
    try:
        launch.start(arguments, root, queued=queued, title=title)
    except LabError as error:
        st.error(palette.sentence(error))
    else:
        st.rerun()


def empty(archive: OpenArchive) -> None:
    """The page of an archive without runs: one picture, one sentence, one button; of one that is not opened, why."""
    if archive.refused:
        st.title("This archive is not opened here.", anchor=False)
        st.error(palette.sentence(archive.refused))
        return
    jobs = launch.launches(archive.root)
    running = [job for job in jobs if job.status in launch.UNENDED]
    with st.container(horizontal_alignment="center"):
        st.space("large")
        st.image(PICTURE, width=520, alt="A plain net and a residual net, and the gradient on its way back")
        if running:
            st.title("The first run is about to begin.", anchor=False, text_alignment="center")
            st.fragment(_last_line, run_every=PACE)(running[0])
        else:
            st.title("Nothing is recorded here yet.", anchor=False, text_alignment="center")
            if not is_read_only():
                words = f"Record six nets side by side into `{shown(archive.root)}` and watch them train"
                st.markdown(palette.sentence(f"{words}; it takes a few minutes."), text_alignment="center")
            starter_button(archive.root, primary=True)
        if jobs and jobs[0].status in ("failed", "lost"):
            st.error(
                palette.sentence(
                    f"{job_name(jobs[0])} ended early: {' '.join(jobs[0].tail(1)) or 'it left no message'}"
                )
            )
        broken(archive)


def _last_line(job: launch.Launch) -> None:
    """What a launch printed last, while there is no run to look at."""
    line = re.sub(r"^\[[^:]*: ", "", " ".join(job.tail(1)))  # how far it is stands in the sidebar
    st.caption(palette.sentence(line or "The laboratory is starting."), text_alignment="center")


def _drawing() -> str:
    """A plain and a residual net as SVG, each with an arrow for the gradient on its way back."""
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
