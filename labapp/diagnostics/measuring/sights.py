"""Along which axes of a tensor do the image's rows and columns lie, and what does each position there see?

A tensor may hold rows and columns anywhere: last in a map (N, C, H, W), before the channels in (N, H, W, C), both in
one axis of tokens (N, H·W, C), cut into windows. Its axes are therefore kept as products of factors, of which at
most one belongs to the rows and one to the columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from labapp.diagnostics.measuring.lines import Line

ROWS, COLUMNS = 0, 1


class Factor(NamedTuple):
    """A part of an axis: how many steps, and of which of the image's axes, if any."""

    size: int
    role: int | None = None


Axis = tuple[Factor, ...]


class Sight(NamedTuple):
    """What the entries of a tensor see of the image."""

    axes: tuple[Axis, ...]
    lines: tuple[Line, Line]

    @property
    def field(self) -> tuple[float, float]:
        """Pixels that an entry sees and the jump between neighbours, each along the axis where it is larger."""
        sizes = [self.lines[role].size(self.length(role)) for role in (ROWS, COLUMNS)]
        return max(sizes), max(line.jump for line in self.lines)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return tuple(math.prod(factor.size for factor in axis) for axis in self.axes)

    def place(self, role: int) -> int | None:
        """The axis of the tensor that holds the rows, or the columns."""
        return next((at for at, axis in enumerate(self.axes) for factor in axis if factor.role == role), None)

    def length(self, role: int) -> int:
        """Positions along the rows or columns; 1 where none are left."""
        return next((factor.size for axis in self.axes for factor in axis if factor.role == role), 1)

    def role(self, at: int) -> int | None:
        """What an axis holds, where it holds one thing alone."""
        return self.axes[at][0].role if len(self.axes[at]) == 1 else None

    def with_line(self, role: int, line: Line) -> Sight:
        """The same with another line."""
        return self._replace(lines=(line, self.lines[1]) if role == ROWS else (self.lines[0], line))

    def with_axis(self, at: int, axis: Axis) -> Sight:
        """The same with another axis."""
        return self._replace(axes=(*self.axes[:at], axis, *self.axes[at + 1 :]))

    def moved(self, order: Iterable[int]) -> Sight:
        """With the axes in another order; those left out are dropped."""
        return self._replace(axes=tuple(self.axes[at] for at in order))

    def plain(self, shape: Sequence[int]) -> Sight:
        """Of a tensor of another shape, whose axes hold rows and columns where they have their lengths."""
        view = self
        for at, size in enumerate(shape):
            if self.shape[at] != size:
                view = view.with_axis(at, (Factor(size, self.role(at)),))
        return view

    def read(self, at: int, taps: tuple[Any, ...], size: int) -> Sight:
        """Behind an operation along an axis, whose `size` new positions read old ones (see `Line.read`)."""
        role = self.role(at)
        view = self.joined([at]) if len(self.axes[at]) > 1 else self
        if role is not None:
            view = view.with_line(role, view.lines[role].read(*taps))
        return view.with_axis(at, (Factor(size, role),))

    def joined(self, which: Iterable[int], *, kept: bool = False) -> Sight:
        """Behind an operation in which every entry reads all entries along some axes; `kept`, one for each position."""
        view = self
        for at in which:
            for factor in self.axes[at]:
                if factor.role is not None:
                    line = view.lines[factor.role]
                    seen = line.everywhere(line.whole(factor.size)) if kept else line.joined(factor.size)
                    view = view.with_line(factor.role, seen)
            if not kept:
                view = view.with_axis(at, tuple(Factor(factor.size) for factor in self.axes[at]))
        return view

    def mixed(self, shape: Sequence[int]) -> Sight:
        """Behind an operation of which nothing is known: every entry sees what any has seen."""
        return Sight(tuple((Factor(size),) for size in shape), self.joined(range(len(self.axes))).lines)

    def beside(self, other: Sight, over: Iterable[int] = ()) -> Sight:
        """Of entries that also read another tensor: the same position of it, but all positions along `over`."""
        view, over = self, {at % len(other.axes) for at in over}
        for role in (ROWS, COLUMNS):
            place, length = other.place(role), other.length(role)
            # axes are counted from the last one, as in broadcasting
            here = None if place is None or place in over else place - len(other.axes) + len(self.axes)
            same = here is not None and self.place(role) == here and self.length(role) == length
            line = view.lines[role]
            seen = other.lines[role]
            view = view.with_line(role, line.beside(seen, length) if same else line.everywhere(seen.whole(length)))
        return view

    def regrouped(self, shape: Sequence[int]) -> Sight:
        """With the same entries in the same order and other axes."""
        view = self
        factors = [factor for axis in self.axes for factor in axis if factor != Factor(1)]
        axes: list[Axis] = []
        for size in shape:
            axis: list[Factor] = []
            while (missing := size // math.prod(factor.size for factor in axis)) > 1 or (
                factors and factors[0].size == 1
            ):
                if not factors:
                    return self.mixed(shape)
                factor = factors.pop(0)
                if factor.size > missing:
                    if factor.size % missing:
                        return self.mixed(shape)
                    inner = factor.size // missing
                    factors.insert(0, Factor(inner))
                    if factor.role is not None:  # a step of the outer part is a window of the inner one
                        line = view.lines[factor.role]
                        view = view.with_line(factor.role, line.joined(inner))
                    factor = Factor(missing, factor.role)
                elif missing % factor.size:
                    return self.mixed(shape)
                axis.append(factor)
            axes.append(tuple(axis) or (Factor(1),))
        view = view._replace(axes=tuple(axes))
        for at, grouped in enumerate(axes):
            view = view._merged(at, grouped)
        return view

    def _merged(self, at: int, axis: Axis) -> Sight:
        """With one factor where an axis has rows or columns first, and then steps that see the same."""
        if len(axis) < 2:
            return self
        role, inner = axis[0].role, math.prod(factor.size for factor in axis[1:])
        if all(factor.role is None for factor in axis):
            return self.with_axis(at, (Factor(math.prod(factor.size for factor in axis)),))
        if role is None or any(factor.role is not None for factor in axis[1:]):
            return self
        line = self.lines[role].read(lambda position: (position // inner,), inner)
        return self.with_line(role, line).with_axis(at, (Factor(axis[0].size * inner, role),))


def of_images(shape: Sequence[int]) -> Sight:
    """Of images (N, C, H, W)."""
    roles = (None, None, ROWS, COLUMNS)
    return Sight(tuple((Factor(size, role),) for size, role in zip(shape, roles, strict=True)), (Line(), Line()))


def elementwise(views: Sequence[Sight], shape: Sequence[int]) -> Sight:
    """Of a tensor each of whose entries reads one entry of each of several, broadcast."""
    axes: list[Axis] = []
    for at in range(-len(shape), 0):
        there = [view.axes[at] for view in views if len(view.axes) >= -at and view.shape[at] == shape[at]]
        held = [axis for axis in there if any(factor.role is not None for factor in axis)]
        axes.append((held or there or [(Factor(shape[at]),)])[0])
    first = max(views, key=lambda view: sum(view.place(role) is not None for role in (ROWS, COLUMNS)))
    result = Sight(tuple(axes), first.lines)
    for role in (ROWS, COLUMNS):  # a role whose axis comes from another tensor takes that one's line
        source = next((view for view in views if _holds(view, result, role)), first)
        result = result.with_line(role, source.lines[role])
    for view in views:
        result = result.beside(view)
    return result


def _holds(view: Sight, result: Sight, role: int) -> bool:
    place, wanted = view.place(role), result.place(role)
    if place is None or wanted is None:
        return False
    return place - len(view.axes) == wanted - len(result.axes) and view.length(role) == result.length(role)
