"""What have the papers published about a net, to be shown beside what the lab measures?

The record lies in `published.csv` beside this file, one number a row, each with its source. Nothing in it was measured
here, and whatever shows it says so.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import pandas as pd

from labapp.config import Experiment

UNITS = {"error": " %", "error_top5": " %", "layer_match": " %"}
QUANTITIES = {
    "error": "error",
    "error_top5": "error",
    "parameters": "parameters",
    "path_length_from": "gradient by path length",
    "path_length_to": "gradient by path length",
    "deletion": "deletion of a map's best places",
    "insertion": "insertion of a map's best places",
    "layer_match": "layer match",
}
IMAGESETS = {"cifar10": "CIFAR-10", "imagenet": "ImageNet"}
SAME_NET = (  # else another net
    *("shortcut_scale", "preactivation", "block", "growth_rate", "bottleneck", "compression", "configuration"),
)
TOLD = ("shortcut", "width", "norm", "activation", "init", "padding_mode", "head")  # the same net, otherwise made


@lru_cache(maxsize=1)
def record() -> pd.DataFrame:
    """The published record.

    Returns:
        net (as its paper calls it), family, form, depth, options (name=value, …; NaN where there are none), imageset,
        quantity (error, error_top5 in per cent; parameters; …), value, bound ("above", where only that is told), spread
        (standard deviation), conditions, source, address. Shared between callers, to be read only.
    """
    with as_file(files("labapp.frames") / "published.csv") as path:
        table = pd.read_csv(path, dtype={"depth": "Int64"})
    words = ["options", "bound", "conditions", "family", "form"]
    return table.assign(**{name: table[name].fillna("") for name in words})


@lru_cache(maxsize=256)
def published(experiment: Experiment) -> pd.DataFrame:
    """What is published about a net of this family, form and depth; shared between callers, to be read only.

    Returns:
        The columns of `record`, then images ("CIFAR-10") and differs: what this experiment's net has that the published
        one has not, in words ("width 8, 16 there"); empty where they are the same net.
    """
    table = record()
    known = (table["family"] == experiment.family) & (table["form"] == experiment.form)
    rows = table[known & (table["depth"] == experiment.depth).fillna(False)]
    theirs = [experiment_of(row) for row in rows.to_dict("records")]
    same = [all(getattr(own, name) == getattr(experiment, name) for name in SAME_NET) for own in theirs]
    differs = [_differing(experiment, own) for own in theirs]
    rows = rows.assign(images=rows["imageset"].map(IMAGESETS), differs=differs)
    return rows[np.array(same, dtype=bool)].reset_index(drop=True)


def beside(experiment: Experiment, parameters: float, accuracy: float) -> pd.DataFrame:
    """What is published about a net, each number beside the lab's own.

    Args:
        experiment: Of a run.
        parameters: Of its net.
        accuracy: On held-out images, a fraction; NaN where it was not measured.

    Returns:
        The columns of `published`, then what ("CIFAR-10 error, mean of 5 runs"), number (as one reads it), own (the
        same of this run; NaN where the lab measures no such thing, or measured it on other images).
    """
    rows = published(experiment)
    same = rows["imageset"] == experiment.imageset
    own = np.where(rows["quantity"] == "parameters", parameters, np.nan)
    own = np.where((rows["quantity"] == "error") & same, 100 * (1 - accuracy), own)
    return rows.assign(
        what=[_what(row) for row in rows.itertuples()],
        number=[published_words(row) for row in rows.itertuples()],
        own=own,
    )


def experiment_of(row: dict[Any, Any]) -> Experiment:
    """The published net of a row of `record`, as the lab would build it."""
    options: dict[str, Any] = dict(pair.split("=") for pair in row["options"].split())
    return Experiment(family=row["family"], form=row["form"], depth=int(row["depth"]), **options)


def published_words(row: Any) -> str:
    """A number of the record as one reads it: "6.61 ± 0.16 %", "above 60 %", "0.27 M"."""
    if row.quantity == "parameters":
        return f"{row.value / 1e6:.3g} M"
    spread = f" ± {row.spread:g}" if np.isfinite(row.spread) else ""
    return f"{row.bound} {row.value:g}{spread}{UNITS.get(row.quantity, '')}".strip()


def _what(row: Any) -> str:
    name = QUANTITIES[row.quantity]
    images = f"{row.images} " if "error" in row.quantity else ""
    return f"{images}{name}{', ' * bool(row.conditions)}{row.conditions}"


def _differing(own: Experiment, theirs: Experiment) -> str:
    pairs = {name: (getattr(own, name), getattr(theirs, name)) for name in TOLD}
    return ", ".join(f"{name.replace('_', ' ')} {a}, {b} there" for name, (a, b) in pairs.items() if a != b)
