"""How sure is a mean over images?

Each image has one score; the answer is the mean over images with its confidence interval. Images without a score (NaN:
a map without any evidence, a mask without pixels) are left out, and `n` counts the rest.
"""

from typing import NamedTuple

import torch
from scipy import stats
from torch import Tensor


class Interval(NamedTuple):
    """A mean and its interval; both NaN where there are no values, low and high NaN where there is only one."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def columns(self) -> dict[str, float | int]:
        """As columns of a table: mean, low, high, images."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "images": self.n}


def mean_interval(values: Tensor, level: float = 0.95) -> Interval:
    """Mean ± Student's t of n − 1 degrees of freedom times s/√n, for values (N,) of any range."""
    values = _scored(values)
    n = len(values)
    if n < 2:
        return Interval(float(values.mean()), float("nan"), float("nan"), n)
    mean = float(values.mean())
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * float(values.std()) / n**0.5  # 0 for equal values
    return Interval(mean, mean - half, mean + half, n)


def share_interval(values: Tensor, level: float = 0.95) -> Interval:
    """Wilson's score interval (1927) of a share, inside [0, 1], for values (N,) from 0 to 1.

    `scipy.stats.binomtest` gives the same for whole counts. Here a value may lie between 0 and 1, such as the share of
    permutations after which an image is still classified correctly.
    """
    values = _scored(values)
    n = len(values)
    if not n:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    z = float(stats.norm.ppf((1 + level) / 2))
    p = float(values.mean())
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half), n)


def _scored(values: Tensor) -> Tensor:
    values = values.detach().flatten().to("cpu", torch.float64)
    return values[~values.isnan()]
