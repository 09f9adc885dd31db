"""What do the entries of a tensor see of the image, from which function made it of what?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from labapp.diagnostics.measuring import cuts, windows
from labapp.diagnostics.measuring.calls import Call, argument, axes_of
from labapp.diagnostics.measuring.lines import binned
from labapp.diagnostics.measuring.sights import Factor, Sight, elementwise

Rule = Callable[[Sight, Call], Sight | None]

POOLS = ("max_pool", "avg_pool", "lp_pool")
REGROUP = ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as", "ravel")
REDUCE = (
    *("mean", "sum", "amax", "amin", "max", "min", "var", "std", "norm", "logsumexp", "prod", "median", "var_mean"),
    *("argmax", "argmin", "any", "all", "nanmean"),
)
# functions whose every entry reads all of an axis, and those whose every entry may read all there is
ALONG = ("softmax", "log_softmax", "softmin", "cumsum", "cumprod", "sort")
MIXING = (
    *("fft_", "einsum", "grid_sampl", "lstm", "gru", "rnn", "tensordot", "cdist", "addmm", "baddbmm", "bilinear"),
    *("gather", "index", "scatter", "take"),
)
ATTENTIONS = {"scaled_dot_product_attention": -2, "multi_head_attention_forward": 0}  # the axis of what is attended
PRODUCTS = ("matmul", "__matmul__", "__rmatmul__", "bmm", "mm")
CUTS = ("chunk", "split", "split_with_sizes", "tensor_split", "unsafe_chunk", "unsafe_split")


def seen(
    name: str, number: int, made: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any], views: dict[int, Sight]
) -> Sight:
    """The view of a function's output.

    Args:
        name: Of the function.
        number: Which of its outputs.
        made: That output.
        args: What it was given.
        kwargs: The same.
        views: Those of the tensors it was given, by their id; at least one.
    """
    given = [view for view in (views.get(id(each)) for each in _flat((*args, *kwargs.values()))) if view is not None]
    first = args[0] if args else next(iter(kwargs.values()))
    view = views.get(id(first)) if isinstance(first, Tensor) else None
    found: Sight | None = None
    if name in ("cat", "concat", "concatenate", "stack"):
        found = _together(name, given, made, args, kwargs)
    elif name in PRODUCTS:
        pair = args[::-1] if name == "__rmatmul__" else args
        found = _product(*(views.get(id(factor)) for factor in pair[:2]))
    elif name in ATTENTIONS:
        found = given[0]
        for other in given[1:]:
            found = found.beside(other, (ATTENTIONS[name],))
    elif view is not None:
        found = _of_one(name, view, (number, made, args, kwargs))
        for other in given:
            if found is not None and other is not view:  # weights that depend on the image
                found = found.beside(other, range(len(other.axes)))
    shape = tuple(made.shape)
    if found is not None and len(found.axes) == len(shape):
        return found.plain(shape)
    if name.startswith(MIXING) or not all(_broadcasts(each.shape, shape) for each in given):
        whole = given[0]
        same = whole.shape == shape
        mixed = whole.joined(range(len(shape)), kept=True) if same else whole.mixed(shape)
        for other in given[1:]:
            mixed = mixed.beside(other, range(len(other.axes)))
        return mixed
    return elementwise(given, shape)


def _broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    return len(shape) <= len(to) and all(a in (1, b) for a, b in zip(shape[::-1], to[::-1], strict=False))


def _flat(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found += _flat(value) if isinstance(value, tuple | list) else [value]
    return found


def _of_one(name: str, view: Sight, call: Call) -> Sight | None:
    """Behind a function of one tensor; None where no rule says."""
    _, made, args, _ = call
    rule = RULES.get(name)
    if rule is not None:
        return rule(view, call)
    if name.startswith("conv") and name[4:5].isdigit():
        return windows.convolution(view, call)
    if name.startswith("conv_transpose"):
        return windows.transposed_convolution(view, call)
    if "adaptive" in name:
        for at in windows.last_axes(view, name):
            view = view.read(at, binned(view.shape[at], made.shape[at]), made.shape[at])
        return view
    if any(pool in name for pool in POOLS):
        return windows.pooled_windows(name, view, call)
    if name in REGROUP:
        return view.regrouped(made.shape)
    if name in REDUCE and not (len(args) > 1 and isinstance(args[1], Tensor)):
        return cuts.reduced(view, call)
    if name in ALONG:
        return view.joined(axes_of(view, argument(call, 1, "dim", -1)), kept=True)
    return cuts.cut(view, call) if name in CUTS else None


def _linear(view: Sight, call: Call) -> Sight:
    at = len(view.axes) - 1
    return view.joined([at]).with_axis(at, (Factor(call[1].shape[-1]),))


def _product(left: Sight | None, right: Sight | None) -> Sight | None:
    if left is not None and right is not None:
        inside = left.joined([len(left.axes) - 1])
        return inside.beside(right, (-2, -1)) if len(right.axes) > 1 else inside
    if left is not None:
        return left.joined([len(left.axes) - 1])
    return right.joined([max(len(right.axes) - 2, 0)]) if right is not None else None


def _together(name: str, given: list[Sight], made: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sight:
    dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    at = dim % made.dim()
    if name == "stack":
        given = [view._replace(axes=(*view.axes[:at], (Factor(1),), *view.axes[at:])) for view in given]
    # along the axis of the pieces positions are those of one piece or another
    given = [view.joined([at]) for view in given]
    result = given[0]
    for view in given[1:]:
        result = result.beside(view)
    return result.with_axis(at, (Factor(made.shape[at]),))


RULES: dict[str, Rule] = {
    "interpolate": windows.interpolated,
    "upsample": windows.interpolated,
    "pixel_shuffle": windows.shuffled,
    "pixel_unshuffle": windows.unshuffled,
    "pad": windows.padded,
    "permute": cuts.permuted,
    "transpose": cuts.transposed,
    "swapaxes": cuts.transposed,
    "swapdims": cuts.transposed,
    "t": cuts.transposed,
    "T": lambda view, call: view.moved(reversed(range(len(view.axes)))),
    "mT": cuts.transposed,
    "movedim": cuts.moved_axes,
    "moveaxis": cuts.moved_axes,
    "__getitem__": cuts.item,
    "select": cuts.selected,
    "narrow": cuts.narrowed,
    "unbind": cuts.unbound,
    "flip": cuts.turned,
    "roll": cuts.rolled,
    "repeat_interleave": windows.repeated_each,
    "linear": _linear,
}
