"""Which numbers does one pass over a tensor's memory give, and how is that pass made fast?

Reductions: `moments` (sum, sum of squares, positive and non-finite count, which channels live), `energy` (the same sums
in any memory order), `square` (only what a norm needs), `inner` (⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩), `norms` (of many tensors in one
call) and `exponents` (a histogram of magnitudes in powers of two). Sums are as good as float64: norms and standard
deviations are right to 1e-6 for values from 1e-30 to 1e30 and means of 10,000 standard deviations.

Three implementations: `Compiled` runs C (`lanes.h`, `sums.c`, `pairs.c`, built by `build.py`) on float32 tensors in the
machine's memory and adds to a buffer; `Portable` gives tensors, in torch, for other dtypes there and machines without a
C compiler; `Launches` writes to a buffer on the device (`slots`) for tensors anywhere else, and never makes it wait.
"""

import torch
from torch import Tensor

from labapp.recording.kernels.build import Speed, compiler, folder, library, speed
from labapp.recording.kernels.compiled import Compiled
from labapp.recording.kernels.launches import Launches, of_second
from labapp.recording.kernels.memory import dense, readable, same_shape
from labapp.recording.kernels.portable import Portable
from labapp.recording.kernels.slots import Slot, Written

__all__ = [
    "Compiled",
    "Launches",
    "Portable",
    "Slot",
    "Speed",
    "Written",
    "compiler",
    "dense",
    "folder",
    "library",
    "norms",
    "of_second",
    "readable",
    "speed",
]


FEW = 1 << 19  # values below which torch's one call for many tensors costs less than chunks of each


def norms(
    tensors: list[Tensor], before: list[Tensor] | None = None, checked: bool = False, launches: Launches | None = None
) -> tuple[Tensor | Slot, Tensor | Slot]:
    """(n,) 2-norms of tensors on one device; or of what they were `before`, and of what was added since.

    `checked` says that the caller has just asked `Compiled.takes` of all of them. Of tensors outside the machine's
    memory they are slots of `launches`.
    """
    found, _ = library()
    if found and (checked or (all(map(Compiled.takes, tensors)) and all(map(Compiled.takes, before or [])))):
        return Compiled(found).norms(tensors, before, checked=True)
    if not (all(map(readable, tensors)) and all(map(readable, before or []))):
        return (launches or Launches()).norms(tensors, before)
    if tensors[0].dtype is torch.float32 and sum(t.numel() for t in tensors) < FEW:
        for now, earlier in zip(tensors, tensors if before is None else before, strict=True):
            same_shape(now, earlier)
        one = torch.stack(torch._foreach_norm(tensors if before is None else before, 2, dtype=torch.float64))
        if before is None:
            return one, one
        return one, torch.stack(torch._foreach_norm(torch._foreach_sub(tensors, before), 2, dtype=torch.float64))
    return Portable().norms(tensors, before)
