"""A profile made by hand: one run, one step, a value for each layer."""

import numpy as np
import pandas as pd


def one_profile(values, depths=None, run="a", step=0):
    """A layer table of one run at one step."""
    n = len(values)
    return pd.DataFrame(
        {
            "run": run,
            "run_id": run,
            "family": "plain",
            "net_depth": n,
            "seed": 0,
            "step": step,
            "layer": [f"layer{i}" for i in range(n)],
            "kind": "conv",
            "depth": range(1, n + 1) if depths is None else depths,
            "relative_depth": np.linspace(0, 1, n),
            "stage": 1,
            "block": "",
            "value": np.asarray(values, dtype=float),
        }
    )
