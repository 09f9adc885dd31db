"""What do a block's shortcut and branch add up to, and where does its own forward add them?

A block's parts are not its forward: a learnt factor on the branch (SkipInit, ReZero) stands in no module. So parts are
compared with what the block gives, and where they differ, the addition itself is looked for: the sum of the shortcut
and something else, which enters the block's last activation or leaves the block. That something is the branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from labapp.recording.hooks import Hooks

Modules = tuple[nn.Module, ...]
ADDITIONS = ("add", "__add__", "__radd__", "__iadd__", "add_")
ROUNDING = 64  # times eps: the same operations on the same values, maybe by another kernel


class ResidualParts(NamedTuple):
    """A residual block taken apart: activation(branch(shared(x)) + shortcut(shared(x)))."""

    shared: Modules
    branch: Modules
    shortcut: Modules
    activation: Modules

    def join(self, shared: Tensor, branch: Tensor | None = None) -> Tensor:
        """The block's output, from what branch and shortcut share, and what the branch gives; None stands for zero."""
        shortcut = through(self.shortcut, shared)
        return through(self.activation, shortcut if branch is None else branch + shortcut)

    def whole(self, x: Tensor) -> Tensor:
        """The block's output, put together from its parts."""
        shared = through(self.shared, x)
        return self.join(shared, through(self.branch, shared))


def through(modules: Sequence[nn.Module], x: Tensor) -> Tensor:
    """One module after the other; maps are flattened before a linear layer, as a net's own forward does."""
    for module in modules:
        if isinstance(module, nn.Linear) and x.ndim == 4:
            x = x.flatten(1)
        x = module(x)
    return x


def same(found: Tensor | None, expected: Tensor) -> bool:
    """Whether two ways to compute something gave the same, up to rounding; NaN equals NaN."""
    if found is None or found.shape != expected.shape:
        return False
    size = float(expected.abs().nan_to_num().max()) if expected.numel() else 0.0
    tolerance = min(ROUNDING * torch.finfo(expected.dtype).eps, 1e-2) * size
    return torch.allclose(found, expected, rtol=0, atol=tolerance, equal_nan=True)


def tried(run: Callable[[], Tensor]) -> Tensor | None:
    """What a composition of parts gives; None where they do not even follow one another."""
    try:
        return run()
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        return None


def checked_parts(block: nn.Module, parts: ResidualParts, x: Tensor) -> ResidualParts | None:
    """Parts that add up to what the block gives for x: those proposed, else those of its own addition, else None."""
    expected = block(x)
    if same(tried(lambda: parts.whole(x)), expected):
        return parts
    for activation in (parts.activation, ()):
        found = ResidualParts((), (_Added(block, parts.shortcut, activation),), parts.shortcut, activation)
        if same(tried(lambda found=found: found.whole(x)), expected):  # type: ignore[misc]
            return found
    return None


class _Added(nn.Module):
    """The branch of a block: what its forward adds to the shortcut."""

    def __init__(self, block: nn.Module, shortcut: Modules, activation: Modules) -> None:
        super().__init__()
        self._parts = (block, shortcut, activation)  # in a tuple, so that they do not become parts of this one

    def forward(self, x: Tensor) -> Tensor:
        block, shortcut, activation = self._parts
        beside: list[Tensor] = [x]
        entered: list[Tensor] = []
        with Hooks() as hooks, _Additions() as additions:
            if shortcut:
                hooks.after(shortcut[-1], lambda module, args, output: beside.__setitem__(0, output))
            if activation:
                hooks.before(activation[0], lambda module, args, kwargs: entered.append(args[0]))
            output = block(x)
        total = entered[-1] if activation else output
        for left, right, made in additions.found:
            if made is total and (left is beside[0]) != (right is beside[0]):
                return right if left is beside[0] else left
        raise ValueError("the block's forward does not end in its shortcut plus something")


class _Additions(TorchFunctionMode):
    """Notes every addition of two tensors, and keeps what was added from being overwritten by the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Tensor, Tensor, Tensor]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        plain = len(args) == 2 and not kwargs and all(isinstance(value, Tensor) for value in args)
        if func.__name__ not in ADDITIONS or not plain:
            return func(*args, **kwargs)
        left, right = args
        if func.__name__ == "add_":
            before = left.clone()
            made = func(left, right)
            self.found.append((before, right, made))
            return made
        made = left + right  # `a += b` binds the name to what is returned
        self.found.append((left, right, made))
        return made
