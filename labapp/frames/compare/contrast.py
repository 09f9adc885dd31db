r"""How do two samples of runs compare: B ÷ A and B − A, with what chance may have made?

Runs are independent, so the interval is Welch's: with the variances s²/n of the two means, and the degrees of freedom
of Satterthwaite (Welch 1947, Biometrika 34, 28). A ratio is taken on its logarithm,

    factor:  ln B ÷ A = mean ln b − mean ln a,                   variances s²(ln b)/n and s²(ln a)/m
    share:   ln B ÷ A = ln mean b − ln mean a,  to first order   s²(b)/(n mean² b) and s²(a)/(m mean² a)

the second being the log response ratio (Hedges, Gurevitch & Curtis 1999, Ecology 80, 1150), which lets a run be zero.
So a side against itself gives 1, and the other way round gives the inverse with the inverse interval. Zero in both is
no change: 1. One run on a side has no variance: no interval.

Method:
    Meaning: How two runs or groups differ, with what chance may have made.
    Formula: $\ln \frac{B}{A} = \overline{\ln b} - \overline{\ln a} \pm t \sqrt{\frac{s_b^2}{n} + \frac{s_a^2}{m}}$,
        with Welch's degrees of freedom; of shares the log response ratio.
    Source: Welch 1947, *Biometrika* 34, 28; Hedges, Gurevitch & Curtis 1999, *Ecology* 80, 1150.
    Batch norm: As in what is compared.
    Sampling: Runs, which differ in the seed alone where a side is to be one net; two a side are needed for an interval.
    Fails: Of one seed each nobody can tell a difference from chance; of two the interval is 13 deviations wide. Many
        layers compared at once: one in twenty intervals misses by chance.
    Command: labapp runs compare A B
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # scipy.stats takes half a second to import

Numbers = NDArray[np.float64]
LEVEL = 0.95


class Contrast(NamedTuple):
    """Of every place, all of one shape.

    Attributes:
        a, b: the centres: geometric means of factors, means of others.
        ratio, low, high: B ÷ A and its interval; NaN where it has none.
        difference, least, most: B − A, of means, and its interval.
        runs_a, runs_b: how many runs took part; those without a finite value do not.
        lost_a, lost_b: how many were measured there and have none.
    """

    a: Numbers
    b: Numbers
    ratio: Numbers
    low: Numbers
    high: Numbers
    difference: Numbers
    least: Numbers
    most: Numbers
    runs_a: NDArray[np.int64]
    runs_b: NDArray[np.int64]
    lost_a: NDArray[np.int64]
    lost_b: NDArray[np.int64]


def contrast(a: Numbers, b: Numbers, scale: str, level: float = LEVEL) -> Contrast:
    """Compare two samples, (n, …) and (m, …) over runs.

    Args:
        a: Of side A; NaN where a run has no finite value, masked where it was not measured.
        b: Of side B.
        scale: Of `quantities.SCALES`.
        level: Of the intervals.
    """
    (there_a, a), (there_b, b) = _split(a), _split(b)
    with np.errstate(all="ignore"):  # zero and NaN give what they give, and the notes say so
        count_a, count_b = (np.isfinite(each).sum(0) for each in (a, b))
        mean_a, mean_b = _mean(a), _mean(b)
        spread_a, spread_b = _variance(a) / count_a, _variance(b) / count_b  # of the means
        half = _half(spread_a, spread_b, count_a, count_b, level)
        difference = mean_b - mean_a
        if scale == "factor":
            log_a, log_b = np.log(a), np.log(b)
            centre_a, centre_b = np.exp(_mean(log_a)), np.exp(_mean(log_b))
            spread_a, spread_b = _variance(log_a) / count_a, _variance(log_b) / count_b
            gap = _mean(log_b) - _mean(log_a)
        else:
            centre_a, centre_b = mean_a, mean_b
            spread_a, spread_b = spread_a / mean_a**2, spread_b / mean_b**2
            gap = np.log(mean_b) - np.log(mean_a)
        wide = _half(spread_a, spread_b, count_a, count_b, level)
        ratio = np.where((centre_a == 0) & (centre_b == 0), 1.0, np.exp(gap))
        low, high = np.exp(gap - wide), np.exp(gap + wide)
        if scale == "signed":
            ratio = low = high = np.full_like(difference, np.nan)
        return Contrast(
            centre_a, centre_b, ratio, low, high, difference, difference - half, difference + half,
            count_a, count_b, there_a - count_a, there_b - count_b,
        )  # fmt: skip


def _split(sample: Numbers) -> tuple[NDArray[np.int64], Numbers]:
    """How many runs were measured at each place, and their values, NaN where one is not finite."""
    there = (~np.ma.getmaskarray(sample)).sum(0)
    values: Numbers = np.ma.filled(np.ma.asarray(sample, dtype=float), np.nan)
    return there, np.where(np.isfinite(values), values, np.nan)


def _mean(sample: Numbers) -> Numbers:
    there = ~np.isnan(sample)
    return np.where(there, sample, 0.0).sum(0) / np.where(there.any(0), there.sum(0), np.nan)


def _variance(sample: Numbers) -> Numbers:
    """With n − 1; NaN of one."""
    there = ~np.isnan(sample)
    count = there.sum(0)
    square = np.where(there, (sample - _mean(sample)) ** 2, 0.0).sum(0)
    return np.where(count > 1, square / np.maximum(count - 1, 1), np.nan)


def _half(one: Numbers, other: Numbers, count: NDArray[np.int64], others: NDArray[np.int64], level: float) -> Numbers:
    """Half the width of Welch's interval, from the variances of two means and their runs."""
    total = one + other
    freedom = total**2 / (one**2 / np.maximum(count - 1, 1) + other**2 / np.maximum(others - 1, 1))
    half = stdtrit(np.where(total > 0, freedom, 1.0), (1 + level) / 2) * np.sqrt(total)
    return np.where(total == 0, 0.0, half)
