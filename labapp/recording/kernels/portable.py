"""The reductions in torch, for any device and floating dtype.

All sums are float64. On MPS, which has nothing wider than float32, those from which a variance is taken are about a
value near the mean, and come as pieces that are exact; the host adds them up in float64. In the machine's memory values
are widened a chunk at a time, which stays in the cache; other devices widen inside their own kernels. Nothing is read
back from a device: there results stay tensors. In the machine's memory there is nothing to wait for, and a look decides
what need not be counted.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from labapp.recording.kernels.memory import beside, dense, matrix, readable, same_shape
from labapp.recording.kernels.on_gpu import reductions

CHUNK = 1 << 17  # values widened at a time, 1 MB: smaller ones stay in a nearer cache, but each costs some calls
DEVICE_CHUNK = 1 << 22


def _kind(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def _bad(values: Tensor) -> Tensor:
    return values.numel() - torch.isfinite(values).sum()


def _tiles(rows: Tensor) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """(first row, first column, tile, the same values flat in float64, to be written over) of an (R, K) array."""
    width = min(rows.shape[1], CHUNK)
    height = max(1, CHUNK // max(width, 1))
    scratch = torch.empty(min(height, rows.shape[0]) * width, dtype=torch.float64, device="cpu")
    for r in range(0, rows.shape[0], height):
        for k in range(0, rows.shape[1], max(width, 1)):
            tile = rows[r : r + height, k : k + width]
            flat = scratch[: tile.numel()]
            flat.view(tile.shape).copy_(tile)
            yield r, k, tile, flat


def _line(tensor: Tensor) -> Tensor:
    """(1, n) values in the order in which they lie."""
    values = dense(tensor)
    return values.as_strided((1, values.numel()), (values.numel(), 1))


def _square(flat: Tensor) -> tuple[float, int]:
    """Σx² and the number of non-finite values, which are counted only where the sum says that there are any."""
    square = float(torch.dot(flat, flat).numpy())
    return square, 0 if math.isfinite(square) else int(_bad(flat).numpy())


def _about_the_mean(tensor: Tensor, positive: Tensor) -> Tensor:
    """(pieces, 4) in float32, to be added up in float64: Σx and Σx² lose nothing of the variance.

    With c the mean to eight bits and d = x − c: Σx = n c + Σd and Σx² = n c² + 2 c Σd + Σd². A product of c² (16 bits)
    and eight bits of n is exact, and so is one of c and 16 bits of Σd.
    """
    n, wide = tensor.numel(), tensor.float()
    c = wide.mean().bfloat16().float() if n else wide.new_zeros(())
    away = wide - c
    total = away.sum()
    coarse = (total.view(torch.int32) & -256).view(torch.float32)
    nothing = torch.zeros_like(c)
    eights = [float((n >> shift & 255) << shift) for shift in range(0, max(1, n.bit_length()), 8)]
    pieces = [torch.stack([c * some, c * c * some, nothing, nothing]) for some in eights]
    pieces += [torch.stack([nothing, 2 * c * part, nothing, nothing]) for part in (coarse, total - coarse)]
    return torch.stack([*pieces, torch.stack([total, away.square().sum(), positive.float(), _bad(tensor).float()])])


class Portable:
    """Each method returns a (4,) tensor in float64, on MPS float32 or (pieces, 4), unless it says otherwise."""

    def moments(self, tensor: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """(4,) sums as `energy` gives them and (C,) booleans: which channels have a positive value."""
        tensor = tensor.detach()
        channels = tensor.shape[axis]
        if gpu := reductions(tensor):
            return gpu.by_channel(tensor, axis)
        if not readable(tensor) or not tensor.numel():
            others = [d for d in range(tensor.dim()) if d != axis % tensor.dim()]
            positive = tensor > 0
            counts = positive.sum(dim=others) if others else positive.long()
            return self._on_device(tensor, counts.sum()), counts > 0
        rows, by_row = matrix(tensor, axis)
        counts = torch.zeros(rows.shape[0 if by_row else 1], dtype=torch.float64, device="cpu")
        total = square = 0.0
        bad = 0
        for r, k, tile, flat in _tiles(rows):
            found, nonfinite = _square(flat)
            total, square, bad = total + float(flat.sum().numpy()), square + found, bad + nonfinite
            positive = flat.gt_(0).view(tile.shape)
            if by_row:
                counts[r : r + tile.shape[0]] += positive.sum(1)
            else:
                counts[k : k + tile.shape[1]] += positive.sum(0)
        sums = torch.tensor([total, square, 0.0, bad], dtype=torch.float64, device="cpu")
        sums[2] = counts.sum()
        return sums, counts.view(-1, channels).sum(0) > 0

    def energy(self, tensor: Tensor) -> Tensor:
        """Σx, Σx², the number of positive values, the number of NaN or infinite ones."""
        tensor = tensor.detach()
        if gpu := reductions(tensor):
            return gpu.sums(tensor)
        if not readable(tensor):
            return self._on_device(tensor, (tensor > 0).sum())
        sums = [0.0] * 4
        for _, _, _, flat in _tiles(_line(tensor)):
            square, bad = _square(flat)
            parts = float(flat.sum().numpy()), square, float(flat.gt_(0).sum().numpy()), bad
            sums = [a + b for a, b in zip(sums, parts, strict=True)]
        return torch.tensor(sums, dtype=torch.float64, device="cpu")

    def square(self, tensor: Tensor) -> Tensor:
        """The same where only a norm is wanted: Σx and the number of positive values may be zeros."""
        tensor = tensor.detach()
        if gpu := reductions(tensor):
            return gpu.sums(tensor)
        if not readable(tensor):
            square = torch.linalg.vector_norm(tensor, dtype=_kind(tensor)) ** 2
            nothing = torch.zeros_like(square)
            return torch.stack([nothing, square, nothing, _bad(tensor).to(square.dtype)])
        found = [_square(flat) for _, _, _, flat in _tiles(_line(tensor))]
        sums = [0.0, sum(square for square, _ in found), 0.0, sum(bad for _, bad in found)]
        return torch.tensor(sums, dtype=torch.float64, device="cpu")

    @staticmethod
    def _on_device(tensor: Tensor, positive: Tensor) -> Tensor:
        kind = _kind(tensor)
        if kind is torch.float32:
            return _about_the_mean(tensor, positive)
        square = torch.linalg.vector_norm(tensor, dtype=kind) ** 2
        return torch.stack([tensor.sum(dtype=kind), square, positive.to(kind), _bad(tensor).to(kind)])

    def norms(self, tensors: list[Tensor], before: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(n,) 2-norms: of the tensors; or of what they were before, and of what was added since."""
        tensors = [t.detach() for t in tensors]
        if before is None:
            found = self._norms(tensors)
            return found, found
        for now, earlier in zip(tensors, before, strict=True):
            same_shape(now, earlier)
        if all(map(readable, tensors)) and all(map(readable, before)):
            return self._norms(before), torch.tensor(
                [self._change(now, earlier) for now, earlier in zip(tensors, before, strict=True)],
                dtype=torch.float64,
                device="cpu",
            )
        exact = (torch.float32, torch.float64)  # a difference in half precision has three digits
        wide = [[t if t.dtype in exact else t.float() for t in some] for some in (tensors, before)]
        return self._norms(before), self._norms(list(torch._foreach_sub(*wide)))

    @staticmethod
    def _change(now: Tensor, earlier: Tensor) -> float:
        now = dense(now)
        lines = _line(beside(now, earlier))
        square = 0.0
        for _, k, _, flat in _tiles(_line(now)):
            square += _square(flat.sub_(lines[0, k : k + flat.numel()]))[0]
        return math.sqrt(square) if square >= 0 else math.nan

    def _norms(self, tensors: list[Tensor]) -> Tensor:
        if all(map(readable, tensors)):
            return torch.stack([self.square(t)[1] for t in tensors]).sqrt() if tensors else torch.zeros(0)
        kind = _kind(tensors[0])
        if all(t.is_cuda for t in tensors):  # launched together, not one by one
            return torch.stack(torch._foreach_norm(tensors, 2, dtype=kind))
        return torch.stack([torch.linalg.vector_norm(t, dtype=kind) for t in tensors])

    def inner(self, a: Tensor, b: Tensor) -> Tensor:
        """⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩ and the number of non-finite values of b."""
        same_shape(a, b)
        a, b = a.detach(), b.detach()
        if gpu := reductions(a, b):
            return gpu.inner(a, b)
        host = readable(a) and readable(b)
        a = dense(a)
        b = beside(a, b)
        kind, flat = _kind(a), (a.numel(),)
        sums = torch.zeros(4, dtype=kind, device=a.device)
        chunk = CHUNK if host else DEVICE_CHUNK
        for u, v in zip(*(t.as_strided(flat, (1,)).split(chunk) for t in (a, b)), strict=True):
            u, v = u.to(kind), v.to(kind)
            square = torch.dot(v, v)
            finite = host and math.isfinite(float(square.numpy()))
            bad = torch.zeros_like(square) if finite else _bad(v).to(kind)
            sums += torch.stack([torch.dot(u, v), torch.dot(u, u), square, bad])
        return sums

    def exponents(self, tensor: Tensor) -> Tensor:
        """(256,) counts of float32 exponents."""
        bits = tensor.detach().float().reshape(-1).view(torch.int32)
        return torch.bincount((bits >> 23) & 255, minlength=256)
