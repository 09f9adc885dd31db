"""Where does each net look, and is it believable?"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import streamlit as st

from labapp import desk, overlay, palette, ui
from labapp.config import LabError, listed
from labapp.store import Run
from labapp.views import gradcam_scores

if TYPE_CHECKING:
    from labapp.workbench import LayerMap, Look, Sample

PACE = 0.5  # seconds between looks at a question that is being worked on, and between two checkpoints of a play
AT_ONCE = 2.0  # seconds for which the page waits for an answer before it shows how far it is
STRIP = 12  # images to choose from
COLUMNS = ("stages", "depths", "blocks", "checkpoints")
DEPTHS = ("¼ of the depth", "½", "¾", "last block")
MEANING = """
**Grad-CAM** at a layer with maps A_k: Σ_k w_k A_k, w_k the mean over places of ∂s_c/∂A_k, s_c the score of the class
before the softmax (Selvaraju et al. 2017, eq. 1–2). Shown is its positive part, unless evidence against is asked for.

**Energy on the digit**: the share of the map's positive part that lies inside the mask (Wang et al. 2020, §4.3). A map
that says nothing scores the mask's share of the image; a net with first weights is the other thing to compare with.

**Depends on the weights**: the maps change when the weights are made random from the top (Adebayo et al. 2018).
"""


class View(NamedTuple):
    """What is being looked at."""

    columns: str
    method: str
    target: str
    stage: int | None
    step: int | None
    scale: str
    signed: bool
    opacity: float


def answer(energy: pd.DataFrame, here: pd.DataFrame, what: str) -> str:
    """The page's question answered, over many images where they have been looked at, else for the image shown.

    Args:
        energy: Rows of one stage: run, net (trained | untrained | uniform), mean, images.
        here: run, energy of the image shown, at the same stage.
        what: What the mask is of: "digit".
    """
    trained = energy[(energy["net"] == "trained") & energy["mean"].notna()] if len(energy) else energy
    if len(trained):
        best = ui.rows(trained.sort_values("mean"))[-1]
        rest = energy[energy["run"] == best.run].set_index("net")["mean"]
        return (
            f"{best.run} puts {palette.percent(best.mean)} of its map's energy on the {what} (random net "
            f"{palette.percent(rest.get('untrained', float('nan')))}, even map "
            f"{palette.percent(rest.get('uniform', float('nan')))})."
        )
    known = here.dropna(subset="energy").sort_values("energy")
    if known.empty:
        return (
            f"{listed(here['run'])} look here; no mask says where they should."
            if len(here)
            else "No net has looked yet."
        )
    best = ui.rows(known)[-1]
    return f"In this image {best.run} puts {palette.percent(best.energy)} of its map's energy on the {what}."


def page() -> None:
    """Draw the page."""
    room = ui.room()
    if not room.runs:
        ui.empty(room)
        return
    if not room.chosen:
        ui.none_chosen(room)
        return
    busy = st.session_state.get("_looking", False)
    st.fragment(_body, run_every=PACE if busy else None)(room)
    ui.broken(room)


def _body(room: ui.Room) -> None:
    top = st.container()
    runs = [run for run in room.chosen if run.checkpoints()]
    sets = {_set_of(run) for run in runs}
    if not runs:
        top.title("None of the chosen runs kept a checkpoint.", anchor=False)
        st.caption("A map needs a net's weights: train one with `--checkpoints` above 0, or choose another run.")
        return
    same = [run for run in runs if _set_of(run) == _set_of(runs[0])]
    progress = st.container()
    try:
        sample, jobs = _choose_image(same[0])
    except LabError as error:
        top.title("This picture cannot be looked at.", anchor=False)
        st.error(str(error))
        return
    view = _controls(same, sample)
    names = dict(zip([run.id for run in same], ui.styles(same)["run"], strict=True))
    looks = _looks(same, view, sample) if sample is not None else []
    jobs += [job for _, _, job in looks]
    desk.wait(jobs, AT_ONCE)
    grid = st.container()
    shown = [(run, step, job.value) for run, step, job in looks if job.done and not job.fault]
    for sentence in dict.fromkeys(job.fault for _, _, job in looks if job.done and job.fault):
        st.error(sentence)
    scores = st.container()
    slow = gradcam_scores.ask(same, names, view.method)
    with scores:
        energy, more = gradcam_scores.draw(same, names, sample, shown, view, slow)
    slow += more
    here = pd.DataFrame(
        [(names[run.id], _at_stage(look, view.stage).energy) for run, _, look in _latest(shown)],
        columns=["run", "energy"],
    )
    top.title(answer(energy, here, "digit" if same[0].experiment.imageset == "cluttered-digits" else "object"),
              help=MEANING, anchor=False)  # fmt: skip
    if len(sets) > 1:
        others = listed(run.name for run in runs if run not in same)
        top.caption(f"Shown are the runs on {same[0].experiment.imageset}; {others} saw other images.")
    if sample is not None and shown:
        with grid:
            _grid(same, names, sample, shown, view)
    _progress(progress, [*jobs, *slow])


def _set_of(run: Run) -> tuple[Any, ...]:
    what = run.experiment
    return what.imageset, what.image_size, what.data, what.test_images


def _choose_image(run: Run) -> tuple[Sample | None, list[desk.Job]]:
    """A strip of test images, a number, and an upload that takes their place."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        index = st.number_input(
            "Image", min_value=0, value=0, step=1, key="image", bind="query-params", width=130,
            help="Its number in the test set",
        )  # fmt: skip
        with st.popover("Your own picture", icon=":material/upload:"):
            upload = st.file_uploader("A picture; its middle is shown to the nets", key="upload")
    if upload is not None:
        data = upload.getvalue()
        key = ("upload", hashlib.sha256(data).hexdigest())
        job = desk.ask(key, lambda tell: _from_file(upload))
        desk.wait([job], AT_ONCE)
        return (job.value if job.done else None), [job]
    first = int(index) // STRIP * STRIP
    job = desk.ask(("strip", _set_of(run), first), lambda tell: _strip(run, first))
    desk.wait([job], AT_ONCE)
    if not job.done:
        return None, [job]
    samples = job.value
    for column, sample, number in zip(
        st.columns(STRIP, gap="small"), samples, range(first, first + STRIP), strict=False
    ):
        with column:
            st.image(overlay.enlarged(sample.picture, 96), alt=f"{sample.name}, class {sample.label}", width="stretch")
            st.button(
                str(number), key=f"pick-{number - first}", width="stretch", on_click=_pick, args=(number,),
                type="primary" if number == index else "secondary",
            )  # fmt: skip
    if int(index) - first >= len(samples):
        one = desk.ask(("image", _set_of(run), int(index)), lambda tell: _from_set(run, int(index)))
        desk.wait([one], AT_ONCE)
        return (one.value if one.done else None), [job, one]
    return samples[int(index) - first], [job]


def _pick(number: int) -> None:
    st.session_state["image"] = number


def _controls(runs: Sequence[Run], sample: Sample | None) -> View:
    classes = _class_names(runs[0])
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
            "Colour scale", list(overlay.SCALES), default="even", key="colours", bind="query-params", required=True,
            help="Even: 1 is a map spread evenly over the image. Score: units of the class score, sizes compare.",
        )  # fmt: skip
        signed = st.toggle("Evidence against", key="signed", bind="query-params")
        opacity = st.slider("Overlay", 0.0, 1.0, 0.65, 0.05, key="overlay", bind="query-params", width=150)
    step = None if columns == "checkpoints" else _step(runs)
    return View(columns, method, target, stage if isinstance(stage, int) else None, step, scale, signed, opacity)


def _step(runs: Sequence[Run]) -> int | None:
    """A slider over the checkpoints of all runs, and a button that plays them; None for the last of each."""
    steps = sorted({step for run in runs for step in run.checkpoints()})
    if len(steps) < 2:
        return None
    key, playing = "checkpoint", st.session_state.get("_playing-maps", False)
    if playing and not st.session_state.get("_looking", False):
        at = steps.index(st.session_state[key]) if st.session_state.get(key) in steps else 0
        st.session_state[key] = steps[(at + 1) % len(steps)]
        st.session_state["_playing-maps"] = at + 1 < len(steps) - 1
    if st.session_state.get(key) not in steps:
        st.session_state[key] = steps[-1]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        pressed = st.button(
            "Pause" if playing else "Play", key="play-maps",
            icon=":material/pause:" if playing else ":material/play_arrow:",
        )  # fmt: skip
        step = st.select_slider("Checkpoint", steps, key=key, bind="query-params", format_func=lambda at: f"{at}")
    if pressed:
        st.session_state["_playing-maps"] = not playing
    return int(step)


def _looks(runs: Sequence[Run], view: View, sample: Sample) -> list[tuple[Run, int, desk.Job]]:
    """The questions of this view, asked."""
    asked = []
    picture = hashlib.sha256(sample.picture.tobytes()).hexdigest()
    for run in runs:
        there = run.checkpoints()
        if view.columns == "checkpoints":
            steps = there
        else:
            steps = [max([step for step in there if view.step is None or step <= view.step], default=there[0])]
        for step in steps:
            key = ("look", *_stamp(run, step), picture, sample.label, view.method, view.target)
            asked.append((run, step, desk.ask(key, _look_later(run, step, sample, view))))
    return asked


def _look_later(run: Run, step: int, sample: Sample, view: View) -> desk.Work:
    def work(tell: Any) -> Look:
        from labapp import workbench

        tell(0.0, f"{run.name}, step {step}")
        return workbench.look(workbench.of_run(run, step), sample, view.method, view.target)

    return work


def _stamp(run: Run, step: int) -> tuple[str, int, int]:
    """A checkpoint, and a token that changes with it."""
    path = run.checkpoint_path(step)
    try:
        return str(path.absolute()), path.stat().st_mtime_ns, path.stat().st_size
    except OSError:
        return str(path.absolute()), 0, 0


def _strip(run: Run, first: int) -> list[Sample]:
    from labapp import workbench

    return workbench.strip(run, list(range(first, first + STRIP)))


def _from_set(run: Run, index: int) -> Sample:
    from labapp import workbench

    return workbench.from_set(run, index)


def _from_file(upload: Any) -> Sample:
    from labapp import workbench

    return workbench.from_file(upload)


def _class_names(run: Run) -> list[str]:
    return [str(name) for name in (run.environment.get("images") or {}).get("classes", ())]


def _latest(shown: Sequence[tuple[Run, int, Look]]) -> list[tuple[Run, int, Look]]:
    """The last checkpoint of each run among those shown."""
    return list({run.id: (run, step, look) for run, step, look in shown}.values())


def _at_stage(look: Look, stage: int | None) -> LayerMap:
    """The last layer of a stage; the last layer of all where there is no such stage."""
    return {layer.stage: layer for layer in look.layers}.get(stage or 0, look.layers[-1])


def _grid(
    runs: Sequence[Run], names: dict[str, str], sample: Sample, shown: Sequence[tuple[Run, int, Look]], view: View
) -> None:
    columns, rows, hovers = [], [], []
    styles = {row.run: row for row in ui.rows(ui.styles(runs))}
    picked = [(run, step, look, _picked(look, view)) for run, step, look in shown]
    if view.columns == "checkpoints":
        steps = sorted({step for _, step, _ in shown})
        columns = [f"step {step:,}" for step in steps]
    else:
        stages = max(len(maps) for *_, maps in picked)
        sizes = [{maps[at].evidence.shape for *_, maps in picked if at < len(maps)} for at in range(stages)]
        columns = [_column(view, at, stages, size) for at, size in enumerate(sizes)]
    for run in dict.fromkeys(run for run, *_ in picked):
        own = [(step, look, maps) for of, step, look, maps in picked if of == run]
        if view.columns == "checkpoints":
            by_step = {step: maps[0] for step, _, maps in own}
            layers: list[LayerMap | None] = [by_step.get(step) for step in steps]
        else:
            layers = [*own[0][2], *[None] * (len(columns) - len(own[0][2]))]
        cells = [_cell(layer) for layer in layers]
        step, look, _ = own[-1]
        name = names[run.id]
        detail = f"{look.target_name}: {palette.percent(look.probability)}"
        if look.predicted != look.target:
            detail += f" (says {look.predicted_name})"
        rows.append(overlay.Row(name, cells, detail))
        hovers.append((ui.swatch(styles[name].colour, styles[name].dash), f"{run.id}, step {step:,}"))
    sheet = overlay.Sheet(
        sample.picture, rows, sample.mask, view.scale, view.signed, view.opacity,
        f"{sample.name}, {palette.METHODS[view.method]}",
    )  # fmt: skip
    ui.map_grid(sheet, columns, hovers)
    _downloads(sheet, names, shown)


def _cell(layer: LayerMap | None) -> overlay.Cell | None:
    if layer is None:
        return None
    return overlay.Cell(layer.over_image, layer.path, overlay.energy_words(layer.evidence, layer.energy))


def _picked(look: Look, view: View) -> list[LayerMap]:
    if view.columns == "checkpoints":
        return [_at_stage(look, view.stage)]
    return {"stages": look.stages, "depths": look.at_depths(), "blocks": list(look.layers)}[view.columns]


def _column(view: View, at: int, count: int, sizes: set[tuple[int, ...]]) -> str:
    if view.method in ("saliency", "integrated-gradients", "guided-backprop", "occlusion"):
        return "at the image"
    if view.columns == "blocks":
        return f"{at + 1}"
    if view.columns == "depths" and count == len(DEPTHS):
        return DEPTHS[at]
    size = next(iter(sizes)) if len(sizes) == 1 else None
    return f"stage {at + 1}, {size[0]}×{size[1]}" if size else f"stage {at + 1}"


def _downloads(sheet: overlay.Sheet, names: dict[str, str], shown: Sequence[tuple[Run, int, Look]]) -> None:
    with st.container(horizontal=True):
        for kind, mime in {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}.items():
            st.download_button(
                kind.upper(), _later(sheet, kind), f"maps.{kind}", mime, key=f"download-{kind}",
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip
        st.download_button(
            "Raw maps", lambda: overlay.raw(_raw(names, shown)), "maps.npz", "application/octet-stream",
            key="download-raw", icon=":material/download:", on_click="ignore",
            help="Signed maps at each layer's resolution, for numpy.load",
        )  # fmt: skip


def _later(sheet: overlay.Sheet, kind: str) -> Any:
    def encoded() -> bytes:
        from labapp.mapsheet import encoded

        return encoded(sheet, kind)

    return encoded


def _raw(names: dict[str, str], shown: Sequence[tuple[Run, int, Look]]) -> dict[str, Any]:
    return {
        f"{names[run.id]}/step-{step}/{look.method}/{layer.path}": layer.evidence
        for run, step, look in shown
        for layer in look.layers
    }


def _progress(place: Any, jobs: Sequence[desk.Job]) -> None:
    """How far the questions are; the page looks again until all are answered."""
    waiting = [job for job in jobs if not job.done]
    if waiting:
        done = sum(job.share if not job.done else 1.0 for job in jobs) / len(jobs)
        now = next((job for job in waiting if job.share > 0), waiting[0])
        place.progress(min(1.0, done), text=f"Asking the nets: {now.message}")
    busy = bool(waiting) or st.session_state.get("_playing-maps", False)
    if busy != st.session_state.get("_looking", False):
        st.session_state["_looking"] = busy
        st.rerun()  # the whole page, because the pace is set where the fragment is called


if __name__ == "__main__":
    page()
