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
    own = [np.array([_near(steps, asked) for steps in side_steps]) for side_steps in known]  # (runs, T)
    found, seen = [], set()
    for at, step in enumerate(asked):
        stand = [_most(side_own[:, at]) for side_own in own]
        if any(max(steps) < 0 for steps in stand) or (key := str(stand)) in seen:
            continue
        seen.add(key)
        found.append((int(step), *stand))
    return pd.DataFrame(found, columns=["step", "a", "b"])


def _near(steps: NDArray[np.int64], asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each step asked for the one that stands for it, see `steps.near`; −1 where none does."""
    if not len(steps):
        return np.full(len(asked), -1)
    above = np.clip(np.searchsorted(steps, asked), 0, len(steps) - 1)
    below = np.maximum(above - 1, 0)
    nearer = np.where(np.abs(steps[below] - asked) <= np.abs(steps[above] - asked), below, above)
    return np.where(np.abs(steps[nearer] - asked) <= TOLERANCE * asked, steps[nearer], -1)


def _most(own: NDArray[np.int64]) -> list[int]:
    """The same steps, −1 for runs that do not stand where most do."""
    steps, counts = np.unique(own[own >= 0], return_counts=True)
    if not len(steps):
        return [-1] * len(own)
    most = steps[np.flatnonzero(counts == counts.max())[-1]]
    return [int(step) if step == most else -1 for step in own]
