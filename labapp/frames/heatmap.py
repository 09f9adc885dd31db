"""How large is the gradient at each layer and step, coarse enough to draw?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from labapp.frames.beyond import STATES, states_of
from labapp.frames.runs import IDENTITY
from labapp.frames.thinning import MARKS, bins, joined

COLUMNS = [
    *IDENTITY, "layer", "depth", "depth_start", "depth_end", "step", "step_end", "step_last", "recorded",
    "value", "low", "high", "extreme", "state",
]  # fmt: skip


def gradient_heatmap(table: pd.DataFrame, marks: int = MARKS) -> pd.DataFrame:
    """Depth × step, coarse enough to draw: at most `marks` cells a run.

    Returns:
        The columns of `IDENTITY`, then layer ("first … last" where layers were taken together), depth (of the last of
        them), depth_start, depth_end (edges of the cell), step, step_end (edges too), step_last, recorded (the cell
        holds so many recorded steps, from step to step_last), value, low, high (log10: mean, least and greatest of the
        cell's positive finite values), extreme (of low and high the one further from the mean), state (of `STATES`, the
        worst in the cell). The first recorded step keeps cells of its own.
    """
    return joined([_cells(part, marks) for _, part in table.groupby("run", sort=False)], COLUMNS)


def _cells(table: pd.DataFrame, marks: int) -> pd.DataFrame:
    layers = table[["layer", "depth"]].drop_duplicates("layer").sort_values("depth", kind="stable")
    steps = np.sort(table["step"].unique())
    layers["row"] = bins(len(layers), max(1, marks // 20))
    rows = layers.groupby("row").agg(first=("layer", "first"), last=("layer", "last"), depth=("depth", "max"))
    rows["layer"] = np.where(rows["first"] == rows["last"], rows["first"], rows["first"] + " … " + rows["last"])
    rows["depth_end"] = rows["depth"] + 0.5
    rows["depth_start"] = rows["depth_end"].shift(fill_value=0.5)
    column = np.concatenate([[0], 1 + bins(len(steps) - 1, max(1, marks // len(rows) - 1))])
    edges = np.append(steps[np.unique(column, return_index=True)[1]], steps[-1] + (steps[-1] - steps[-2:][0] or 1))
    value = table["value"].to_numpy(float)
    good = np.isfinite(value) & (value > 0)
    cells = pd.DataFrame(
        {
            "row": table["layer"].map(layers.set_index("layer")["row"]),
            "column": column[np.searchsorted(steps, table["step"])],
            "value": np.log10(value, where=good, out=np.full(len(value), np.nan)),
            "state": [STATES.index(state) for state in states_of(table["value"])],
        }
    )
    cells["low"] = cells["high"] = cells["value"]
    cells = cells.groupby(["row", "column"], as_index=False).agg(
        {"value": "mean", "low": "min", "high": "max", "state": "max"}
    )
    held = pd.DataFrame({"column": column, "step": steps}).groupby("column")["step"].agg(["max", "size"])
    up = cells["high"] - cells["value"] >= cells["value"] - cells["low"]
    return cells.join(rows[["layer", "depth", "depth_start", "depth_end"]], on="row").assign(
        step=edges[cells["column"]],
        step_end=edges[cells["column"] + 1],
        step_last=cells["column"].map(held["max"]),
        recorded=cells["column"].map(held["size"]),
        extreme=cells["high"].where(up, cells["low"]),
        state=[STATES[state] for state in cells["state"]],
        **{name: table[name].iloc[0] for name in IDENTITY},
    )
