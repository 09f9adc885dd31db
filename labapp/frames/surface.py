"""How does the loss change around a checkpoint, in a plane of random directions?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from labapp.frames.beyond import states_of
from labapp.frames.checkpoints import at_checkpoint
from labapp.frames.runs import IDENTITY
from labapp.frames.steps import Read
from labapp.store import Run


def loss_surface(runs: Sequence[Run], step: int, read: Read | None = None) -> pd.DataFrame:
    """The loss at each point of the plane of each run, at its measured step that stands for `step`.

    Returns:
        The columns of `IDENTITY`, then step, alpha, beta, alpha_low, alpha_high, beta_low, beta_high (the edges of the
        point's cell), value (loss, nats), accuracy, images, guessing (ln of the number of classes: the loss of a net
        that finds all alike), state.
    """
    rows = at_checkpoint(runs, "loss_surface", step, read)
    sides = [f"{side}_{end}" for side in ("alpha", "beta") for end in ("low", "high")]
    columns = [*IDENTITY, "step", "alpha", "beta", *sides, "value", "accuracy", "images", "guessing", "state"]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    half = rows.groupby("run", sort=False)["alpha"].transform(_spacing) / 2
    edges = {f"{side}_{end}": rows[side] + sign * half for side in ("alpha", "beta") for end, sign in _ENDS}
    loss = rows["loss"].astype(float)
    return rows.assign(**edges, value=loss, guessing=np.log(rows["classes"]), state=states_of(loss))[columns]


_ENDS = (("low", -1), ("high", 1))


def _spacing(along: pd.Series) -> float:
    """Between neighbouring points of an axis."""
    return float(along.max() - along.min()) / max(1, along.nunique() - 1)


def of_planes(rows: pd.DataFrame) -> pd.DataFrame:
    """Each plane in a few numbers.

    Args:
        rows: From `loss_surface`.

    Returns:
        The columns of `IDENTITY`, then step, middle (loss of the net itself), greatest (of the finite ones), below
        (share of the plane's points whose loss is below that of guessing), guessing, ill (points that are not finite).
    """
    found = []
    for _, own in rows.groupby("run", sort=False):
        finite = np.isfinite(own["value"])
        middle = own.loc[(own["alpha"] == 0) & (own["beta"] == 0), "value"]
        found.append(
            {
                **own.iloc[0][[*IDENTITY, "step"]],
                "middle": float(middle.iloc[0]) if len(middle) else math.nan,
                "greatest": float(own["value"][finite].max()) if finite.any() else math.nan,
                "below": float((own["value"] < own["guessing"]).mean()),
                "guessing": float(own["guessing"].iloc[0]),
                "ill": int((~finite).sum()),
            }
        )
    return pd.DataFrame(found, columns=[*IDENTITY, "step", "middle", "greatest", "below", "guessing", "ill"])
