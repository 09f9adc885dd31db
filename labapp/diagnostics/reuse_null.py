"""How unequally would a net reuse features that has learnt nothing?

    nulls = [feature_reuse(net, weighting, images, labels) for net in fresh_nets]
    beside(feature_reuse(model, weighting, images, labels), nulls)     # columns null, null_deviation
    expected(number_of(table) for table in nulls)                      # where one more such net's number would lie

A cell of `feature_reuse` is a mean over finitely many random weights, so no column of an untrained net is quite equal:
a cell of m He-normal weights deviates from their mean by √(π/2 − 1) / √m = 0.756 / √m of it. What training has done
shows only beyond that. The null is measured, on the same net with new first weights, because the other weightings and
initialisations have no closed form.

A further net's number lies with 95 % in mean ± t · s · √(1 + 1/K), s the deviation of the K numbers and t Student's
with K − 1 degrees of freedom. Unit: that of the number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from labapp.config import LabError

DRAWS = 10  # fresh nets: with more, t falls by a tenth at most
KEYS = ["block", "source", "target", "kind"]


class Expected(NamedTuple):
    """Where a number of a net that has learnt nothing lies: NaN where it has no such number."""

    mean: float
    low: float
    high: float


def beside(table: pd.DataFrame, nulls: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """A table of `feature_reuse` with the columns null and null_deviation: a cell's mean and deviation over fresh nets.

    Both are over the mean of the cell's column in the same net, as cells are compared inside a column: how large a
    column is differs from net to net, and changes in training, without a word on reuse. Equal cells have 1 and 0.

    Raises:
        LabError: If a fresh net has other cells.
    """
    if not nulls:
        return table.assign(null=math.nan, null_deviation=math.nan)
    cells = [tuple(map(tuple, each[KEYS].to_numpy())) for each in (table, *nulls)]
    if len(set(cells)) > 1:
        raise LabError("the fresh nets have other cells than this one, so they say nothing about it")
    values = np.stack([over_column_mean(each).to_numpy(float) for each in nulls])  # (K, cells)
    deviation = values.std(0, ddof=1) if len(values) > 1 else np.full(values.shape[1], math.nan)
    return table.assign(null=values.mean(0), null_deviation=deviation)


def over_column_mean(table: pd.DataFrame) -> pd.Series:
    """Each value over the mean of its column (block, target): 1 for equal ones, NaN where a column has no mean."""
    means = table.groupby(["block", "target"])["value"].transform("mean")
    return table["value"] / means.where(means > 0)


def expected(
    numbers: Iterable[float], inside: tuple[float, float] = (-math.inf, math.inf), level: float = 0.95
) -> Expected:
    """Mean and prediction interval, cut off at its range, of fresh nets' number; NaN where fewer than two have it."""
    known = np.array([number for number in numbers if math.isfinite(number)])
    if len(known) < 2:
        return Expected(float(known.mean()) if len(known) else math.nan, math.nan, math.nan)
    half = float(stats.t.ppf((1 + level) / 2, len(known) - 1)) * known.std(ddof=1) * (1 + 1 / len(known)) ** 0.5
    low, high = np.clip([known.mean() - half, known.mean() + half], *inside)
    return Expected(float(known.mean()), float(low), float(high))
