"""What does one layer do to the distribution of the values, and to the squared gradients on their way back?

Each method is a layer: it takes `Values` one step on and notes how the squares come back through it. `Tape.back`
follows the notes in reverse. Weights are random and independent of what passes through them (Poole 2016; Schoenholz
2017; Yang 2019), so only mean squares matter, position by position. Two things need more: at the border batch norm
leaves what all examples have in common, which is followed too, and in the stream of a residual net single values are.
(Derived here.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from labapp.frames.theory.fields import NODES, SHARES, Fields, Values, mean_of, mean_square, products, quantiles
from labapp.frames.theory.gains import ACTIVATIONS, KAPPA, Array, batch_norm_relu_gain
from labapp.frames.theory.positions import Positions

EPSILON = 1e-5  # PyTorch's, in the root of a normalisation
PAIRED = 32  # pixels a side up to which pairs of positions are followed; a wider map has little border
UNITS = 100_000  # values of a residual stream that are followed, over all positions of its first map


class Tape:
    """A net, layer by layer.

    Args:
        norm: batch, layer or none.
        activation: One of `ACTIVATIONS`.
        batch: Examples of one forward pass.
        uniform: Whether all positions are alike, see `Positions`.
        paired: Whether to follow pairs of positions, where batch norm and a border make that differ.
    """

    def __init__(self, norm: str, activation: str, batch: int, uniform: bool, paired: bool = True) -> None:
        self.norm, self.batch, self.paired = norm, batch, paired and not uniform
        self.function, self.slope = ACTIVATIONS[activation]
        self.rectified = activation == "relu"
        self.positions = Positions(uniform)
        self.notes: list[Callable[[], None]] = []
        self._draws = np.random.default_rng(0)
        self._count = 0  # values followed at each position, the same everywhere

    def back(self) -> None:
        """Bring the squared gradients from the net's end to its first layer."""
        for note in reversed(self.notes):
            note()

    def convolve(
        self,
        fields: Fields,
        outputs: int,
        kernel: int,
        stride: int,
        variance: float,
        bias: float = 0.0,
        told: Callable[[Array], None] | None = None,
    ) -> Values:
        """A convolution with weights and biases of these variances: at an output the squares of all taps add up.

        `told` hears on the way back what reaches each channel of the input, (n, n).
        """
        squares = np.asarray(sum(field.channels * field.square for field in fields))
        total = variance * np.asarray(sum(self.positions.taps(squares, kernel, stride)))
        side = -(-fields[0].side // stride)
        if self.norm == "batch":
            result = self._centred(fields, outputs, side, (kernel, stride), variance, total)
            result.offset += bias
        else:
            result = Values.normal(outputs, side, total + bias)

        def note() -> None:
            back = self.positions.spread(result.felt(), kernel, stride, fields[0].values.shape[-1])
            back *= variance * outputs
            for field in fields:
                field.gradient += back
            if told is not None:
                told(back)

        self.notes.append(note)
        return result

    def _centred(
        self, fields: Fields, outputs: int, side: int, taps: tuple[int, int], variance: float, total: Array
    ) -> Values:
        """What batch norm will see of a convolution: its outputs without each channel's mean over all positions."""
        if not self.paired or len(total) > PAIRED:
            tapped = [(f.channels, mean) for f in fields for mean in self.positions.taps(f.mean, *taps)]
            less = variance * np.asarray(sum(c * (2 * mean * mean.mean() - mean.mean() ** 2) for c, mean in tapped))
            return Values.normal(outputs, side, total - less, float(less.mean()))
        shared = np.asarray(sum(field.channels * products(field) for field in fields))
        pairs = np.float32(variance) * self.positions.pair_taps(shared, *taps)
        with_others, among = pairs.mean((2, 3)), float(pairs.mean())
        result = Values.normal(outputs, side, total - 2 * with_others + among, among)
        result.shared = pairs - with_others[:, :, None, None] - with_others + np.float32(among)
        return result

    def normalise(self, fields: Fields) -> list[Values]:
        """Batch norm (each channel by itself, over examples and positions) or layer norm (over all of one example).

        The gradient is divided by the variance. What a finite batch adds is exact behind a ReLU (Yang 2019, Thm 3.10);
        positions count as examples.
        """
        if self.norm == "batch":
            factor = [batch_norm_relu_gain(self.batch * f.side**2) / KAPPA if self.rectified else 1.0 for f in fields]
            means = [mean_of([field]) for field in fields]
            scales = [float(f.square.mean()) - mean**2 for f, mean in zip(fields, means, strict=True)]
        else:
            factor, means = [1.0] * len(fields), [mean_of(fields)] * len(fields)
            scales = [mean_square(fields) - means[0] ** 2] * len(fields)
        return [
            self._scaled(field, mean, scale + EPSILON, by)
            for field, mean, scale, by in zip(fields, means, scales, factor, strict=True)
        ]

    def _scaled(self, field: Values, mean: float, scale: float, factor: float) -> Values:
        centred = abs(mean) < 1e-9  # up to rounding
        variance = field.variance / scale if field.variance is not None and centred else None
        result = Values(field.channels, field.side, (field.values - mean) / math.sqrt(scale), field.shares, variance)
        if field.shared is not None:
            result.shared = field.shared / np.float32(scale)

        def note() -> None:
            field.gradient += factor * result.gradient / scale

        self.notes.append(note)
        return result

    def activate(self, fields: Fields) -> list[Values]:
        """The activation, value by value."""
        results = []
        for field in fields:
            result = Values(field.channels, field.side, self.function(field.values), field.shares)
            result.shared = None if field.shared is None else self._response(field, field.shared)
            results.append(result)

        def note() -> None:
            for field, result in zip(fields, results, strict=True):
                field.gradient += result.gradient * self.slope(field.values) ** 2

        self.notes.append(note)
        return results

    def _response(self, field: Values, shared: Array) -> Array:
        """Covariance of two examples behind the activation, to second order in that before it: E[φ′]² c + E[φ″]² c²/2.

        E[φ″] by Stein's lemma, which holds for normal values; for others the first order has to do.
        """
        first = field.over(self.slope(field.values)).astype(np.float32)
        result = first[:, :, None, None] * first * shared
        if field.variance is not None:
            curved = self.function(field.values) * (field.values**2 / field.variance - 1)
            second = (field.over(curved) / field.variance).astype(np.float32)
            result += 0.5 * second[:, :, None, None] * second * shared**2
        return result

    def largest(self, field: Values, size: int) -> Values:
        """The largest of size × size neighbours that are independent of each other (they are, behind batch norm)."""
        shares = np.diff(np.concatenate([[0.0], np.cumsum(SHARES)]) ** size**2)
        variance = self.positions.blocks(field.spread(), size)
        result = Values(field.channels, field.side // size, NODES[:, None, None] * np.sqrt(variance), shares)
        return self._pooled(field, result, size, size**2)

    def average(self, field: Values, size: int) -> Values:
        """The mean of size × size neighbours that are independent of each other, but for the channel's own mean."""
        variance = self.positions.blocks(field.spread(), size) / size**2
        result = Values.normal(field.channels, field.side // size, variance, field.offset)
        return self._pooled(field, result, size, size**4)

    def _pooled(self, field: Values, result: Values, size: int, parts: int) -> Values:
        if field.shared is not None:
            result.shared = self.positions.pair_blocks(field.shared, size)

        def note() -> None:
            field.gradient += self.positions.handed_down(result.felt() / parts, size, field.values.shape[-1])

        self.notes.append(note)
        return result

    def every(self, fields: Fields, stride: int, extra: int) -> list[Values]:
        """Every stride-th position, and `extra` channels of zeros (shortcut A)."""
        uniform = self.positions.uniform
        step, side = slice(None, None, 1 if uniform else stride), -(-fields[0].side // stride)
        kept = []
        for field in fields:
            variance = None if field.variance is None else field.variance[step, step]
            values = field.values[:, step, step]
            kept.append(Values(field.channels, side, values, field.shares, variance, field.offset))
        nothing = np.zeros(kept[0].values.shape[1:])

        def note() -> None:
            for field, part in zip(fields, kept, strict=True):
                field.gradient[:, step, step] += part.gradient / (stride**2 if uniform else 1)

        self.notes.append(note)
        return [*kept, Values(extra, side, nothing[None], np.ones(1), nothing)]

    def add(self, branch: Values, shortcut: Fields) -> list[Values]:
        """The sum of two independent ways; from here on single values are followed.

        What comes back along the shortcut belongs to the value that it came from. That is what makes the stream more
        than its mean square: where it is far from zero, a rectifier lets the gradient through again and again.
        """
        followed = [self.follow(field) for field in shortcut]
        size, results = np.sqrt(branch.spread()), []
        for field in followed:
            values = field.values + size * self._normal(size.shape)
            results.append(
                Values(field.channels, field.side, values, _even(values), offset=field.offset + branch.offset)
            )

        def note() -> None:
            channels = sum(result.channels for result in results)
            branch.gradient += sum(result.channels * result.felt() for result in results) / channels
            for field, result in zip(followed, results, strict=True):
                field.gradient += result.gradient

        self.notes.append(note)
        return results

    def follow(self, field: Values) -> Values:
        """A field as single values, equally likely, which a stream needs."""
        if field.variance is None:
            return field
        values = np.sqrt(field.variance) * self._normal(field.variance.shape)
        result = Values(field.channels, field.side, values, _even(values), offset=field.offset)

        def note() -> None:
            field.gradient += result.felt()

        self.notes.append(note)
        return result

    def _normal(self, shape: tuple[int, ...]) -> Array:
        """Standard normal values (M, n, n), at each position the same ones in another order."""
        self._count = self._count or max(64, UNITS // math.prod(shape))
        ordered = quantiles(self._count)[:, None, None]
        return self._draws.permuted(np.broadcast_to(ordered, (self._count, *shape)), axis=0)


def _even(values: Array) -> Array:
    return np.full(len(values), 1 / len(values))
