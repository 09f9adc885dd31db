"""At which steps can two sides be compared?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labapp.frames.steps import TOLERANCE


def compared_steps(a: Sequence[pd.DataFrame], b: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The steps at which two sides can be compared, from tables with the column step, one a run.

    A recorded step stands for another within a tenth of it, as in `frames.steps`; of each side those runs count that
    stand where most of them do, the later of two.

    Returns:
        step, a and b (each a list: the own step of every run of the side, −1 where it does not count).
    """
    known = [[np.unique(table["step"].to_numpy(int)) for table in tables] for tables in (a, b)]
    every = [steps for side_steps in known for steps in side_steps if len(steps)]
    asked = np.unique(np.concatenate(every)) if every else np.array([], int)
    own = [_most(np.array([_near(steps, asked) for steps in side_steps])) for side_steps in known]  # (runs, T)
    both = np.flatnonzero(np.all([each.max(0) >= 0 for each in own], axis=0)) if len(asked) else np.array([], int)
    _, firsts = np.unique(np.concatenate(own)[:, both], axis=1, return_index=True)  # of equal steps the first asked for
    taken = both[np.sort(firsts)]
    one, other = (each[:, taken].T.tolist() for each in own)
    return pd.DataFrame({"step": asked[taken], "a": one, "b": other})


def _near(steps: NDArray[np.int64], asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each step asked for the one that stands for it, see `steps.near`; −1 where none does."""
    if not len(steps):
        return np.full(len(asked), -1)
    above = np.clip(np.searchsorted(steps, asked), 0, len(steps) - 1)
    below = np.maximum(above - 1, 0)
    nearer = np.where(np.abs(steps[below] - asked) <= np.abs(steps[above] - asked), below, above)
    return np.where(np.abs(steps[nearer] - asked) <= TOLERANCE * asked, steps[nearer], -1)


def _most(own: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same steps (runs, T), −1 for runs that do not stand where most do, the later of two."""
    alike = ((own[:, None] == own[None]) & (own[None] >= 0)).sum(1) * (own >= 0)  # runs that stand where each does
    most = np.where(alike == alike.max(0), own, -1).max(0)
    return np.where(own == most, own, -1)
