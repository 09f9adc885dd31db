"""What does one pass over a tensor cost, beside the plainest pass there is?

Each kernel of `labapp.recording.kernels` and a `torch.dot` over the same memory, in turn: a pair gives the ratio of
their times per byte, the median of the pairs is reported. Rows are kernels and memory formats of a 64×16×32×32 float32
tensor (4 MB); columns the compiled and the portable implementation at each number of threads. `inner` and `change` read
two tensors, so twice the bytes. Below 1 a kernel is faster than the dot product.

    python -m analysis.kernels
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from labapp.recording.kernels import Compiled, Portable, library, speed

SHAPE = (64, 16, 32, 32)
LAST, FIRST = "channels last", "contiguous"


def processor() -> str:
    """The processor's name, where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def flat(x: Tensor) -> Tensor:
    """The values in the order in which they lie."""
    return x.as_strided((x.numel(),), (1,))


def cases(kernels: Compiled | Portable) -> dict[tuple[str, str], tuple[Callable[[], object], Tensor, int]]:
    """(kernel, memory format) -> what to run, the tensor it reads, and how many such tensors."""
    made = torch.Generator().manual_seed(0)
    base = torch.relu(torch.randn(SHAPE, generator=made)), torch.randn(SHAPE, generator=made)
    out = torch.zeros(4, dtype=torch.float64)
    alive, counts = torch.zeros(SHAPE[1], dtype=torch.uint8), torch.zeros(256, dtype=torch.int64)
    into = (out,) if isinstance(kernels, Compiled) else ()
    marks = (out, alive) if isinstance(kernels, Compiled) else ()
    bins = (counts,) if isinstance(kernels, Compiled) else ()
    formats = {FIRST: base, LAST: tuple(t.to(memory_format=torch.channels_last) for t in base)}
    found: dict[tuple[str, str], tuple[Callable[[], object], Tensor, int]] = {}
    for name, (x, y) in formats.items():
        other = formats[FIRST if name == LAST else LAST][1]
        found |= {
            ("moments", name): (lambda x=x: (alive.zero_(), kernels.moments(x, 1, *marks)), x, 1),  # type: ignore[misc]
            ("energy", name): (lambda x=x: kernels.energy(x, *into), x, 1),  # type: ignore[misc]
            ("energy, mean of 10 deviations", name): (lambda x=y + 10: kernels.energy(x, *into), x, 1),  # type: ignore[misc]
            ("square", name): (lambda x=y: kernels.square(x, *into), y, 1),  # type: ignore[misc]
            ("inner", name): (lambda x=x, y=y: kernels.inner(x, y, *into), x, 2),  # type: ignore[misc]
            ("inner, other format", name): (lambda x=x, y=other: kernels.inner(x, y, *into), x, 2),  # type: ignore[misc]
            ("norm", name): (lambda x=y: kernels.norms([x]), y, 1),
            ("change", name): (lambda x=x, y=y: kernels.norms([x], [y]), x, 2),
            ("exponents", name): (lambda x=y: kernels.exponents(x, *bins), y, 1),  # type: ignore[misc]
        }
    return found


def ratio(run: Callable[[], object], x: Tensor, tensors: int, pairs: int) -> float:
    """The median over pairs of the time per byte over that of `torch.dot` on the same memory."""
    line, found = flat(x), []
    for _ in range(pairs + 2):
        start = time.perf_counter()
        torch.dot(line, line)
        middle = time.perf_counter()
        run()
        found.append((time.perf_counter() - middle) / tensors / (middle - start))
    return statistics.median(found[2:])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100, help="pairs of passes for each number (100)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads (1 2)")
    options = parser.parse_args()
    if options.pairs < 1 or min(options.threads) < 1:
        parser.error("--pairs and --threads take 1 or more")
    built, how = library()
    lines = [f"{processor()}; torch {torch.__version__}; kernels: {how}"]
    if built:
        lines.append(f"in the first cache: {speed()}")
    columns, rows = [], {}
    for threads in options.threads:
        torch.set_num_threads(threads)
        for kernels in [*([Compiled(built)] if built else []), Portable()]:
            columns.append(f"{type(kernels).__name__.lower()}, {threads}")
            for key, (run, x, tensors) in cases(kernels).items():
                pairs = options.pairs if isinstance(kernels, Compiled) else max(options.pairs // 5, 1)
                rows.setdefault(key, []).append(ratio(run, x, tensors, pairs))
    lines.append(f"{'time per byte over torch.dot':46}" + "".join(f"{column:>14}" for column in columns))
    lines += [f"{f'{kernel}, {how}':46}" + "".join(f"{v:14.2f}" for v in row) for (kernel, how), row in rows.items()]
    print(*lines, sep="\n")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
