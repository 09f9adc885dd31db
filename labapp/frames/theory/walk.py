"""How are the units of a residual stream distributed, when every block adds a random step and a ReLU?"""

from __future__ import annotations

import math

import numpy as np

from labapp.frames.theory.gains import Array


class Walk:
    """A random walk with standard normal steps that zero reflects, as a density on a grid."""

    def __init__(self, steps: int, spacing: float = 0.05) -> None:
        self.x = np.arange(0, 8 + 5 * math.sqrt(steps + 1), spacing)
        self.reach = round(6 / spacing)
        kernel = np.exp(-((np.arange(-self.reach, self.reach + 1) * spacing) ** 2) / 2)
        self.kernel = kernel / kernel.sum()

    def start(self) -> Array:
        """The density of the ReLU of a standard normal."""
        return self.step(self.at_zero())

    def at_zero(self) -> Array:
        """All mass at zero."""
        density = np.zeros_like(self.x)
        density[0] = 1.0
        return density

    def step(self, density: Array) -> Array:
        """The density of max(0, x + z), with z standard normal."""
        wide = np.convolve(density, self.kernel)
        moved = wide[self.reach : self.reach + len(self.x)].copy()
        moved[0] += wide[: self.reach].sum()
        return moved

    def expected(self, value: Array) -> Array:
        """E[1(x + z > 0) value(x + z)] for each x; the cell at zero counts half."""
        wide = np.concatenate([np.zeros(self.reach), value, np.full(self.reach, value[-1])])
        wide[self.reach] *= 0.5
        return np.convolve(wide, self.kernel, "valid")

    def variance(self, density: Array) -> float:
        """The variance of a density."""
        mean = density @ self.x
        return float(density @ self.x**2 - mean**2)
