"""How large is the gradient at each layer?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from labapp.frames.beyond import OF_WEIGHTS, measured, states_of
from labapp.frames.grids import Grid, Panel, ReadGrid, all_rows, read_grid
from labapp.frames.runs import identities
from labapp.frames.steps import at_near_step
from labapp.frames.thinning import MARKS, thinned
from labapp.store import Run


def layer_table(
    runs: Sequence[Run],
    quantity: str = "output_grad_norm",
    kinds: Iterable[str] = ("conv",),
    relative: bool = False,
    read: ReadGrid | None = None,
) -> pd.DataFrame:
    """One quantity of every layer at every recorded step.

    Returns:
        The columns of `IDENTITY` and `LAYER`, then value (`relative`: divided by the last layer's at the same step);
        one row a (run, step, layer), layers of the given kinds only.
    """
    return all_rows(layer_panels(runs, quantity, kinds, relative, read))


def layer_panels(
    runs: Sequence[Run],
    quantity: str = "output_grad_norm",
    kinds: Iterable[str] = ("conv",),
    relative: bool = False,
    read: ReadGrid | None = None,
) -> list[Panel]:
    """`layer_table` as one panel a run."""
    kinds, read = list(kinds), read or read_grid
    return [
        _panel(run, who, read(run, quantities_for(quantity)), quantity, kinds, relative)
        for run, who in zip(runs, identities(runs), strict=True)
    ]


def quantities_for(quantity: str) -> list[str]:
    """What has to be read to tell where a quantity was measured."""
    return list(dict.fromkeys([quantity, "nonfinite", *(["update_ratio"] if quantity in OF_WEIGHTS else [])]))


def _panel(run: Run, who: dict[str, Any], grid: Grid, quantity: str, kinds: list[str], relative: bool) -> Panel:
    key = (quantity, *kinds, relative, *who.values())
    if key not in grid.kept:
        grid.kept[key] = _made(run, who, grid, quantity, kinds, relative)
    return grid.kept[key]


def _made(run: Run, who: dict[str, Any], grid: Grid, quantity: str, kinds: list[str], relative: bool) -> Panel:
    chosen = grid.of_layers(np.flatnonzero(grid.layers["kind"].isin(kinds)))
    there, value = measured(chosen, quantity, run), chosen.columns[quantity]
    if relative and there.any():
        depth = chosen.layers["depth"].to_numpy()
        last = np.full(len(value), np.nan, value.dtype)  # of the deepest layers the first that has a value at that step
        for at in np.flatnonzero(depth == depth[there.any(0)].max())[::-1]:
            last = np.where(there[:, at], value[:, at], last)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = value / last[:, None]
    return Panel(who, chosen.steps, chosen.layers, there, {"value": value}, {})


def of_layers_that_have(panels: Iterable[Panel]) -> list[Panel]:
    """The panels, of layers that ever had the quantity; of others NaN says only that they were ill."""
    return [panel.of_layers(np.flatnonzero((~np.isnan(panel.columns["value"])).any(0))) for panel in panels]


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
    r"""How much larger is the first layer's value than the last one's?

    Returns:
        run, step, first, last (values of the layers of least and greatest depth), ratio (first / last).

    Method:
        Meaning: How much larger the gradient is at the first layer than at the last.
        Formula: $\lVert \partial L / \partial h_1 \rVert \, / \, \lVert \partial L / \partial h_L \rVert$, of
            convolutions.
        Source: Glorot & Bengio 2010, §4; He et al. 2015 (arXiv 1512.03385), §4.1.
        Batch norm: As in the gradients, of which it is made.
        Sampling: Two layers of one step, so it is the more uncertain the fewer seeds there are.
        Fails: Two layers stand for all; the slope uses every layer.
        Command: labapp train --record every
    """
    if table.empty:
        return pd.DataFrame(columns=["run", "step", "first", "last", "ratio"])
    ordered = table.sort_values(["run", "step", "depth"], kind="stable")
    first, last = (ordered.drop_duplicates(["run", "step"], keep=which) for which in ("first", "last"))
    ends = first[["run", "step"]].assign(first=first["value"].to_numpy(float), last=last["value"].to_numpy(float))
    with np.errstate(divide="ignore", invalid="ignore"):
        return ends.assign(ratio=ends["first"] / ends["last"]).reset_index(drop=True)


def ratios_of_ends(run: Run, read: ReadGrid | None = None) -> list[tuple[int, float]]:
    """`gradient_ratio` of a run's convolutions at the first and the last step at which it has one.

    Returns:
        Step and ratio of both; empty where no gradient was recorded. The run's name, for which the whole archive is
        looked at, is not asked for.
    """
    grid = (read or read_grid)(run, quantities_for("output_grad_norm"))
    panel = _made(run, {}, grid, "output_grad_norm", ["conv"], False)
    value = panel.columns["value"].astype(float)
    found = []
    for at in panel.recorded[[0, -1]] if len(panel.recorded) else ():
        there = np.flatnonzero(panel.measured[at])  # by depth
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append((int(panel.steps[at]), float(value[at, there[0]] / value[at, there[-1]])))
    return found
