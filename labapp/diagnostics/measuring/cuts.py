"""What do positions see behind a function that orders, drops or cuts a tensor's axes?"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from labapp.diagnostics.measuring.calls import Call, argument, axes_of, for_each, shifted
from labapp.diagnostics.measuring.sights import Factor, Sight


def reduced(view: Sight, call: Call) -> Sight:
    """Behind a mean, a maximum or another sum over axes."""
    made = call[1]
    dims = axes_of(view, argument(call, 1, "dim", argument(call, 1, "axis", None)))
    view = view.joined(dims)
    if made.dim() == len(view.axes):
        return view
    return view.moved(at for at in range(len(view.axes)) if at not in dims)


def cut(view: Sight, call: Call) -> Sight:
    """Behind chunk and split: one of the pieces."""
    number, made, args, kwargs = call
    at = int(argument(call, 2, "dim", 0)) % len(view.axes)
    if view.role(at) is None:
        return view.joined([at]) if len(view.axes[at]) > 1 else view
    pieces = args[0].shape[at]
    sizes = args[1] if len(args) > 1 else next(iter(kwargs.values()))
    if isinstance(sizes, int):  # equal pieces; only the last is smaller
        begin = pieces - made.shape[at] if number and number * made.shape[at] + made.shape[at] > pieces else None
        begin = number * made.shape[at] if begin is None else begin
    else:
        begin = [0, *accumulate(sizes)][number]
    return shifted(view, at, begin, made.shape[at])


def permuted(view: Sight, call: Call) -> Sight:
    """Behind permute."""
    dims = call[2][1:] or call[3].get("dims", ())
    return view.moved(axes_of(view, dims[0] if len(dims) == 1 and isinstance(dims[0], tuple | list) else list(dims)))


def transposed(view: Sight, call: Call) -> Sight:
    """Behind transpose."""
    order = list(range(len(view.axes)))
    a, b = int(argument(call, 1, "dim0", -2)), int(argument(call, 2, "dim1", -1))
    order[a], order[b] = order[b], order[a]
    return view.moved(order)


def moved_axes(view: Sight, call: Call) -> Sight:
    """Behind movedim."""
    source, target = (axes_of(view, argument(call, at, name, 0)) for at, name in ((1, "source"), (2, "destination")))
    order = [at for at in range(len(view.axes)) if at not in source]
    for end, start in sorted(zip(target, source, strict=True)):
        order.insert(end, start)
    return view.moved(order)


def item(view: Sight, call: Call) -> Sight | None:
    """Behind x[…]; None where a list or a tensor says which."""
    args = call[2]
    index = args[1] if isinstance(args[1], tuple) else (args[1],)
    if any(not isinstance(each, int | slice | type(None) | type(Ellipsis)) or isinstance(each, bool) for each in index):
        return None  # by a list or a tensor
    taken = sum(isinstance(each, int | slice) for each in index)
    full = len(view.axes) - taken
    words: list[Any] = []
    for each in index:
        words += [slice(None)] * full if each is Ellipsis else [each]
    words += [slice(None)] * (len(view.axes) + sum(each is None for each in words) - len(words))
    at = 0
    sizes = view.shape
    new: list[int | None] = []
    for each in words:
        if each is None:
            new.append(None)
            continue
        if isinstance(each, int):
            view = shifted(view, at, each % sizes[at], 1) if view.role(at) is not None else view.joined([at])
        else:
            start, stop, step = each.indices(sizes[at])
            if (start, step) != (0, 1) or stop < sizes[at]:
                view = shifted(view, at, start, len(range(start, stop, step)), step)
            new.append(at)
        at += 1
    axes = [(Factor(1),) if place is None else view.axes[place] for place in new]
    return view._replace(axes=tuple(axes))


def selected(view: Sight, call: Call) -> Sight:
    """Behind select."""
    at = int(argument(call, 1, "dim", 0)) % len(view.axes)
    index = int(argument(call, 2, "index", 0)) % view.shape[at]
    view = shifted(view, at, index, 1) if view.role(at) is not None else view.joined([at])
    return view.moved(other for other in range(len(view.axes)) if other != at)


def narrowed(view: Sight, call: Call) -> Sight:
    """Behind narrow."""
    at = int(argument(call, 1, "dim", 0)) % len(view.axes)
    return shifted(view, at, int(argument(call, 2, "start", 0)) % view.shape[at], call[1].shape[at])


def unbound(view: Sight, call: Call) -> Sight:
    """Behind unbind: one of the pieces."""
    at = int(argument(call, 1, "dim", 0)) % len(view.axes)
    view = shifted(view, at, call[0], 1) if view.role(at) is not None else view.joined([at])
    return view.moved(other for other in range(len(view.axes)) if other != at)


def turned(view: Sight, call: Call) -> Sight:
    """Behind flip."""
    dims = call[2][1:] or (call[3].get("dims", ()),)
    for at in axes_of(view, dims[0] if isinstance(dims[0], tuple | list) else list(dims)):
        last = view.shape[at] - 1
        view = view.read(at, (lambda position, last=last: (last - position,), 1, -1), last + 1)
    return view


def rolled(view: Sight, call: Call) -> Sight:
    """Behind roll; what comes in on the other side is taken for what lies beyond the border, as in circular padding."""
    shifts, dims = argument(call, 1, "shifts", 0), argument(call, 2, "dims", None)
    if dims is None or dims == ():
        return view.joined(range(len(view.axes)), kept=True)
    for by, at in zip(for_each(shifts, 1), axes_of(view, dims), strict=True):
        view = shifted(view, at, -by, view.shape[at])
    return view
