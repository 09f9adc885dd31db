"""The reductions in C, for float32 tensors in the machine's memory: each reads a tensor once.

No address is taken on trust: every tensor and every buffer is checked in the call that reads or writes it.
"""

import ctypes
from array import array

import torch
from torch import Tensor

from labapp.recording.kernels.memory import beside, dense, readable, same_shape

MAX_THREADS = 64


def buffer(tensor: Tensor | int, size: int, dtype: torch.dtype) -> int:
    """The address of a buffer that a kernel writes to; ValueError where it does not have that size and dtype.

    A whole number is an address that its owner has checked, once for all calls, and keeps alive.
    """
    if isinstance(tensor, int):
        return tensor
    if tensor.numel() != size or tensor.dtype is not dtype or not tensor.is_contiguous() or not readable(tensor):
        raise ValueError(f"a contiguous buffer of {size} {dtype} is needed, not {tuple(tensor.shape)} {tensor.dtype}")
    return tensor.data_ptr()


class Compiled:
    """Each method adds to `out`, a contiguous (4,) float64 tensor, and raises ValueError for what it cannot read.

    `out` may be the address of such a buffer; `checked` says that the caller has asked `takes` in this very call.
    """

    def __init__(self, found: ctypes.CDLL) -> None:
        self.threads = min(torch.get_num_threads(), MAX_THREADS)
        self._flat, self._planes, self._columns = found.labapp_flat, found.labapp_planes, found.labapp_columns
        self._inner, self._crossed = found.labapp_inner, found.labapp_crossed
        self._exponents, self._norms = found.labapp_exponents, found.labapp_norms

    @staticmethod
    def takes(tensor: Tensor) -> bool:
        """Whether this implementation can read the tensor."""
        return tensor.dtype is torch.float32 and readable(tensor)

    def _check(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            if not self.takes(tensor):
                raise ValueError(f"float32 values in the machine's memory are needed, not {type(tensor).__name__}")

    def moments(self, tensor: Tensor, axis: int, out: Tensor, alive: Tensor) -> None:
        """Adds Σx, Σx², the positive and the non-finite values; sets alive[c] where channel c has a positive value.

        `alive` are (C,) uint8, C the size of `axis`.
        """
        self._check(tensor)
        channels = tensor.shape[axis]
        self.by_channel(tensor, axis, buffer(out, 4, torch.float64), buffer(alive, channels, torch.uint8))

    def by_channel(self, tensor: Tensor, axis: int, out: int, alive: int) -> None:
        """The same into addresses, where `takes` has just been asked: a call that runs often."""
        numel, shape = tensor.numel(), tensor.shape
        if not numel:
            return
        axis %= len(shape)
        channels = shape[axis]
        if axis == 1 and len(shape) > 2 and tensor.is_contiguous():
            n = shape[0]
            self._planes(tensor.data_ptr(), n, channels, numel // (n * channels), out, alive, self.threads)
            return
        if not (axis == 1 and len(shape) == 4 and tensor.is_contiguous(memory_format=torch.channels_last)):
            if axis != len(shape) - 1:
                tensor = tensor.detach().movedim(axis, -1)
            if not tensor.is_contiguous():
                tensor = tensor.detach().contiguous()
        self._columns(tensor.data_ptr(), numel // channels, channels, out, alive, self.threads)

    def energy(self, tensor: Tensor, out: Tensor) -> None:
        """Adds Σx, Σx², the number of positive and of non-finite values, in whatever order they lie in memory."""
        self._check(tensor)
        self.flat(tensor, buffer(out, 4, torch.float64), True)

    def square(self, tensor: Tensor, out: Tensor) -> None:
        """The same without Σx and the positive values, where only a norm is wanted: faster."""
        self._check(tensor)
        self.flat(tensor, buffer(out, 4, torch.float64), False)

    def flat(self, tensor: Tensor, out: int, full: bool) -> None:
        """Either of them, into an address, where `takes` has just been asked: the call that runs most."""
        values = tensor if tensor.is_contiguous() else dense(tensor)
        self._flat(values.data_ptr(), values.numel(), full, out, self.threads)

    def inner(self, a: Tensor, b: Tensor, out: Tensor | int, checked: bool = False) -> None:
        """Adds ⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩ and the number of non-finite values of b; memory formats may differ."""
        if not checked:
            self._check(a, b)
        same_shape(a, b)
        target = buffer(out, 4, torch.float64)
        if a.dim() == 4 and a.numel():
            n, c, h, w = a.shape
            first, second = a.is_contiguous(), b.is_contiguous()
            if first != second:
                planes, pixels = (a, b) if first else (b, a)
                if pixels.is_contiguous(memory_format=torch.channels_last):
                    self._crossed(planes.data_ptr(), pixels.data_ptr(), n, c, h * w, second, target, self.threads)
                    return
        a = dense(a)
        b = beside(a, b)
        self._inner(a.data_ptr(), b.data_ptr(), a.numel(), target, self.threads)

    def norms(
        self, tensors: list[Tensor], before: list[Tensor] | None = None, checked: bool = False
    ) -> tuple[Tensor, Tensor]:
        """(n,) 2-norms in float64: of the tensors; or of what they were before, and of what was added since."""
        if not checked:
            self._check(*tensors, *(before or []))
        now = [t if t.is_contiguous() else dense(t) for t in tensors]
        old: list[Tensor] = []
        if before is not None:
            for tensor, earlier in zip(now, before, strict=True):
                if tensor.shape != earlier.shape:
                    same_shape(tensor, earlier)
                old.append(beside(tensor, earlier))
        out = torch.empty(len(now), 2, dtype=torch.float64, device="cpu")
        addresses, earlier_ones = (array("q", [t.data_ptr() for t in ts]) for ts in (now, old))
        sizes = array("q", [t.numel() for t in now])
        pointers = (addresses.buffer_info()[0], earlier_ones.buffer_info()[0] if old else None, sizes.buffer_info()[0])
        self._norms(*pointers, len(now), out.data_ptr(), self.threads)
        return out[:, 0], out[:, 1]

    def exponents(self, tensor: Tensor, out: Tensor, checked: bool = False) -> None:
        """Adds the counts of float32 exponents to (256,) int64."""
        if not checked:
            self._check(tensor)
        values = dense(tensor)
        self._exponents(values.data_ptr(), values.numel(), buffer(out, 256, torch.int64), self.threads)
