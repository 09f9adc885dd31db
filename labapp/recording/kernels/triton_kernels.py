"""What do the programs of `on_gpu` do with their block of values? Imported only where Triton is."""

import triton
import triton.language as tl


@triton.jit
def sums(values, found, alive, count, stride, channels, block: tl.constexpr, by_channel: tl.constexpr):  # type: ignore[no-untyped-def]
    """Adds Σx, Σx², positive and non-finite counts of a block; marks channels that have a positive value."""
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    here = at < count
    x = tl.load(values + at, mask=here, other=0.0).to(tl.float64)
    positive = (x > 0) & here
    tl.atomic_add(found, tl.sum(x, 0))
    tl.atomic_add(found + 1, tl.sum(x * x, 0))
    tl.atomic_add(found + 2, tl.sum(positive.to(tl.float64), 0))
    tl.atomic_add(found + 3, tl.sum(((x - x) != 0).to(tl.float64), 0))  # ∞ − ∞ is NaN, and NaN differs from anything
    if by_channel:
        tl.store(alive + (at // stride) % channels, positive.to(tl.float64), mask=positive)


@triton.jit
def inner(one, other, found, count, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Adds ⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩ of a block, and the non-finite values of b."""
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    here = at < count
    a = tl.load(one + at, mask=here, other=0.0).to(tl.float64)
    b = tl.load(other + at, mask=here, other=0.0).to(tl.float64)
    tl.atomic_add(found, tl.sum(a * b, 0))
    tl.atomic_add(found + 1, tl.sum(a * a, 0))
    tl.atomic_add(found + 2, tl.sum(b * b, 0))
    tl.atomic_add(found + 3, tl.sum(((b - b) != 0).to(tl.float64), 0))


@triton.jit
def exponents(values, counts, count, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Adds how many values of a block have each of the 256 exponents of float32."""
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    here = at < count
    bits = tl.load(values + at, mask=here, other=0.0).to(tl.float32).to(tl.int32, bitcast=True)
    found = tl.histogram(tl.where(here, (bits >> 23) & 255, 256), 512)  # behind the last value all is in bin 256
    bins = tl.arange(0, 512)
    tl.atomic_add(counts + bins, found.to(tl.int64), mask=(bins < 256) & (found > 0))
