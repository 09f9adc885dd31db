"""The reductions of tensors on a device, in as few launches as torch has, each written to a slot of its buffer.

Short steps wait for launches there, so each number is written where it will be read (``out=``), what the host can do is
left to the host (squares, sums over channels), and norms of many tensors are taken together. One Triton launch a tensor
where that works (`on_gpu`). Nothing here makes a device wait: no value is read, no mask is written by, and no shape
depends on one.

All sums are float64. On MPS, which has nothing wider than float32, those from which a variance is taken are about the
mean, and the host adds that in float64.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from labapp.recording.kernels.memory import beside, dense, same_shape
from labapp.recording.kernels.on_gpu import reductions, working
from labapp.recording.kernels.slots import Buffers, DeviceBuffer, Slot, Written

CHUNK = 1 << 22  # values widened at a time
EXACT = (torch.float32, torch.float64)


# What the host reads: the four sums Σx, Σx², the number of positive and of non-finite values.


def _sums(found: np.ndarray) -> np.ndarray:
    return found[:4]


def _marks(found: np.ndarray, first: int) -> np.ndarray:
    return (found[first:] > 0).astype(np.uint8)


def _counted(found: np.ndarray) -> np.ndarray:
    """Of Σx, ‖x‖, the non-finite values and the positive ones of each channel."""
    wide = found.astype(np.float64)
    return np.array([wide[0], wide[1] ** 2, wide[3:].sum(), wide[2]])


def _about_the_mean(found: np.ndarray, count: int) -> np.ndarray:
    """Of the same of x − c and, last, of c: float32 sums lose nothing of the variance, float64 ones nothing of c."""
    c, away = float(found[-1]), _counted(found[:-1])
    with np.errstate(all="ignore"):  # NaN and Inf are data
        return np.array([count * c + away[0], count * c * c + 2 * c * away[0] + away[1], away[2], away[3]])


def _norm(found: np.ndarray) -> np.ndarray:
    wide = found.astype(np.float64)
    return np.array([0.0, wide[0] ** 2, 0.0, wide[1]])


def _products(found: np.ndarray) -> np.ndarray:
    """Of ‖a‖, ‖b‖, the non-finite values of b and the parts of ⟨a,b⟩."""
    wide = found.astype(np.float64)
    return np.array([wide[3:].sum(), wide[0] ** 2, wide[1] ** 2, wide[2]])


def of_second(products: Written) -> Written:
    """The sums of b alone, of what `Launches.inner` took of a and b."""

    def read(found: np.ndarray) -> np.ndarray:
        _, _, square, bad = products.read(found)
        return np.array([0.0, square, 0.0, bad])

    return Written(products.slot, read)


def _as_they_are(found: np.ndarray) -> np.ndarray:
    return found


class Launches:
    """Takes numbers of tensors on devices; they can be read when `buffers` have landed."""

    def __init__(self) -> None:
        self.buffers = Buffers()
        self._one: dict[torch.device, Tensor] = {}

    def prepare(self, tensors: Sequence[Tensor]) -> None:
        """Tries the kernels of each device before a step is recorded, since a try waits for its result."""
        for device in {tensor.device for tensor in tensors if tensor.is_cuda}:
            working(device.index)

    def at_once(self, tensor: Tensor) -> bool:
        """Whether one launch takes the squares of this tensor alone, so that nothing is gained by more together."""
        return reductions(tensor) is not None

    def moments(self, tensor: Tensor, axis: int) -> tuple[Written, Written]:
        """The four sums, and (C,) bytes: which channels along an axis have a positive value."""
        tensor = tensor.detach()
        buffer, channels = self.buffers.of(tensor.device), tensor.shape[axis]
        if gpu := reductions(tensor):
            slot, out = buffer.take(4 + channels)
            gpu.by_channel(tensor, axis, out[:4], out[4:])
            return Written(slot, _sums), Written(slot, partial(_marks, first=4))
        others = [d for d in range(tensor.dim()) if d != axis % tensor.dim()]
        sums, slot = self._four(buffer, tensor, others, channels)
        last = None if buffer.wide is torch.float64 else -1
        return sums, Written(slot, lambda found: _marks(found[:last], 3))

    def energy(self, tensor: Tensor) -> Written:
        """The four sums."""
        tensor = tensor.detach()
        buffer = self.buffers.of(tensor.device)
        if gpu := reductions(tensor):
            slot, out = buffer.take(4)
            gpu.sums(tensor, out)
            return Written(slot, _sums)
        return self._four(buffer, tensor, list(range(tensor.dim())), 1)[0]

    def _four(self, buffer: DeviceBuffer, tensor: Tensor, others: list[int], channels: int) -> tuple[Written, Slot]:
        """Of the values, in which positive ones are counted over the dimensions `others`."""
        narrow = buffer.wide is torch.float32
        slot, out = buffer.take(3 + channels + narrow)
        positive, counts = tensor > 0, out[3 : 3 + channels]
        if len(others) == tensor.dim():
            self._sum(positive, counts[0], buffer.wide)
        elif others:
            torch.sum(positive, dim=others, dtype=buffer.wide, out=counts)
        else:
            counts.copy_(positive)
        self._nonfinite(tensor, out[2], buffer.wide)
        if narrow:
            tensor = tensor.float()
            torch.mean(tensor, dim=list(range(tensor.dim())), out=out[-1])
            tensor = tensor - out[-1]
        self._sum(tensor, out[0], buffer.wide)
        torch.linalg.vector_norm(tensor, dtype=buffer.wide, out=out[1])
        return Written(slot, partial(_about_the_mean, count=tensor.numel()) if narrow else _counted), slot

    @staticmethod
    def _sum(tensor: Tensor, out: Tensor, kind: torch.dtype) -> None:
        torch.sum(tensor, dim=list(range(tensor.dim())), dtype=kind, out=out)

    @staticmethod
    def _nonfinite(tensor: Tensor, out: Tensor, kind: torch.dtype) -> None:
        # 0 · x is NaN where x is not finite, and NaN is not zero: of all ways to count them that with fewest launches
        torch.linalg.vector_norm(tensor * 0, ord=0, dtype=kind, out=out)

    def squares(self, tensors: Sequence[Tensor]) -> list[Written]:
        """The same of each tensor of one device where only norms are wanted: Σx and the positive values are zeros."""
        tensors = [tensor.detach() for tensor in tensors]
        if gpu := reductions(*tensors):
            found = []
            for tensor in tensors:
                slot, out = self.buffers.of(tensor.device).take(4)
                gpu.sums(tensor, out)
                found.append(Written(slot, _sums))
            return found
        count, buffer = len(tensors), self.buffers.of(tensors[0].device)
        slot, out = buffer.take(2 * count)
        torch.stack(torch._foreach_norm(tensors, 2, dtype=buffer.wide), out=out[:count])
        torch.stack(torch._foreach_norm(torch._foreach_mul(tensors, 0), 0, dtype=buffer.wide), out=out[count:])
        each = range(slot.at, slot.at + count * buffer.wide.itemsize, buffer.wide.itemsize)
        return [Written(slot._replace(at=at, size=2, step=count), _norm) for at in each]

    def inner(self, a: Tensor, b: Tensor) -> Written:
        """⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩ and the number of non-finite values of b."""
        same_shape(a, b)
        a, b = a.detach(), b.detach()
        buffer = self.buffers.of(a.device)
        if gpu := reductions(a, b):
            slot, out = buffer.take(4)
            gpu.inner(a, b, out)
            return Written(slot, _sums)
        a = dense(a)
        b, kind, flat = beside(a, b), buffer.wide, (a.numel(),)
        parts = list(zip(*(t.as_strided(flat, (1,)).split(CHUNK) for t in (a, b)), strict=True))
        slot, out = buffer.take(3 + len(parts))
        torch.linalg.vector_norm(a, dtype=kind, out=out[0])
        torch.linalg.vector_norm(b, dtype=kind, out=out[1])
        self._nonfinite(b, out[2], kind)
        for at, (u, v) in enumerate(parts, 3):
            torch.dot(u.to(kind), v.to(kind), out=out[at])
        return Written(slot, _products)

    def norms(self, tensors: Sequence[Tensor], before: Sequence[Tensor] | None = None) -> tuple[Slot, Slot]:
        """(n,) 2-norms of tensors on one device: of them; or of what they were before, and of what was added since."""
        tensors = [tensor.detach() for tensor in tensors]
        if before is None:
            found = self._norms(tensors)
            return found, found
        for now, earlier in zip(tensors, before, strict=True):
            same_shape(now, earlier)
        # A difference in half precision has three digits.
        wide = [list(some) if some[0].dtype in EXACT else _widened(some) for some in (tensors, before)]
        return self._norms(list(before)), self._norms(list(torch._foreach_sub(*wide)))

    def _norms(self, tensors: list[Tensor], order: float = 2) -> Slot:
        buffer = self.buffers.of(tensors[0].device)
        slot, out = buffer.take(len(tensors))
        torch.stack(torch._foreach_norm(tensors, order, dtype=buffer.wide), out=out)
        return slot

    def largest(self, tensors: Sequence[Tensor]) -> list[Slot]:
        """The largest magnitude of each tensor, a slot a device: zeros where a tensor holds nothing else."""
        by_device: dict[torch.device, list[Tensor]] = {}
        for tensor in tensors:
            by_device.setdefault(tensor.device, []).append(tensor.detach())
        return [self._norms(some, torch.inf) for some in by_device.values()]

    def keep(self, number: Tensor) -> Slot:
        """One number, as it is now."""
        slot, out = self.buffers.of(number.device).take(1)
        out.copy_(number.detach().reshape(1))
        return slot

    def exponents(self, tensor: Tensor) -> Written:
        """(256,) counts of float32 exponents."""
        tensor = dense(tensor.detach())
        slot, counts = self.buffers.of(tensor.device).take(256, torch.int64)
        if gpu := reductions(tensor):
            gpu.exponents(tensor, counts)
        else:
            bits = tensor.as_strided((tensor.numel(),), (1,)).float().view(torch.int32)
            counts.scatter_add_(0, (bits >> 23 & 255).long(), self._ones(tensor.device, tensor.numel()))
        return Written(slot, _as_they_are)

    def _ones(self, device: torch.device, count: int) -> Tensor:
        if device not in self._one:
            self._one[device] = torch.ones(1, dtype=torch.int64, device=device)
        return self._one[device].expand(count)

    def spread(self, tensor: Tensor, size: int) -> Written:
        """(2 + n,) minimum, maximum, and n ≤ size values at even distances; NaN are no extremes."""
        flat = tensor.detach().reshape(-1)
        flat = flat if flat.dtype in EXACT else flat.float()
        values = flat[:: max(1, -(-flat.numel() // size))]
        slot, out = self.buffers.of(flat.device).take(2 + len(values), flat.dtype)
        inf = torch.inf
        torch.amin(torch.nan_to_num(flat, nan=inf, posinf=inf, neginf=-inf), dim=0, out=out[0])
        torch.amax(torch.nan_to_num(flat, nan=-inf, posinf=inf, neginf=-inf), dim=0, out=out[1])
        out[2:].copy_(values)
        return Written(slot, _as_they_are)


def _widened(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same in float32."""
    wide = [torch.empty_like(tensor, dtype=torch.float32) for tensor in tensors]
    torch._foreach_copy_(wide, list(tensors))
    return wide
