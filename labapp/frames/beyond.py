"""What was measured and is not finite, and what was not measured?

A row of a tidy table is a measurement: what was not measured has no row, and NaN in a row was measured. A run's tables
hold NaN for both, so they are told apart here: by the count of values that were not finite, and for weights, which are
read in every recorded step, by whether the layer has any.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from labapp.store import Run

OF_WEIGHTS = ("weight_norm", "weight_grad_norm", "update_ratio")  # quantities of a layer's weights, not of its outputs
STATES = ("finite", "zero", "below zero", "−∞", "∞", "NaN")  # of a cell that holds several values the last one counts


def states_of(values: pd.Series, log: bool = True) -> np.ndarray:
    """What an axis can say of each value, of `STATES`; a linear one can say zero, and less."""
    value = values.to_numpy(float)
    tests = {
        "NaN": np.isnan(value),
        "∞": value == np.inf,
        "−∞": value == -np.inf,
        "zero": log & (value == 0),
        "below zero": log & (value < 0),
    }
    return np.select(list(tests.values()), list(tests), "finite")


def measured(table: pd.DataFrame, quantity: str, run: Run) -> pd.Series:
    """Which rows of a `layers` table hold a measurement of a quantity, be it NaN.

    Args:
        table: Of one run: step, layer, nonfinite, the quantity; of a quantity of weights also update_ratio.
        quantity: Which.
        run: Whose.
    """
    there, ill = table[quantity].notna(), table["nonfinite"] > 0
    if quantity not in OF_WEIGHTS:
        return there | ill
    known = there.groupby(table["layer"]).transform("any")
    if not known.all():  # of a run that was never healthy, the layers that have parameters
        weighty = {layer["path"] for layer in run.layers_info if layer.get("parameters") and "#" not in layer["path"]}
        known |= table["layer"].isin(weighty) & ill.groupby(table["layer"]).transform("all")
    if quantity == "weight_grad_norm":  # where no gradient came, the update is finite
        known &= ill | table["update_ratio"].isna()
    since = min([*table["step"][ill], *events(run)["step"]], default=np.inf)  # before, NaN is 0 ÷ 0 or not known
    return there | (known & (table["step"] >= since))


def events(run: Run) -> pd.DataFrame:
    """The run's table of what was not finite; empty where nothing was, or an older recorder wrote none."""
    there = "divergence" in run.tables()
    return run.table("divergence") if there else pd.DataFrame({"step": pd.Series(dtype=int)})
