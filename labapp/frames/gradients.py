"""How large is the gradient at each layer?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from labapp.frames.beyond import OF_WEIGHTS, measured, states_of
from labapp.frames.runs import IDENTITY, identities
from labapp.frames.steps import at_near_step
from labapp.frames.thinning import MARKS, joined, thinned
from labapp.store import Run

LAYER = ["step", "layer", "kind", "depth", "relative_depth", "stage", "block"]  # what a table says about its layer


def layer_table(
    runs: Sequence[Run],
    quantity: str = "output_grad_norm",
    kinds: Iterable[str] = ("conv",),
    relative: bool = False,
    read: Callable[[Run, str, tuple[str, ...]], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """One quantity of every layer at every recorded step.

    Returns:
        The columns of `IDENTITY` and `LAYER`, then value (`relative`: divided by the last layer's at the same step);
        one row a (run, step, layer), layers of the given kinds only.
    """
    read = read or read_layers
    parts = []
    for run, who in zip(runs, identities(runs), strict=True):
        table = read(run, quantity, tuple(kinds))
        if relative and len(table):
            last = table[table["depth"] == table["depth"].max()].groupby("step")["value"].first()
            with np.errstate(divide="ignore", invalid="ignore"):
                table = table.assign(value=table["value"] / table["step"].map(last))
        parts.append(table.assign(**who))
    return joined(parts, [*IDENTITY, *LAYER, "value"])


def read_layers(run: Run, quantity: str, kinds: tuple[str, ...]) -> pd.DataFrame:
    """One quantity of a run: the columns of `LAYER`, then value; one row a measurement, which may be NaN."""
    columns = dict.fromkeys([*LAYER, "nonfinite", quantity, *(["update_ratio"] if quantity in OF_WEIGHTS else [])])
    table = run.layers(columns=list(columns), where=[("kind", "in", list(kinds))])
    table = table[measured(table, quantity, run)]
    table = table[[*LAYER, quantity]].rename(columns={quantity: "value"})
    return table.sort_values(["step", "depth"], kind="stable", ignore_index=True)


def of_layers_that_have(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a `layer_table` of layers that ever had the quantity; of others NaN says only that they were ill."""
    if table.empty:
        return table
    return table[table["value"].notna().groupby([table["run"], table["layer"]], observed=True).transform("any")]


def gradient_profile(table: pd.DataFrame, step: int, marks: int = MARKS) -> pd.DataFrame:
    """A `layer_table` at one step: the value against depth.

    Returns:
        The columns of the table, then state (of `STATES`). Each run at its own recorded step that
        stands for `step`, see `steps`; one that has none is left out. At most `marks` rows, thinned evenly, first and
        last layer kept.
    """
    if table.empty:
        return table.assign(state=pd.Series(dtype=str))
    profile = thinned(at_near_step(table, step), marks)
    return profile.assign(state=states_of(profile["value"]))


def gradient_ratio(table: pd.DataFrame) -> pd.DataFrame:
    """How much larger is the first layer's value than the last one's?

    Returns:
        run, step, first, last (values of the layers of least and greatest depth), ratio (first / last).
    """
    if table.empty:
        return pd.DataFrame(columns=["run", "step", "first", "last", "ratio"])
    ordered = table.sort_values(["run", "step", "depth"], kind="stable")
    first, last = (ordered.drop_duplicates(["run", "step"], keep=which) for which in ("first", "last"))
    ends = first[["run", "step"]].assign(first=first["value"].to_numpy(float), last=last["value"].to_numpy(float))
    with np.errstate(divide="ignore", invalid="ignore"):
        return ends.assign(ratio=ends["first"] / ends["last"]).reset_index(drop=True)
