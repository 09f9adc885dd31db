"""What do the positions along one axis of a map see of the image's axis?

Position i of a map sees the pixels from low(i) to high(i). Behind a stride and an upsampling these ends are no straight
lines, but they repeat: position i + P sees what i sees, a number of pixels further on. So a line is what its first P
positions see, and how far a period leads; every convolution, pooling, resizing and slice is again such a line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import NamedTuple

Taps = Callable[[int], Iterable[int]]  # a position -> the positions before that it reads


class Line(NamedTuple):
    """What the positions along an axis see, in pixels; also beyond the border."""

    seen: tuple[tuple[int, int], ...] = ((0, 0),)  # the first and last pixel, of each position of one period
    period: int = 1  # how many pixels further a position one period on sees
    fixed: tuple[int, int] | None = None  # what every position sees besides: a gate's, an attention's view

    @property
    def jump(self) -> float:
        """Pixels between what neighbouring positions see."""
        return abs(self.period) / len(self.seen)

    def at(self, position: int) -> tuple[int, int]:
        """The first and last pixel that a position sees, but for what all see."""
        periods, rest = divmod(position, len(self.seen))
        low, high = self.seen[rest]
        return low + periods * self.period, high + periods * self.period

    def size(self, length: int) -> int:
        """Pixels that one of `length` positions sees, at most."""
        count = min(length, len(self.seen)) if self.fixed is None else length
        return max(high - low + 1 for low, high in (_hull(self.at(i), self.fixed) for i in range(max(count, 1))))

    def whole(self, length: int) -> tuple[int, int]:
        """The first and last pixel that any of `length` positions sees."""
        return _hull(*(self.at(i) for i in range(length)), self.fixed)

    def read(self, taps: Taps, repeat: int = 1, advance: int = 1) -> Line:
        """The line of a map whose position reads positions of this one.

        Args:
            taps: Which positions it reads; of `repeat` positions further on these are `advance` further on.
            repeat: See taps.
            advance: See taps; below 0 where the axis is turned round.
        """
        rounds = len(self.seen) // math.gcd(len(self.seen), abs(advance))  # until both periods end together
        seen = []
        for position in range(repeat * rounds):
            ends = [self.at(tap) for tap in taps(position)]
            seen.append(_hull(*ends) if ends else self.at(advance * position // repeat))  # a gap of a wide stride
        period = self.period * rounds * advance // len(self.seen)
        return Line(tuple(seen), period, self.fixed)._shortest()

    def shifted(self, by: int) -> Line:
        """The line of a map that begins `by` positions later."""
        return self.read(lambda position: (position + by,))

    def joined(self, length: int) -> Line:
        """The line of a map whose one position reads all of these."""
        return self.read(lambda position: range(position * length, (position + 1) * length), advance=length)

    def beside(self, other: Line, length: int) -> Line:
        """What positions see that read both the same position of this line and of another, of `length` positions."""
        fixed = _hull(self.fixed, other.fixed) if self.fixed or other.fixed else None
        if Fraction(self.period, len(self.seen)) != Fraction(other.period, len(other.seen)):
            return Line(self.seen, self.period, _hull(fixed, other.whole(length)))
        count = math.lcm(len(self.seen), len(other.seen))
        seen = tuple(_hull(self.at(i), other.at(i)) for i in range(count))
        return Line(seen, self.period * count // len(self.seen), fixed)._shortest()

    def everywhere(self, view: tuple[int, int]) -> Line:
        """The line of positions that all see some pixels besides."""
        return self._replace(fixed=_hull(self.fixed, view))

    def _shortest(self) -> Line:
        """The same with the shortest period."""
        count = len(self.seen)
        for length in range(1, count):
            if count % length or self.period * length % count:
                continue
            short = Line(self.seen[:length], self.period * length // count, self.fixed)
            if all(short.at(i) == self.seen[i] for i in range(count)):
                return short
        return self


def _hull(*views: tuple[int, int] | None) -> tuple[int, int]:
    known = [view for view in views if view is not None]
    return min(low for low, _ in known), max(high for _, high in known)


def resized(before: int, after: int, mode: str, aligned: bool, antialiased: bool) -> tuple[Taps, int, int]:
    """Which positions an interpolation from `before` to `after` positions reads, with `repeat` and `advance`."""
    if mode == "area":
        return binned(before, after)
    common = math.gcd(before, after)
    repeat, advance = after // common, before // common
    if aligned and after > 1 and mode in ("linear", "bilinear", "bicubic", "trilinear"):
        common = math.gcd(before - 1, after - 1) or 1
        repeat, advance = (after - 1) // common, (before - 1) // common

        def source(position: int) -> Fraction:
            return Fraction(position * (before - 1), after - 1)
    else:

        def source(position: int) -> Fraction:
            return Fraction((2 * position + 1) * before, 2 * after) - Fraction(1, 2)

    if mode == "nearest":
        return lambda position: (position * before // after,), repeat, advance
    if mode == "nearest-exact":
        return lambda position: (math.floor(source(position) + Fraction(1, 2)),), repeat, advance
    reach = 2 if mode == "bicubic" else 1
    width = reach * max(Fraction(before, after), Fraction(1)) if antialiased else Fraction(reach)

    def taps(position: int) -> range:  # those nearer than the kernel is wide, at whose ends it is 0
        return range(math.floor(source(position) - width) + 1, math.ceil(source(position) + width))

    return taps, repeat, advance


def binned(before: int, after: int) -> tuple[Taps, int, int]:
    """Which positions an adaptive pooling from `before` to `after` positions reads."""
    common = math.gcd(before, after)

    def taps(position: int) -> range:
        return range(position * before // after, -(-(position + 1) * before // after))

    return taps, after // common, before // common
