"""One pass over a tensor in a GPU's memory, in one launch: the sums that torch would take some fifteen launches for.

Where steps are short a GPU waits for launches, not for memory. Triton comes with torch for CUDA; where it is not
there, or does not work, `reductions` gives None and torch's own calls are used. Sums are float64.
"""

import functools
import math
from typing import Any

import torch
from torch import Tensor

from labapp.recording.kernels.memory import EXACT, beside, dense

BLOCK = 2048  # values a program; a few of them are added up by atomics
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class Reductions:
    """The kernels, compiled when they are first used on a kind of tensor."""

    def __init__(self) -> None:
        from labapp.recording.kernels import triton_kernels

        self._sums: Any = triton_kernels.sums
        self._inner: Any = triton_kernels.inner

    def sums(self, tensor: Tensor) -> Tensor:
        """(4,) Σx, Σx², the number of positive and of non-finite values."""
        values = dense(tensor)
        found = torch.zeros(4, dtype=torch.float64, device=tensor.device)
        self._launch(values, found, found, 1, 1, False)
        return found

    def by_channel(self, tensor: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """The same, and (C,) booleans: which channels have a positive value."""
        values = dense(tensor)
        found = torch.zeros(4, dtype=torch.float64, device=tensor.device)
        channels = values.shape[axis]
        alive = torch.zeros(channels, dtype=torch.bool, device=tensor.device)
        self._launch(values, found, alive, 1 if channels == 1 else values.stride(axis), channels, True)
        return found, alive

    def _launch(self, values: Tensor, found: Tensor, alive: Tensor, stride: int, channels: int, marked: bool) -> None:
        count = values.numel()
        if count:
            self._sums[(math.ceil(count / BLOCK),)](values, found, alive, count, stride, channels, BLOCK, marked)

    def inner(self, a: Tensor, b: Tensor) -> Tensor:
        """(4,) ⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩ and the number of non-finite values of b, of tensors of one shape."""
        a = dense(a)
        b = beside(a, b)
        found = torch.zeros(4, dtype=torch.float64, device=a.device)
        if a.numel():
            self._inner[(math.ceil(a.numel() / BLOCK),)](a, b, found, a.numel(), BLOCK)
        return found


def reductions(*tensors: Tensor) -> Reductions | None:
    """The kernels, if these tensors lie on one GPU and the kernels work on it; else None."""
    first = tensors[0]
    for tensor in tensors:
        if (
            not tensor.is_cuda
            or type(tensor) not in EXACT
            or tensor.dtype not in FLOATS
            or tensor.device != first.device
            or tensor.layout is not torch.strided
            or tensor.is_neg()
        ):
            return None
    return _working(first.device.index)


@functools.lru_cache
def _working(index: int) -> Reductions | None:
    """The kernels for a device, after a try; whatever is wrong with them is a reason to do without."""
    try:
        with torch.cuda.device(index):
            kernels = Reductions()
            values = torch.tensor([[1.0, -2.0], [math.inf, math.nan]], device=f"cuda:{index}")
            found, alive = kernels.by_channel(values[:1], 1)
            bad, both = kernels.sums(values), kernels.inner(values[:1], values[:1])
            said = [*found.tolist(), *alive.tolist(), *bad.tolist()[2:], *both.tolist()]
            return kernels if said == [-1.0, 5.0, 1.0, 0.0, True, False, 2.0, 2.0, 5.0, 5.0, 5.0, 0.0] else None
    except Exception:
        return None
