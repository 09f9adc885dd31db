"""How do kernels, strides and windows connect the positions of one map with those of the next?

Zero padding makes the border fainter, so positions differ. With circular padding all are alike, and one stands for all
(`uniform`): arrays of shape (1, 1) then mean every position of a map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labapp.frames.theory.gains import Array


@dataclass(frozen=True)
class Positions:
    """Maps (n, n), and covariances of two positions (n, n, n, n); `uniform`: whether all positions are alike."""

    uniform: bool

    def taps(self, values: Array, kernel: int, stride: int) -> list[Array]:
        """What each tap of a kernel reads, (n, n); beyond the border zeros."""
        if self.uniform:
            return [values] * kernel**2
        n, reach = len(values), kernel // 2
        wide = np.pad(values, reach)
        return [wide[i : i + n : stride, j : j + n : stride] for i in range(kernel) for j in range(kernel)]

    def spread(self, felt: Array, kernel: int, stride: int, n: int) -> Array:
        """The way back of `taps`: what all outputs send to an input, (n, n)."""
        if self.uniform:
            return kernel**2 / stride**2 * felt
        wide = np.zeros((n, n))
        wide[::stride, ::stride] = felt
        return np.asarray(sum(self.taps(wide, kernel, 1)))

    def blocks(self, values: Array, size: int) -> Array:
        """Means over size × size positions."""
        if self.uniform:
            return values
        n = len(values) // size
        return values[: n * size, : n * size].reshape(n, size, n, size).mean((1, 3))

    def pair_taps(self, pairs: Array, kernel: int, stride: int) -> Array:
        """Sum over the taps of a kernel that two outputs have in common, (n, n, n, n)."""
        n, reach = len(pairs), kernel // 2
        for i, k in ((0, 2), (1, 3)):
            wide = np.pad(pairs, [(reach, reach) if axis in (i, k) else (0, 0) for axis in range(4)])
            moved = []
            for tap in range(kernel):
                cut = [slice(tap, tap + n, stride) if axis in (i, k) else slice(None) for axis in range(4)]
                moved.append(wide[tuple(cut)])
            pairs = np.asarray(sum(moved))
        return pairs

    def pair_blocks(self, shared: Array, size: int) -> Array:
        """Means of a covariance over size × size positions, both of the one and of the other."""
        n = len(shared) // size
        cut = shared[: n * size, : n * size, : n * size, : n * size]
        return cut.reshape(n, size, n, size, n, size, n, size).mean((1, 3, 5, 7))

    def handed_down(self, felt: Array, size: int, n: int) -> Array:
        """What windows of size × size send to each of their members, (n, n); nothing to a last row that none covers."""
        if self.uniform:
            return felt
        wide = np.kron(felt, np.ones((size, size)))
        return np.pad(wide, (0, n - len(wide)))
