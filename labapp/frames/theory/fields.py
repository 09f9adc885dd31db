"""How are the values of a layer distributed at each position of its map, and which gradients come back to them?

The mean-field picture of a net with random weights: over examples and channels a layer's values have a distribution at
each position, and the squared gradient that reaches a value is known as a function of that value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from labapp.frames.theory.gains import Array

NODES = np.arange(-59.5, 60) / 10  # of a standard normal, in steps of 0.1, so that the kink at 0 lies between two
SHARES = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()


class Values:
    """Channels with one distribution: values (M, n, n) at n × n positions, with the share of each (M,).

    Attributes:
        channels: How many.
        side: Positions a side of the map; n is 1 where all positions are alike.
        variance: (n, n), where the values are normal with mean 0; else None.
        offset: Mean square of a channel's mean, which batch norm takes away and the values are therefore without.
        shared: Covariance (n, n, n, n) of two examples, each at one position: all see the same border. None where it
            is not followed, and counts as zero.
        gradient: (M, n, n), the expected squared gradient at one value.
    """

    def __init__(
        self, channels: int, side: int, values: Array, shares: Array, variance: Array | None = None, offset: float = 0.0
    ) -> None:
        self.channels, self.side, self.variance, self.offset = channels, side, variance, offset
        self.values, self.shares = values, shares
        self.shared: Array | None = None
        self.gradient: Array = np.zeros_like(values)

    @classmethod
    def normal(cls, channels: int, side: int, variance: Array, offset: float = 0.0) -> Values:
        """A normal distribution of mean 0 with a variance (n, n) at each position."""
        return cls(channels, side, NODES[:, None, None] * np.sqrt(variance), SHARES, variance, offset)

    def over(self, numbers: Array) -> Array:
        """The mean (n, n) of numbers (M, n, n) that belong to the values."""
        return np.tensordot(self.shares, numbers, 1)

    @cached_property
    def mean(self) -> Array:
        """(n, n)."""
        return self.over(self.values)

    @cached_property
    def square(self) -> Array:
        """Mean square, (n, n)."""
        return self.over(self.values**2)

    @cached_property
    def below(self) -> float:
        """Share of the values that are not above zero."""
        return float(self.over((self.values <= 0).astype(float)).mean())

    def spread(self) -> Array:
        """Variance of a normal distribution (n, n); of others the mean square."""
        return self.square if self.variance is None else self.variance

    def felt(self) -> Array:
        """Mean squared gradient, (n, n)."""
        return self.over(self.gradient)


Fields = Sequence[Values]  # channels of several kinds side by side


def by_channels(fields: Fields, numbers: Sequence[float]) -> float:
    """The mean of numbers, one a field, weighted by their channels."""
    return float(np.average(numbers, weights=[field.channels for field in fields]))


def mean_of(fields: Fields) -> float:
    """Over all channels and positions."""
    return by_channels(fields, [float(field.mean.mean()) for field in fields])


def mean_square(fields: Fields) -> float:
    """Over all channels and positions, the channels' own means included."""
    return by_channels(fields, [float(field.square.mean()) + field.offset for field in fields])


def squared_gradient(fields: Fields) -> float:
    """Sum over channels and positions of one example."""
    return float(sum(field.channels * field.side**2 * field.felt().mean() for field in fields))


def share_below_zero(fields: Fields) -> float:
    """Share of the values that a rectifier sets to zero."""
    return by_channels(fields, [field.below for field in fields])


def products(field: Values) -> Array:
    """E[x(p) y(q)] of two examples x, y at positions p, q, (n, n, n, n)."""
    mean = field.mean.astype(np.float32)  # pairs are many: half the memory
    apart = mean[:, :, None, None] * mean
    return np.asarray(apart if field.shared is None else apart + field.shared)


def quantiles(count: int) -> Array:
    """Equally likely values of a standard normal, of mean 0 and variance 1."""
    values: Array = ndtri((np.arange(count) + 0.5) / count)
    return values / math.sqrt(float(np.mean(values**2)))
