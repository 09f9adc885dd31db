"""About which nets has theory nothing to say, and why?"""

from __future__ import annotations

from labapp.config import Experiment


def unknown(experiment: Experiment) -> str:
    """Why theory has nothing to say about a net, as the end of a sentence; empty where it has."""
    e = experiment
    if e.net is not None:
        return "it knows the lab's own families, and this net is built by its maker"
    if e.form != "cifar":
        return "the largest of overlapping windows, as behind the first layer of the ImageNet form, has no closed form"
    if e.init == "looks-linear":
        return "weights that mirror each other are not independent, and a net that looks linear just passes signals on"
    if e.norm == "group":
        return "it needs many channels in a group, and the lab's group norm has two"
    if e.norm != "batch" and e.family in ("dense", "vgg"):
        return (
            f"what {'an average' if e.family == 'dense' else 'a maximum'} over neighbours keeps depends on how alike "
            "they are, which only batch norm settles"
        )
    if e.family == "vgg" and e.activation == "gelu":
        return "the largest of several values passes through GELU unchanged in order only above −0.75"
    if e.activation == "sigmoid" and e.norm == "batch" and e.padding_mode == "zeros":
        return (
            "behind a sigmoid, whose mean exceeds its spread, what batch norm sees is mostly the border of zeros, and "
            "that differs from channel to channel"
        )
    if e.family == "residual" and e.shortcut_scale != 1:
        return "it knows shortcuts that pass on what comes, and these have a factor"
    if e.family == "dense" and e.dropout:
        return "dropout is not part of it"
    return ""
