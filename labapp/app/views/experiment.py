"""What should be trained next? A form over the fields of `Experiment`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from labapp import app
from labapp.app import launch
from labapp.config import BELONGS_TO, CHOICES, FAMILIES, Experiment, LabError

OPEN = "_form"  # whether the form is open
FIRST = ("depth", "width", "norm", "activation", "init", "imageset", "steps", "seed")
GROUPS = {
    "More about the net": ("form", "padding_mode", *BELONGS_TO),
    "Images": ("image_size", "augment", "train_images", "test_images", "data"),
    "Training": (
        "recipe", "batch_size", "learning_rate", "momentum", "nesterov", "weight_decay", "schedule", "warmup_steps",
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


def button(root: Path) -> None:
    """Open the form; it stays open until it is sent or dismissed, also when the page is drawn anew behind it."""
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
    with st.form("experiment", border=False):
        values: dict[str, Any] = {"family": family} | _fields(FIRST, family)
        for title, names in GROUPS.items():
            with st.expander(title):
                values |= _fields(names, family)
        submitted = st.form_submit_button("Start", type="primary", icon=":material/play_arrow:")
    if submitted:
        chosen = {name: value for name, value in values.items() if value != _usual(name) or name == "family"}
        try:
            wanted = Experiment(**chosen)
        except LabError as error:
            st.error(str(error))
        else:
            _close()
            app.start(launch.arguments_for(wanted), root)


def _in_colour(family: str) -> str:
    hue = {"plain": "orange", "residual": "blue", "dense": "green", "vgg": "violet"}[family]
    return f":{hue}[■] {family}"


def _fields(names: tuple[str, ...], family: str) -> dict[str, Any]:
    """Three widgets in a row, for the fields that this family has."""
    shown = [name for name in names if family in BELONGS_TO.get(name, (family,))]
    values = {}
    for at in range(0, len(shown), 3):
        for name, column in zip(shown[at : at + 3], st.columns(3), strict=False):
            with column:
                values[name] = _widget(name, family)
    return values


def _widget(name: str, family: str) -> Any:
    field = Experiment.model_fields[name]
    label, usual, key = LABELS.get(name, name.replace("_", " ").capitalize()), _usual(name), f"form-{name}"
    settled = getattr(Experiment(family=family), name)
    kind = str(field.annotation)
    if name in CHOICES:
        options = CHOICES[name]
        return st.selectbox(
            label, options, index=options.index(usual) if usual else None, key=key, help=field.description,
            placeholder=str(settled) if settled else "none",
        )  # fmt: skip
    if "bool" in kind:
        words = {None: f"usual ({'yes' if settled else 'no'})", True: "yes", False: "no"}
        answers = list(words) if usual is None else [True, False]
        return st.selectbox(
            label, answers, index=answers.index(usual), format_func=words.__getitem__, key=key, help=field.description
        )
    if kind == "<class 'str'>":
        return st.text_input(label, value=usual, key=key, help=field.description)
    whole = "int" in kind
    return st.number_input(
        label, value=usual, step=1 if whole else None, format=None if whole else "%.4g", key=key,
        help=field.description, placeholder="no limit" if settled is None else f"{settled:g}",
    )  # fmt: skip


def _usual(name: str) -> Any:
    return Experiment.model_fields[name].default
