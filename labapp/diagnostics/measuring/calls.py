"""What was a function given: its arguments by place or name, its options for each axis?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from labapp.diagnostics.measuring.sights import Sight

Call = tuple[
    int, Tensor, tuple[Any, ...], dict[str, Any]
]  # which output of the function, that output, and what the function was given


def argument(call: Call, at: int, name: str, default: Any) -> Any:
    """An argument of the call, by its place or its name."""
    _, _, args, kwargs = call
    return args[at] if len(args) > at else kwargs.get(name, default)


def for_each(value: Any, count: int) -> list[int]:
    """An option for each axis."""
    values = list(value) if isinstance(value, tuple | list | torch.Size) else [value]
    return [int(each) for each in (values * count if len(values) == 1 else values)]


def axes_of(view: Sight, dims: Any) -> list[int]:
    """Axes named in any of torch's ways, counted from the first; None stands for all."""
    several = dims if isinstance(dims, tuple | list) else range(len(view.axes)) if dims is None else [dims]
    return [dim % len(view.axes) for dim in several]


def shifted(view: Sight, at: int, by: int, size: int, step: int = 1) -> Sight:
    """Behind a cut along an axis: `size` positions, every `step`-th, the first of which was number `by`."""
    return view.read(at, (lambda position: (position * step + by,), 1, step), size)
