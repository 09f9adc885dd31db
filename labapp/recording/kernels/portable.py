"""The reductions in torch, for any floating dtype in the machine's memory.

All sums are float64. Values are widened a chunk at a time, which stays in the cache. There is nothing to wait for, so a
look decides what need not be counted; for devices see `launches`.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from labapp.recording.kernels.memory import beside, dense, matrix, same_shape

CHUNK = 1 << 17  # values widened at a time, 1 MB: smaller ones stay in a nearer cache, but each costs some calls


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


def _bad(values: Tensor) -> int:
    return values.numel() - int(torch.isfinite(values).sum().numpy())


def _square(flat: Tensor) -> tuple[float, int]:
    """Σx² and the number of non-finite values, which are counted only where the sum says that there are any."""
    square = float(torch.dot(flat, flat).numpy())
    return square, 0 if math.isfinite(square) else _bad(flat)


class Portable:
    """Each method returns a (4,) tensor in float64 unless it says otherwise."""

    def moments(self, tensor: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """(4,) sums as `energy` gives them and (C,) booleans: which channels have a positive value."""
        tensor = tensor.detach()
        channels = tensor.shape[axis]
        rows, by_row = matrix(tensor, axis) if tensor.numel() else (tensor.reshape(0, channels), 0)
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
        sums = [0.0] * 4
        for _, _, _, flat in _tiles(_line(tensor.detach())):
            square, bad = _square(flat)
            parts = float(flat.sum().numpy()), square, float(flat.gt_(0).sum().numpy()), bad
            sums = [a + b for a, b in zip(sums, parts, strict=True)]
        return torch.tensor(sums, dtype=torch.float64, device="cpu")

    def square(self, tensor: Tensor) -> Tensor:
        """The same where only a norm is wanted: Σx and the number of positive values are zeros."""
        found = [_square(flat) for _, _, _, flat in _tiles(_line(tensor.detach()))]
        sums = [0.0, sum(square for square, _ in found), 0.0, sum(bad for _, bad in found)]
        return torch.tensor(sums, dtype=torch.float64, device="cpu")

    def norms(self, tensors: list[Tensor], before: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(n,) 2-norms: of the tensors; or of what they were before, and of what was added since."""
        tensors = [t.detach() for t in tensors]
        if before is None:
            found = self._norms(tensors)
            return found, found
        changes = [self._change(now, earlier) for now, earlier in zip(tensors, before, strict=True)]
        return self._norms(before), torch.tensor(changes, dtype=torch.float64, device="cpu")

    @staticmethod
    def _change(now: Tensor, earlier: Tensor) -> float:
        same_shape(now, earlier)
        now = dense(now)
        lines = _line(beside(now, earlier))
        square = 0.0
        for _, k, _, flat in _tiles(_line(now)):
            square += _square(flat.sub_(lines[0, k : k + flat.numel()]))[0]
        return math.sqrt(square) if square >= 0 else math.nan

    def _norms(self, tensors: list[Tensor]) -> Tensor:
        return torch.stack([self.square(t)[1] for t in tensors]).sqrt() if tensors else torch.zeros(0)

    def inner(self, a: Tensor, b: Tensor) -> Tensor:
        """⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩ and the number of non-finite values of b."""
        same_shape(a, b)
        a = dense(a.detach())
        b = beside(a, b.detach())
        flat = (a.numel(),)
        sums = torch.zeros(4, dtype=torch.float64, device="cpu")
        for u, v in zip(*(t.as_strided(flat, (1,)).split(CHUNK) for t in (a, b)), strict=True):
            u, v = u.double(), v.double()
            square, bad = _square(v)
            sums += torch.tensor([*(float(torch.dot(u, w).numpy()) for w in (v, u)), square, bad], dtype=torch.float64)
        return sums

    def exponents(self, tensor: Tensor) -> Tensor:
        """(256,) counts of float32 exponents."""
        bits = tensor.detach().float().reshape(-1).view(torch.int32)
        return torch.bincount((bits >> 23) & 255, minlength=256)
