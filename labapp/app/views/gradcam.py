"""Where does each net look, and is it believable?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from labapp import app, frames, palette
from labapp.app import background, questions
from labapp.app.questions import STRIP
from labapp.app.views import gradcam_grid, gradcam_more, gradcam_scores
from labapp.app.views.gradcam_grid import COLUMNS, View, at_stage
from labapp.config import LabError, is_trusted, listed
from labapp.figures import maps
from labapp.store import Run

if TYPE_CHECKING:
    from labapp.probes.explanations import Sample

PACE = 0.5  # seconds between looks at a question that is being worked on, and between two checkpoints of a play
AT_ONCE = 2.0  # seconds for which the page waits for an answer before it shows how far it is
THUMB = 56  # pixels of each
SLIDER = "checkpoint"  # over the checkpoints
MEANING = """
**Grad-CAM** at a layer with maps A_k: Σ_k w_k A_k, w_k the mean over places of ∂s_c/∂A_k, s_c the score of the class
before the softmax (Selvaraju et al. 2017, eq. 1–2). Shown is its positive part, unless evidence against is asked for.

**Energy on the digit**: the share of the map's positive part that lies inside the mask (Wang et al. 2020, §4.3). A map
that says nothing scores the mask's share of the image; a net with first weights is the other thing to compare with.

**Depends on the weights**: the maps change when the weights are made random from the top (Adebayo et al. 2018).
"""


def answer(
    energy: pd.DataFrame, here: pd.DataFrame, what: str, stage: int | None = None, step: int | None = None
) -> str:
    """The page's question answered, over many images where they have been looked at, else for the image shown.

    Nets are ranked where they have finished their training; of others the last checkpoint is no end.

    Args:
        energy: Rows of one stage: run, net (trained | untrained | uniform), mean, images, of the last checkpoints.
        here: run, energy of the image shown, at the same stage.
        what: What the mask is of: "digit".
        stage: The stage that was chosen; None for each net's last.
        step: The checkpoint that is shown of the image.
    """
    whose = f"stage-{stage} " if stage else ""
    trained = energy[(energy["net"] == "trained") & energy["mean"].notna()] if len(energy) else energy
    if len(trained):
        best = app.rows(trained.sort_values("mean"))[-1]
        rest = energy[energy["run"] == best.run].set_index("net")["mean"]
        return (
            f"At its last checkpoint {best.run} puts {palette.percent(best.mean)} of its {whose}map's energy on the "
            f"{what} (random net {palette.percent(rest.get('untrained', float('nan')))}, even map "
            f"{palette.percent(rest.get('uniform', float('nan')))})."
        )
    known = here.dropna(subset="energy").sort_values("energy")
    if known.empty:
        return (
            f"{listed(here['run'])} look here; no mask says where they should."
            if len(here)
            else "No net has looked yet."
        )
    best = app.rows(known)[-1]
    when = "" if step is None else f", at step {step:,},"
    return (
        f"In this image{when} {best.run} puts {palette.percent(best.energy)} of its {whose}map's energy on the {what}."
    )


def page() -> None:
    """Draw the page."""
    busy = st.session_state.get("_looking", False) or app.playing(SLIDER)
    st.session_state["_looking"] = busy
    app.show(st.fragment(_body, run_every=PACE if busy else None))


def _body(archive: app.OpenArchive) -> None:
    top = st.container()
    runs = [run for run in archive.chosen if run.checkpoints() and is_trusted(run.experiment.net)]
    untrusted = [run for run in archive.chosen if not is_trusted(run.experiment.net)]
    sets = {questions.image_set(run) for run in runs}
    app.say_untrusted(untrusted)
    if not runs:
        top.title(f"None of the chosen runs {'can be asked' if untrusted else 'kept a checkpoint'}.", anchor=False)
        st.caption("A map needs a net's weights: train one with `--checkpoints` above 0, or choose another run.")
        return
    same = [run for run in runs if questions.image_set(run) == questions.image_set(runs[0])]
    progress = st.container(height=48, border=False)  # of one height, so that the page does not jump when it is done
    try:
        sample, jobs = _choose_image(same[0])
    except LabError as error:
        top.title("This picture cannot be looked at.", anchor=False)
        st.error(palette.sentence(error))
        return
    try:
        view = _controls(same, sample)
    except LabError as error:
        top.title("This picture cannot be read so.", anchor=False)
        st.error(palette.sentence(error))
        return
    names = dict(zip([run.id for run in same], frames.names(same), strict=True))
    looks = [] if sample is None else [look for run in same for look in _looks(run, sample, view)]
    jobs += [job for _, _, job in looks]
    st.session_state["_unanswered"] = not background.wait(jobs, AT_ONCE)
    grid = st.container()
    shown = [(run, step, job.value) for run, step, job in looks if job.done and not job.fault]
    for sentence in dict.fromkeys(job.fault for _, _, job in looks if job.done and job.fault):
        st.error(palette.sentence(sentence))
    scores = st.container()
    slow = gradcam_scores.ask(same, names, view.method)
    with scores:
        energy, more = gradcam_scores.draw(same, names, sample, shown, view, slow)
    if not all(job.done for job in slow):
        energy = energy.iloc[:0]  # the answer names the best of all runs
    slow += more
    seen = {run: at_stage(look, view.stage).energy for run, _, look in shown}
    here = pd.DataFrame([(names[run.id], share) for run, share in seen.items()], columns=["run", "energy"])
    ended = {names[run.id] for run in same if run.status == "finished"}
    if len(energy) and ended:
        energy = energy[energy["run"].isin(ended)]
    what = "digit" if same[0].experiment.imageset == "cluttered-digits" else "object"
    top.title(palette.sentence(answer(energy, here, what, view.stage, view.step)), help=MEANING, anchor=False)
    without = [run for run in archive.chosen if run not in runs and run not in untrusted]
    if without:
        top.caption(palette.sentence(f"Left out, because no checkpoint was kept: {listed(frames.names(without))}."))
    if len(sets) > 1:
        words = f"{listed(frames.names([run for run in runs if run not in same]))} saw other images."
        top.caption(palette.sentence(f"Shown are the runs on {same[0].experiment.imageset}; {words}"))
    if sample is not None and shown:
        with grid:
            gradcam_grid.draw(same, names, sample, shown, view)
    _progress(progress, [*jobs, *slow])
    gradcam_more.draw(archive)


def _choose_image(run: Run) -> tuple[Sample | None, list[background.Job]]:
    """Ask for an image: by a strip of test images, by its number, or as an upload, which goes before the others."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        index = st.number_input(
            "Image", min_value=0, step=1, key="image", bind="query-params", width=130,
            help="Its number in the test set",
        )  # fmt: skip
        with st.popover("Your own picture", icon=":material/upload:"):
            upload = st.file_uploader("A picture; its middle is shown to the nets", key="upload")
    if upload is not None:
        job = questions.upload(upload)
        background.wait([job], AT_ONCE)
        return (job.value if job.done else None), [job]
    first = int(index) // STRIP * STRIP
    job = questions.strip(run, first, STRIP)
    background.wait([job], AT_ONCE)
    if not job.done:
        return None, [job]
    samples = job.value
    with st.container(horizontal=True, gap="xsmall"):  # which folds where there is no room for all
        for sample, number in zip(samples, range(first, first + STRIP), strict=False):
            with st.container(width=THUMB, gap="xxsmall"):
                # within the page: the server forgets a file when the page is left, and a browser asks for it late
                picture = maps.address(maps.enlarged(sample.picture, 96))
                st.image(picture, alt=f"{sample.name}, class {sample.label}", width="stretch")
                st.button(
                    str(number), key=f"pick-{number - first}", width="stretch", on_click=_pick, args=(number,),
                    type="primary" if number == index else "secondary",
                )  # fmt: skip
    if int(index) - first >= len(samples):
        one = questions.image(run, int(index))
        background.wait([one], AT_ONCE)
        return (one.value if one.done else None), [job, one]
    return samples[int(index) - first], [job]


def _pick(number: int) -> None:
    st.session_state["image"] = number


def _controls(runs: Sequence[Run], sample: Sample | None) -> View:
    classes = [str(name) for name in (runs[0].environment.get("images") or {}).get("classes", ())]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        columns = st.segmented_control(
            "Columns", COLUMNS, default="stages", key="columns", bind="query-params", required=True,
            help="The last layer of each resolution; four blocks evenly spread over the depth; every block; or one "
            "layer at every checkpoint",
        )  # fmt: skip
        method = st.selectbox(
            "Method", list(palette.METHODS), key="method", bind="query-params", width=190,
            format_func=palette.METHODS.__getitem__,
        )  # fmt: skip
        known = sample is None or sample.label is not None
        targets = [*(["true"] if known else []), "predicted", *classes]
        if st.session_state.get("class") not in (None, *targets):
            st.session_state["class"] = "predicted"
        target = st.selectbox("Class", targets, key="class", bind="query-params", width=130)
        stage = st.selectbox(
            "Stage", ["last", 1, 2, 3, 4, 5], key="stage", bind="query-params", width=100,
            help="Of the answer, the scores over many images, and the checkpoints: a spatial resolution, 1 the finest",
        )  # fmt: skip
        scale = st.segmented_control(
            "Colour scale", list(maps.SCALES), default="even", key="colours", bind="query-params", required=True,
            help="Even: 1 is a map spread evenly over the image. Score: units of the class score, sizes compare.",
        )  # fmt: skip
        signed = st.toggle("Evidence against", key="signed", bind="query-params")
        opacity = st.slider("Overlay", 0.0, 1.0, 0.65, 0.05, key="overlay", bind="query-params", width=150)
        mean, std = _reading(runs)
    step = None if columns == "checkpoints" else _step(runs)
    return View(
        columns, method, target, stage if isinstance(stage, int) else None, step, scale, signed, opacity, mean, std
    )


def _reading(runs: Sequence[Run]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """How pixels are normalised, where the user says so; empty where each net reads as it was trained."""
    with st.popover("How pixels are read", icon=":material/tune:"):
        st.caption("A net reads (pixel − mean) / deviation, pixels from 0 to 1. Left empty: as in its training.")
        for run in runs:
            about = run.environment.get("images") or {}
            if {"mean", "std"} <= set(about):
                mean, std = (", ".join(f"{value:.3g}" for value in about[name]) for name in ("mean", "std"))
                st.caption(palette.sentence(f"{frames.names([run])[0]}: mean {mean}; deviation {std}"))
        words = [
            st.text_input(title, key=key, bind="query-params", placeholder="one for all channels, or 0.485 0.456 0.406")
            for title, key in (("Mean", "pixel-mean"), ("Deviation", "pixel-deviation"))
        ]
    mean_given, std_given = map(numbers, words)
    return mean_given, std_given


def numbers(words: str) -> tuple[float, ...]:
    """The numbers in a line, divided by spaces or commas.

    Raises:
        LabError: If there is something else.
    """
    try:
        return tuple(float(word) for word in words.replace(",", " ").split())
    except ValueError:
        raise LabError(f"'{words}' holds something that is no number; write 0.5, or 0.485 0.456 0.406") from None


def _step(runs: Sequence[Run]) -> int | None:
    """The checkpoint chosen among those of all runs; None where there is no choice."""
    steps = sorted({step for run in runs for step in run.checkpoints()})
    if len(steps) < 2:
        return None
    unanswered = st.session_state.get("_unanswered", False)  # each checkpoint is seen before the next
    step = app.step_slider(steps, SLIDER, "Checkpoint", begin=_last_of_most(runs), hold=unanswered)
    kept = [(name, at) for run, name in zip(runs, frames.names(runs), strict=True) for at in run.checkpoints()]
    app.say_steps(frames.standing(pd.DataFrame(kept, columns=["run", "step"]), step), step)
    return step


def _last_of_most(runs: Sequence[Run]) -> int:
    """The last checkpoint that most runs have, or one that stands for it; of the finished ones, where there are."""
    runs = [run for run in runs if run.status == "finished"] or runs
    steps = {step for run in runs for step in run.checkpoints()}
    return max(steps, key=lambda step: (sum(frames.near(run.checkpoints(), step) is not None for run in runs), step))


def _looks(run: Run, sample: Sample, view: View) -> list[tuple[Run, int, background.Job]]:
    """The questions about one run; over checkpoints, all about the class that it predicts in the end."""
    steps, target, reading = _steps(run, view), view.target, (view.mean, view.std)
    if len(steps) > 1 and target == "predicted":
        end = questions.look(run, steps[-1], sample, view.method, target, *reading)
        if not background.wait([end], AT_ONCE) or end.fault:
            return [(run, steps[-1], end)]
        target = str(end.value.target)
    return [(run, step, questions.look(run, step, sample, view.method, target, *reading)) for step in steps]


def _steps(run: Run, view: View) -> list[int]:
    """The checkpoints of a run that a view shows: all of them, or the one that stands for the slider's step, if any."""
    there = run.checkpoints()
    if view.columns == "checkpoints":
        return there
    own = there[-1] if view.step is None else frames.near(there, view.step)
    return [] if own is None else [own]


def _progress(place: Any, jobs: Sequence[background.Job]) -> None:
    """How far the questions are; the page looks again until all are answered."""
    waiting = [job for job in jobs if not job.done]
    if waiting:
        done = sum(job.share if not job.done else 1.0 for job in jobs) / len(jobs)
        now = next((job for job in waiting if job.share > 0), waiting[0])
        place.progress(min(1.0, done), text=palette.sentence(f"Asking the nets: {now.message}"))
    busy = bool(waiting) or app.playing(SLIDER)
    if busy != st.session_state.get("_looking", False):
        st.session_state["_looking"] = busy
        st.rerun()  # the whole page, because the pace is set where the fragment is called


if __name__ == "__main__":
    page()
