"""What is this net?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from labapp.frames.runs import names
from labapp.frames.steps import Read
from labapp.probes.catalogue import PLAN
from labapp.store import Run

LINEAR = "linear"


def layers(run: Run, read: Read | None = None) -> pd.DataFrame:
    """Every layer in the order of execution.

    Returns:
        layer, kind, depth, stage, block, shape ("16×24×24"), parameters, multiply_adds, receptive_field, jump. Rows of
        kind block repeat what is inside them; all others add up to the net.
    """
    return (read or Run.probe)(run, "architecture", PLAN)


def sizes(table: pd.DataFrame) -> dict[str, float]:
    """What a table from `layers` adds up to.

    Returns:
        parameters, multiply_adds, linear_share (of the parameters that lie in linear layers), weight_layers (of depth),
        receptive_field (of the last layer that has one, pixels a side).
    """
    parts = table[table["kind"] != "block"]
    total = float(parts["parameters"].sum())
    fields = parts.loc[parts["kind"].isin(["conv", "pool"]), "receptive_field"].dropna()
    return {
        "parameters": total,
        "multiply_adds": float(parts["multiply_adds"].sum()),
        "linear_share": float(parts.loc[parts["kind"] == LINEAR, "parameters"].sum()) / total if total else np.nan,
        "weight_layers": float(parts["depth"].max()) if len(parts) else 0.0,
        "receptive_field": float(fields.iloc[-1]) if len(fields) else np.nan,
    }


def parts(runs: Sequence[Run], read: Read | None = None) -> pd.DataFrame:
    """Where the parameters of each net lie.

    Returns:
        run (its net's name), run_id, family, part ("stage 1" … for convolutions, "normalisation", "linear", "other"),
        order, parameters, share (of the net), start, end (of its piece of a bar from 0 to 1), layers; one row a run and
        part with parameters.
    """
    found = []
    for run, name in zip(runs, names(runs, seeds=False), strict=True):
        table = layers(run, read)
        table = table[(table["kind"] != "block") & (table["parameters"] > 0)]
        kind = table["kind"]
        part = np.select(
            [kind == "conv", kind == "norm", kind == LINEAR],
            ["stage " + table["stage"].astype(str), "normalisation", LINEAR],
            "other",
        )
        sums = table.assign(part=part).groupby("part", as_index=False)
        own = sums.agg(parameters=("parameters", "sum"), layers=("layer", "size"))
        own["order"] = [_place(name) for name in own["part"]]
        own = own.sort_values(["order", "part"], ignore_index=True)
        own["share"] = own["parameters"] / own["parameters"].sum()
        own["end"] = own["share"].cumsum()
        found.append(own.assign(start=own["end"] - own["share"], run=name, run_id=run.id, family=run.experiment.family))
    columns = ["run", "run_id", "family", "part", "order", "parameters", "share", "start", "end", "layers"]
    return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)


def pyramid(run: Run, step: int, read: Read | None = None) -> pd.DataFrame:
    """Which level of a feature pyramid sends gradient into which stage?

    Returns:
        level, stage, gradient_norm, through_lateral, step.
    """
    return (read or Run.probe)(run, "level_gradients", step).assign(step=step)


def _place(part: str) -> int:
    """Stages by their number, then normalisation, other, and the linear layers at the end of the bar."""
    last = {"normalisation": 1000, "other": 1001, LINEAR: 1002}
    return last[part] if part in last else int(part.removeprefix("stage "))
