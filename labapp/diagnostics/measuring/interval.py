"""How sure is a mean over images, or a share of them?

    mean_interval(energies)              # one value an image: a bootstrap over the images
    share_interval(right)                # yes or no for each image: Wilson's score interval of the count

Images without a score (NaN: a map without any evidence, a mask without pixels) are left out, and `n` counts the rest.

A mean of values of any distribution gets the bootstrap's percentiles, expanded for the small number of images
(Hesterberg 2015, arXiv 1411.5279, §4.4): plain percentiles are those of a normal distribution with n in place of n − 1,
which from 10 images is a sixth too narrow. The draws come from one seed, so the same values give the same interval.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.special import ndtr, stdtrit
from torch import Tensor

from labapp.config import LabError

LEAST = 5  # values; of fewer the bootstrap's extremes are the values' own, too near to hold the mean
REPLICATES = 2000
AT_ONCE = 1 << 22  # drawn values in memory at a time


class Interval(NamedTuple):
    """A mean and its interval; all NaN where there are no values, low and high NaN where there are too few."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def columns(self) -> dict[str, float | int]:
        """As columns of a table: mean, low, high, images."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "images": self.n}

    @property
    def reason(self) -> str:
        """Why there is no interval, "" if there is one."""
        if self.low == self.low:
            return ""
        return f"{self.n} images have a value; an interval needs at least {LEAST}" if self.n else "no image has a value"


def mean_interval(values: Tensor, level: float = 0.95, *, seed: int = 0) -> Interval:
    """The mean of values (N,) of any range, with the interval of a bootstrap over them."""
    known = _scored(values)
    n = len(known)
    mean = float(known.mean()) if n else float("nan")
    if n < LEAST:
        return Interval(mean, float("nan"), float("nan"), n)
    draw, means = np.random.default_rng(seed), []
    for start in range(0, REPLICATES, step := max(1, AT_ONCE // n)):
        means.append(known[draw.integers(0, n, (min(step, REPLICATES - start), n))].mean(1))
    tail = expanded_tail(n, level)
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(mean, float(low), float(high), n)


def share_interval(values: Tensor, level: float = 0.95) -> Interval:
    """The share of ones among values (N,) of 0 and 1, with Wilson's score interval (1927).

    Raises:
        LabError: If a value lies between: the mean of such values is no count, see `mean_interval`.
    """
    known = _scored(values)
    n = len(known)
    if ((known != 0) & (known != 1)).any():
        raise LabError("Wilson's interval is of a count, so each image counts 0 or 1; take a mean's for other values")
    if not n:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    from scipy.stats import binomtest  # 50 MB, which a page that shows maps need not have

    found = binomtest(int(known.sum()), n).proportion_ci(level, method="wilson")
    return Interval(float(known.mean()), float(found.low), float(found.high), n)


def expanded_tail(n: int, level: float = 0.95) -> float:
    """The share of bootstrap means to cut off on each side, for n values: less than (1 − level) / 2."""
    return float(ndtr((n / (n - 1)) ** 0.5 * stdtrit(n - 1, (1 - level) / 2)))


def _scored(values: Tensor) -> np.ndarray:
    known = values.detach().flatten().to("cpu", torch.float64).numpy()
    return known[~np.isnan(known)]
