"""What should be trained next? A form over the fields of `Experiment`.

Every field is empty at first and shows, in grey, the value that the recipe, the family and the other fields give it. A
value that is typed is passed on, whatever it is. So what the form shows is what runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from labapp import app, palette
from labapp.app import launch
from labapp.config import BELONGS_TO, CHOICES, FAMILIES, READING, Experiment, LabError, is_read_only

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
        "record", "record_every", "record_points", "eval_every", "checkpoints", "device", "precision", "devices",
    ),
}  # fmt: skip

LABELS = {
    "init": "Initialisation",
    "imageset": "Image set",
    "norm": "Normalisation",
    "accumulate": "Micro-batches a step",
    "data": "Folder of downloads",
}
LEFT_OPEN = {  # what it means that a field is not settled before the images are there
    "image_size": "the set's own", "train_images": "all", "test_images": "all", "clip_norm": "no clipping",
}  # fmt: skip


def button(root: Path) -> None:
    """Open the form; it stays open until it is sent or dismissed, also when the page is drawn anew behind it."""
    if is_read_only():
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
    """Ask for an experiment and start it as a process."""
    family = st.segmented_control(
        "Family", FAMILIES, default="residual", key="form-family", required=True, format_func=_in_colour
    )
    given = given_values(family)
    wanted, fault = settled(given)
    _fields(FIRST, wanted)
    for title, names in GROUPS.items():
        with st.expander(title):
            _fields(names, wanted)
    if fault:
        st.error(palette.sentence(fault))
    else:
        st.caption(palette.sentence(f"Will run: `labapp {' '.join(launch.arguments_for(wanted))}`"))
        st.caption(palette.sentence(in_words(wanted)))
    if st.button("Start", type="primary", icon=":material/play_arrow:", key="form-start", disabled=bool(fault)):
        _close()
        app.start(launch.arguments_for(wanted), root)


def given_values(family: str) -> dict[str, Any]:
    """What was typed into the form, by field; of fields that this family has."""
    fields = [*FIRST, *(name for names in GROUPS.values() for name in names)]
    typed = {name: st.session_state.get(f"form-{name}") for name in fields if _has(family, name)}
    return {"family": family} | {name: value for name, value in typed.items() if value not in (None, "")}


def settled(given: dict[str, Any]) -> tuple[Experiment, str]:
    """The experiment that these values make, and ""; where they do not fit, one with as many as do, and the reason."""
    try:
        return Experiment(**given), ""
    except LabError as error:
        fault = str(error)
    kept = {"family": given["family"]}
    for name, value in given.items():
        try:
            Experiment(**kept | {name: value})
        except LabError:
            continue
        kept[name] = value
    return Experiment(**kept), fault


def in_words(experiment: Experiment) -> str:
    """What decides most of a training, for a last look: the net, the images, the steps and the rate."""
    rise = f", rising over {experiment.warmup_steps:,} steps" if experiment.warmup_steps else ""
    return (
        f"{experiment.name} of width {experiment.width} on {experiment.imageset}: {experiment.steps:,} steps of "
        f"{experiment.batch_size:,} images, learning rate {experiment.learning_rate:g} ({experiment.schedule}{rise})."
    )


def _has(family: str, name: str) -> bool:
    return family in BELONGS_TO.get(name, (family,))


def _in_colour(family: str) -> str:
    hue = {"plain": "orange", "residual": "blue", "dense": "green", "vgg": "violet"}[family]
    return f":{hue}[■] {family}"


def _fields(names: tuple[str, ...], wanted: Experiment) -> None:
    """Three widgets in a row, for the fields that this family has."""
    shown = [name for name in names if _has(wanted.family, name)]
    for at in range(0, len(shown), 3):
        for name, column in zip(shown[at : at + 3], st.columns(3), strict=False):
            with column:
                _widget(name, getattr(wanted, name))


def _widget(name: str, now: Any) -> None:
    """An empty field that shows in grey the value that it has now."""
    field = Experiment.model_fields[name]
    about: dict[str, Any] = {
        "label": LABELS.get(name, name.replace("_", " ").capitalize()),
        "key": f"form-{name}",
        "help": field.description,
        "placeholder": LEFT_OPEN.get(name, "none") if now is None else shown_as(now),
    }
    kind = str(field.annotation)
    if name in CHOICES:
        st.selectbox(options=CHOICES[name], index=None, **about)
    elif "bool" in kind:
        st.selectbox(options=[True, False], index=None, format_func={True: "yes", False: "no"}.__getitem__, **about)
    elif kind == "<class 'str'>":
        st.text_input(value=None, **about)
    else:
        whole = "int" in kind
        st.number_input(value=None, step=1 if whole else None, format=None if whole else "%.4g", **about)


def shown_as(value: Any) -> str:
    """A settled value as one would type it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
