"""What do layers represent, and when?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from labapp.frames.beyond import states_of
from labapp.frames.grids import LAYER
from labapp.frames.runs import IDENTITY, identities
from labapp.frames.steps import Read, near, near_step
from labapp.frames.thinning import MARKS, joined, spaced
from labapp.probes.catalogue import against_name, against_of
from labapp.store import Run

BY_DEPTH = ("effective_rank", "intrinsic_dimension", "linear_probe")
PAIR = [*LAYER[1:], *(f"other_{name}" for name in LAYER[1:]), "cka", "low", "high", "images", "note"]


def self_similarity(run: Run, step: int, read: Read | None = None, marks: int = MARKS) -> pd.DataFrame:
    """CKA of all pairs of layers of one net, each pair once.

    Returns:
        LAYER without the step, the same with other_ before it, cka, low, high, images, note, step, row, column (places
        of the two layers, row ≥ column); at most `marks` rows: of more layers evenly spaced ones are kept. Empty where
        no measured step stands for `step`.
    """
    at = near_step(run, "similarity", step)
    if at is None:
        return pd.DataFrame(columns=[*PAIR, "step", "row", "column"])
    table = _placed((read or Run.probe)(run, "similarity", at), at, int(np.sqrt(2 * marks)))
    return table[table["row"] >= table["column"]].reset_index(drop=True)


def pair_similarity(run: Run, other: Run, step: int, read: Read | None = None, marks: int = MARKS) -> pd.DataFrame:
    """CKA of all layers of one net with all of another; empty where they were not compared at a step near this one.

    Returns:
        As `self_similarity`, all rows and columns, the first net's layers in `layer`; and other_step.
    """
    mine = near({pair[0] for pair in pairs(run, other)}, step)
    if mine is None:
        return pd.DataFrame(columns=[*PAIR, "step", "other_step", "row", "column"])
    theirs = min((pair[1] for pair in pairs(run, other) if pair[0] == mine), key=lambda at: (abs(at - mine), at))
    read = read or Run.probe
    if against_name(other.id, theirs) in run.probes() and mine in run.probes()[against_name(other.id, theirs)]:
        table = read(run, against_name(other.id, theirs), mine)
    else:  # the table belongs to the other run: the same numbers, transposed
        table = read(other, against_name(run.id, mine), theirs)
        swapped = {name: f"other_{name}" for name in LAYER[1:]}
        table = table.rename(columns=swapped | {there: here for here, there in swapped.items()})
    return _placed(table, mine, int(np.sqrt(marks))).assign(other_step=theirs)


def pairs(run: Run, other: Run) -> list[tuple[int, int]]:
    """At which steps of the two runs were they compared?"""
    forth = [
        (mine, of[1])
        for name, steps in run.probes().items()
        if (of := against_of(name)) and of[0] == other.id
        for mine in steps
    ]
    back = [
        (of[1], theirs)
        for name, steps in other.probes().items()
        if (of := against_of(name)) and of[0] == run.id
        for theirs in steps
    ]
    return sorted({*forth, *back})


def ends(cells: pd.DataFrame) -> tuple[float, float]:
    """CKA of the first layers of two nets, and of their last ones; of one net with itself, of its first with its last.

    The second number is NaN for one net.
    """
    if cells.empty:
        return float("nan"), float("nan")
    rows, columns = cells["row"], cells["column"]

    def at(row: int, column: int) -> float:
        return float(cells.loc[(rows == row) & (columns == column), "cka"].iloc[0])

    if "other_step" not in cells:
        return at(rows.max(), columns.min()), float("nan")
    return at(rows.min(), columns.min()), at(rows.max(), columns.max())


def across_depth(
    runs: Sequence[Run],
    step: int,
    read: Read | None = None,
    marks: int = MARKS,
    quantities: Sequence[str] = BY_DEPTH,
) -> pd.DataFrame:
    """Dimension and separability of each layer's features.

    Returns:
        The columns of `IDENTITY` and `LAYER`, then quantity (of `quantities`), value, low, high, note, state (of
        `STATES`); each run at its measured step that stands for `step`, see `steps`, or left out.
    """
    parts = []
    for run, who in zip(runs, identities(runs), strict=True):
        at = near_step(run, "by_depth", step)
        if at is None:
            continue
        table = (read or Run.probe)(run, "by_depth", at)
        table = table[table["quantity"].isin(quantities)]
        share = max(2, marks // max(1, len(runs)))
        thin = [spaced(part, share) for _, part in table.groupby("quantity", sort=False)]
        parts += [part.assign(step=at, **who) for part in thin]
    found = joined(parts, [*IDENTITY, *LAYER, "quantity", "value", "low", "high", "note"])
    return found.assign(state=states_of(found["value"], log=False))


def _placed(table: pd.DataFrame, step: int, most: int) -> pd.DataFrame:
    """Number the layers of both sides, and keep at most so many of each."""
    kept = {}
    for side, name in (("row", "layer"), ("column", "other_layer")):
        layers = list(dict.fromkeys(table[name]))
        few = np.unique(np.linspace(0, len(layers) - 1, min(len(layers), most)).round().astype(int))
        kept[side] = table[name].map({layers[at]: place for place, at in enumerate(few)})
    chosen = table[PAIR].assign(step=step, **kept).dropna(subset=["row", "column"])
    return chosen.astype({"row": int, "column": int}).reset_index(drop=True)
