"""One pass over a tensor in a GPU's memory, in one launch: the sums that torch would take some six launches for.

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
    """The kernels, compiled when they are first used on a kind of tensor. What they find is added to zeros in `out`."""

    def __init__(self) -> None:
        from labapp.recording.kernels import triton_kernels

        self._sums: Any = triton_kernels.sums
        self._inner: Any = triton_kernels.inner
        self._exponents: Any = triton_kernels.exponents

    def sums(self, tensor: Tensor, out: Tensor) -> None:
        """(4,) Σx, Σx², the number of positive and of non-finite values."""
        self._launch(dense(tensor), out, out, 1, 1, False)

    def by_channel(self, tensor: Tensor, axis: int, out: Tensor, alive: Tensor) -> None:
        """The same, and ones in (C,) `alive` for the channels that have a positive value."""
        values = dense(tensor)
        channels = values.shape[axis]
        self._launch(values, out, alive, 1 if channels == 1 else values.stride(axis), channels, True)

    def _launch(self, values: Tensor, found: Tensor, alive: Tensor, stride: int, channels: int, marked: bool) -> None:
        count = values.numel()
        if count:
            self._sums[(math.ceil(count / BLOCK),)](values, found, alive, count, stride, channels, BLOCK, marked)

    def inner(self, a: Tensor, b: Tensor, out: Tensor) -> None:
        """(4,) ⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩ and the number of non-finite values of b, of tensors of one shape."""
        a = dense(a)
        b = beside(a, b)
        if a.numel():
            self._inner[(math.ceil(a.numel() / BLOCK),)](a, b, out, a.numel(), BLOCK)

    def exponents(self, tensor: Tensor, out: Tensor) -> None:
        """(256,) counts of float32 exponents, in int64."""
        values = dense(tensor)
        if values.numel():
            self._exponents[(math.ceil(values.numel() / BLOCK),)](values, out, values.numel(), BLOCK)


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
    return working(first.device.index)


@functools.lru_cache
def working(index: int) -> Reductions | None:
    """The kernels for a device, after a try; whatever is wrong with them is a reason to do without."""
    try:
        with torch.cuda.device(index):
            kernels = Reductions()
            values = torch.tensor([[1.0, -2.0], [math.inf, math.nan]], device=f"cuda:{index}")
            out = torch.zeros(14, dtype=torch.float64, device=values.device)
            kernels.by_channel(values[:1], 1, out[:4], out[4:6])
            kernels.sums(values, out[6:10])
            kernels.inner(values[:1], values[:1], out[10:])
            counts = torch.zeros(256, dtype=torch.int64, device=values.device)
            kernels.exponents(values, counts)
            said = [*out[:6].tolist(), *out[8:].tolist(), *counts[[0, 127, 128, 255]].tolist()]
            right = [-1.0, 5.0, 1.0, 0.0, 1.0, 0.0, 2.0, 2.0, 5.0, 5.0, 5.0, 0.0, 0, 1, 1, 2]
            return kernels if said == right else None
    except Exception:
        return None
