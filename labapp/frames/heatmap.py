"""How large is the gradient at each layer and step, coarse enough to draw?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from labapp.frames.beyond import STATES, codes_of
from labapp.frames.grids import Panel, panels_of
from labapp.frames.runs import IDENTITY
from labapp.frames.thinning import MARKS, bins, joined

COLUMNS = [
    *IDENTITY, "layer", "depth", "depth_start", "depth_end", "step", "step_end", "step_last", "recorded",
    "value", "low", "high", "extreme", "state",
]  # fmt: skip


def gradient_heatmap(table: pd.DataFrame | Sequence[Panel], marks: int = MARKS) -> pd.DataFrame:
    """Depth × step, coarse enough to draw: at most `marks` cells a run.

    Args:
        table: From `layer_table` or `layer_panels`.
        marks: At most.

    Returns:
        The columns of `IDENTITY`, then layer ("first … last" where layers were taken together), depth (of the last of
        them), depth_start, depth_end (edges of the cell), step, step_end (edges too), step_last, recorded (the cell
        holds so many recorded steps, from step to step_last), value, low, high (log10: mean, least and greatest of the
        cell's positive finite values), extreme (of low and high the one further from the mean), state (of `STATES`, the
        worst in the cell). The first recorded step keeps cells of its own.
    """
    panels = panels_of(table) if isinstance(table, pd.DataFrame) else table
    drawn = [panel for panel in panels if len(panel.recorded)]
    return joined([panel.once(_cells, marks) for panel in drawn], COLUMNS)


def _cells(panel: Panel, marks: int) -> pd.DataFrame:
    there = panel.measured[panel.recorded]
    ever = np.flatnonzero(there.any(0))
    there, layers = there[:, ever], panel.layers[["layer", "depth"]].take(ever)
    value = panel.columns["value"][panel.recorded][:, ever].astype(float)  # (T, n)
    steps = panel.steps[panel.recorded]
    row = bins(len(layers), max(1, marks // 20))
    rows = layers.groupby(row).agg(first=("layer", "first"), last=("layer", "last"), depth=("depth", "max"))
    rows["layer"] = np.where(rows["first"] == rows["last"], rows["first"], rows["first"] + " … " + rows["last"])
    rows["depth_end"] = rows["depth"] + 0.5
    rows["depth_start"] = rows["depth_end"].shift(fill_value=0.5)
    column = np.concatenate([[0], 1 + bins(len(steps) - 1, max(1, marks // len(rows) - 1))])
    begins = np.unique(column, return_index=True)[1], np.unique(row, return_index=True)[1]
    edges = np.append(steps[begins[0]], steps[-1] + (steps[-1] - steps[-2:][0] or 1))
    good = there & np.isfinite(value) & (value > 0)
    log = np.log10(value, where=good, out=np.zeros(value.shape))

    def gathered(what: np.ufunc, numbers: np.ndarray) -> np.ndarray:
        return what.reduceat(what.reduceat(numbers, begins[0], axis=0), begins[1], axis=1)

    count = gathered(np.add, good.astype(int))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = gathered(np.add, log) / count
    low, high = (
        np.where(count, gathered(what, np.where(good, log, nothing)), np.nan)
        for what, nothing in ((np.minimum, np.inf), (np.maximum, -np.inf))
    )
    state = gathered(np.maximum, np.where(there, codes_of(value), -1))
    at_row, at_column = np.nonzero(state.T >= 0)
    place = at_column, at_row
    up = high[place] - mean[place] >= mean[place] - low[place]
    return pd.DataFrame(
        {
            **panel.who,
            **{name: rows[name].to_numpy()[at_row] for name in ("layer", "depth", "depth_start", "depth_end")},
            "step": edges[at_column],
            "step_end": edges[at_column + 1],
            "step_last": np.append(steps[begins[0][1:] - 1], steps[-1])[at_column],
            "recorded": np.bincount(column)[at_column],
            "value": mean[place],
            "low": low[place],
            "high": high[place],
            "extreme": np.where(up, high[place], low[place]),
            "state": np.array(STATES, object)[state[place]],
        }
    )
