"""What does a page say of runs that diverged? Where it began, and what was last seen before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from labapp import frames, palette
from labapp.app.tables import evidence, made_of
from labapp.store import Run

_OF_LAYER = {  # a quantity of the layer in which it began, in a sentence
    "output_std": "the output of {} had a standard deviation of",
    "output_grad_norm": "the gradient at the output of {} had a norm of",
    "weight_grad_norm": "the gradient of the weights of {} had a norm of",
    "weight_norm": "the weights of {} had a norm of",
}
SHOWN = 3  # runs that are told one by one


def say_divergence(chosen: Sequence[Run]) -> None:
    """Say of each chosen run that diverged where it began; nothing where none did."""
    if told := made_of("divergence", chosen, _told):
        st.warning("\n\n".join(["**Where it began**", *map(palette.sentence, told)]), icon=":material/emergency_home:")


def _told(chosen: Sequence[Run]) -> list[str]:
    found = {name: evidence(run) for run, name in zip(chosen, frames.names(chosen), strict=True)}
    ill = {name: words for name, words in found.items() if words}
    told = [f"{name}: {where(about)}" for name, about in ill.items()]
    if len(told) > SHOWN:
        told = [*told[:SHOWN], f"{len(told) - SHOWN} more of the chosen runs diverged."]
    return told


def where(about: dict[str, Any]) -> str:
    """Where values that are not finite began, with the evidence of `frames.evidence`, in sentences."""
    began = f"{about['note'][:1].upper()}{about['note'][1:]}."
    if about["what"] == "loss":
        seen = "every output that was recorded of it is finite" if about["recorded"] else "its layers were not recorded"
        began = f"{began.removesuffix('.')}; {seen}."
    if about["before"] is None:
        return f"{began} No step was recorded before it."
    found = []
    if about["update_ratio"] is not None:
        share = palette.number(about["update_ratio"])
        found.append(f"the largest update was {share} times the weights (of {about['update_layer']})")
    if about["quantity"] is not None:
        found.append(f"{_OF_LAYER[about['quantity']].format(about['layer'])} {palette.number(about['value'])}")
    words = f"{began} At step {about['before']:,}, recorded before, {'; '.join(found)}." if found else began
    if about["loss"] is None:
        return words
    return f"{words} The last finite loss, of step {about['loss_step']:,}, was {palette.number(about['loss'])}."
