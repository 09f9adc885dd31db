"""What should be trained next? A form over the fields of `Experiment`.

Every field is empty at first and shows, in grey, the value that the recipe, the family and the other fields give it. A
value that is typed is passed on, whatever it is. So what the form shows is what runs. A recipe to begin from types for
the user; several families, or several seeds, are several experiments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from labapp import palette
from labapp.app import estimate, launch, several
from labapp.config import BELONGS_TO, CHOICES, FAMILIES, PRESETS, READING, Experiment, LabError, bounds, depths
from labapp.config import is_read_only as reading_only

OPEN = "_form"  # whether the form is open
FIRST = ("recipe", "depth", "width", "norm", "activation", "init", "imageset", "steps", "seed")
GROUPS = {
    "More about the net": ("form", "padding_mode", *BELONGS_TO),
    "Images": ("image_size", "augment", "train_images", "test_images", "data"),
    "Training": (
        "batch_size", "learning_rate", "momentum", "nesterov", "weight_decay", "schedule", "warmup_steps",
        "clip_norm", "accumulate",
    ),
    "Recording and machine": (
        "record", "record_every", "record_points", "histograms", "spreads", "gradient_noise", "eval_every",
        "checkpoints", "device", "precision", "devices", "num_nodes", "sync_batchnorm",
    ),
}  # fmt: skip
FIELDS = (*FIRST, *(name for names in GROUPS.values() for name in names))

LABELS = {
    "init": "Initialisation",
    "imageset": "Image set",
    "norm": "Normalisation",
    "accumulate": "Micro-batches a step",
    "data": "Folder of downloads",
    "seed": "Seeds",
}
LEFT_OPEN = {  # what it means that a field is not settled before the images are there
    "image_size": "the set's own", "train_images": "all", "test_images": "all", "clip_norm": "no clipping",
}  # fmt: skip
STEPS = {  # by which the buttons beside a number change it, where that is not one
    "learning_rate": 0.01, "momentum": 0.05, "weight_decay": 1e-4, "clip_norm": 0.5, "compression": 0.1, "dropout": 0.1,
    "steps": 100, "batch_size": 16, "eval_every": 10, "warmup_steps": 10, "train_images": 100, "test_images": 100,
    "shortcut_scale": 0.1,
}  # fmt: skip
SEEDS = "One run each: 3, or 0-4 for five, or 0, 2, 5. Of the weights, the order of images and the augmentation."


def button(root: Path) -> None:
    """Open the form; it stays open until it is sent or dismissed, also when the page is drawn anew behind it."""
    if reading_only():
        st.caption(palette.sentence(f"No experiment is started from here, because {READING}."))
        return
    st.button("Start an experiment", icon=":material/science:", key="new", on_click=_open)
    if st.session_state.get(OPEN):
        _dialog(root)


def _open() -> None:
    st.session_state[OPEN] = True


def _close() -> None:
    st.session_state[OPEN] = False


@st.dialog("Start an experiment", width="large", on_dismiss=_close)
def _dialog(root: Path) -> None:
    """Ask for experiments and queue each as a process."""
    begin = st.selectbox(
        "Begin from", list(PRESETS), index=None, key="begin-from", on_change=_begin, placeholder="an empty form",
        help="Fills the form in; every field can be changed afterwards, and is as the recipe says where it is emptied",
    )  # fmt: skip
    if begin:
        st.caption(palette.sentence(PRESETS[begin].about))
    if "form-family" not in st.session_state:
        st.session_state["form-family"] = ["residual"]
    families = st.segmented_control(
        "Families", FAMILIES, key="form-family", selection_mode="multi", format_func=_in_colour,
        help="Several families are several experiments with the same settings",
    )  # fmt: skip
    if not families:
        st.info("Choose a family of nets, or several.")
        return
    given = {name: st.session_state.get(f"form-{name}") for name in FIELDS if name != "seed"}
    wanted, shown, fault = several.experiments(families, given, st.session_state.get("form-seed") or "")
    _fields(FIRST, shown)
    for title, names in GROUPS.items():
        with st.expander(title):
            _fields(names, shown)
    if fault:
        st.error(palette.sentence(fault))
    else:
        _last_look(wanted)
    many = f"Start {len(wanted)}" if len(wanted) > 1 else "Start"
    if st.button(many, type="primary", icon=":material/play_arrow:", key="form-start", disabled=bool(fault)):
        _start(wanted, root)


def _last_look(wanted: Sequence[Experiment]) -> None:
    """What will run, and what it will take."""
    for experiment in wanted[:1]:
        st.caption(palette.sentence(f"Will run: `labapp {' '.join(launch.arguments_for(experiment))}`"))
    if len(wanted) > 1:
        st.caption(palette.sentence(f"and {len(wanted) - 1} more like it, {launch.at_once()} at a time."))
    st.caption(palette.sentence(several.in_words(wanted)))
    estimate.draw(wanted)


def _start(wanted: Sequence[Experiment], root: Path) -> None:
    """Queue experiments; what is refused is told, and the form stays open for it."""
    try:
        for experiment in wanted:
            launch.start(launch.arguments_for(experiment), root, queued=True, title=several.named(experiment))
    except LabError as error:
        st.error(palette.sentence(error))
        return
    _close()
    st.rerun()


def _begin() -> None:
    """Fill the form in as a recipe says; where none is chosen, empty it."""
    preset = PRESETS.get(st.session_state.get("begin-from") or "")
    for name in FIELDS:
        st.session_state[f"form-{name}"] = preset.values.get(name) if preset else None
    if preset:
        st.session_state["form-family"] = list(preset.families)


def _in_colour(family: str) -> str:
    hue = {"plain": "orange", "residual": "blue", "dense": "green", "vgg": "violet"}[family]
    return f":{hue}[■] {family}"


def _fields(names: tuple[str, ...], shown: Sequence[Experiment]) -> None:
    """Three widgets in a row, for the fields that one of the families has."""
    there = [name for name in names if any(several.has(each.family, name) for each in shown)]
    for at in range(0, len(there), 3):
        for name, column in zip(there[at : at + 3], st.columns(3), strict=False):
            with column:
                _widget(name, [each for each in shown if several.has(each.family, name)])


def _widget(name: str, shown: Sequence[Experiment]) -> None:
    """An empty field that shows in grey the value that it has now."""
    field = Experiment.model_fields[name]
    greys = list(dict.fromkeys(_grey(name, getattr(each, name)) for each in shown))
    about: dict[str, Any] = {
        "label": LABELS.get(name, name.replace("_", " ").capitalize()),
        "key": f"form-{name}",
        "help": SEEDS if name == "seed" else palette.sentence(several.about(name) + _fitting(name, shown)),
        "placeholder": greys[0] if len(greys) == 1 else " / ".join(greys),
    }
    kind = str(field.annotation)
    if name in CHOICES:
        st.selectbox(options=CHOICES[name], index=None, **about)
    elif "bool" in kind:
        st.selectbox(options=[True, False], index=None, format_func={True: "yes", False: "no"}.__getitem__, **about)
    elif kind == "<class 'str'>" or name == "seed":
        st.text_input(value=None, **about)
    else:
        st.number_input(value=None, **about, **_limits(name, shown))


def _grey(name: str, value: Any) -> str:
    return LEFT_OPEN.get(name, "none") if value is None else shown_as(value)


def _fitting(name: str, shown: Sequence[Experiment]) -> str:
    """Which depths there are, which no bound can say."""
    if name != "depth":
        return ""
    return " " + " ".join(f"{each.family.capitalize()}: {depths(each)}." for each in shown)


def _limits(name: str, shown: Sequence[Experiment]) -> dict[str, Any]:
    """Least, greatest and step of a number, as the model has them."""
    limits = bounds(name)
    if limits is None:
        return {}
    if limits.whole:
        whole = limits.inclusive
        found: dict[str, Any] = {"min_value": whole.least, "max_value": whole.most, "step": int(STEPS.get(name, 1))}
        fitting = {depths(each) for each in shown} if name == "depth" else set()
        if len(fitting) == 1:
            first, step = fitting.pop()
            found |= {"min_value": first[0], "max_value": None if step else first[-1], "step": step or 1}
        return found
    least = limits.least if limits.above is None else math.nextafter(limits.above, math.inf)
    most = limits.most if limits.below is None else math.nextafter(limits.below, -math.inf)
    ends = {"min_value": least, "max_value": most}
    return {key: None if end is None else float(end) for key, end in ends.items()} | {
        "step": STEPS[name],
        "format": "%.4g",
    }


def shown_as(value: Any) -> str:
    """A settled value as one would type it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
