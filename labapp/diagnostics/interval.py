"""How sure is a mean over images?

A score is one number an image; what is reported is their mean with the interval in which the mean over all such
images lies. Images without a score (NaN: a map without any evidence, a mask without pixels) are left out, and `n`
counts the rest.
"""

from typing import NamedTuple

import torch
from scipy.special import ndtri, stdtrit
from torch import Tensor


class Interval(NamedTuple):
    """A mean and its interval; both NaN where there are no values, low and high NaN where there is only one."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: Tensor, level: float = 0.95) -> Interval:
    """Mean ± Student's t of n − 1 degrees of freedom times s/√n, for values (N,) of any range."""
    values = _scored(values)
    n = len(values)
    if n < 2:
        return Interval(float(values.mean()), float("nan"), float("nan"), n)
    mean = float(values.mean())
    half = float(stdtrit(n - 1, (1 + level) / 2)) * float(values.std()) / n**0.5
    return Interval(mean, mean - half, mean + half, n)


def share_interval(values: Tensor, level: float = 0.95) -> Interval:
    """Wilson's interval (1927) of a share, for values (N,) of 0 or 1: inside [0, 1], and of some width even there."""
    values = _scored(values)
    n = len(values)
    if not n:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    z = float(ndtri((1 + level) / 2))
    p = float(values.mean())
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half), n)


def _scored(values: Tensor) -> Tensor:
    values = values.detach().flatten().to("cpu", torch.float64)
    return values[~values.isnan()]
