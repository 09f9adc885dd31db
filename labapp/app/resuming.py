"""Which of the chosen runs can go on, and if one cannot, why?"""

from __future__ import annotations

import streamlit as st

from labapp import frames, palette
from labapp.app import launch
from labapp.app.archive import OpenArchive
from labapp.app.missing import start
from labapp.app.probed import say_untrusted, word
from labapp.config import is_read_only, is_trusted
from labapp.store import Run, resume_points, why_not_resumed

UNFINISHED = ("interrupted", "stopped", "failed", "diverged")


def resume_buttons(archive: OpenArchive) -> None:
    """A button for every chosen run that ended before its time; below them what became of the last tries."""
    named = zip(archive.chosen, frames.names(archive.chosen), strict=True)
    broken = [(run, name) for run, name in named if run.status in UNFINISHED]
    if not broken or is_read_only():
        return
    with st.container(horizontal=True):
        for run, name in broken:
            if is_trusted(run.experiment.net):
                _button(archive, run, name)
    say_untrusted([run for run, _ in broken if not is_trusted(run.experiment.net)], ["resume"])
    for run, name in broken:
        jobs = _jobs(archive, run)
        if jobs and jobs[0].status in ("failed", "lost"):
            said = " ".join(jobs[0].tail(1)) or "it left no message"
            st.error(palette.sentence(f"Resuming {name} ended early: {said}"))


def _button(archive: OpenArchive, run: Run, name: str) -> None:
    """One run's button, disabled where the run cannot go on; its tooltip says from where it goes on, or why not."""
    reason = why_not_resumed(run)
    points = [point.step for point in resume_points(run.path) if not point.problem]
    if unended := [job.status for job in _jobs(archive, run) if job.status in launch.UNENDED]:
        reason = f"{name} waits for its turn" if "waiting" in unended else f"{name} is just being resumed"
    elif points:
        told = (
            f"Goes on at step {points[0]:,} of {run.experiment.steps:,}, where its state was kept last, and ends as if "
            "it had never been interrupted. What was recorded after that step is set aside and recorded anew"
        )
    else:
        told = "No state of it was kept, so it begins again at step 0; what was recorded is set aside"
    verb = "Resume" if points else "Begin again"
    pressed = st.button(
        palette.markdown(f"{verb}: {name}"),
        icon=":material/resume:",
        key=f"resume-{run.id}",
        disabled=bool(reason),
        help=palette.sentence(reason or told),
    )
    if pressed:
        start(["resume", word(run)], archive.root, queued=True, title=name)


def _jobs(archive: OpenArchive, run: Run) -> list[launch.Launch]:
    """The launches that were to resume a run, newest first."""
    return [job for job in launch.launches(archive.root) if job.arguments[:2] == ("resume", word(run))]
