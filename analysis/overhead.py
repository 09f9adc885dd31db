"""What does recording cost, and what do other tools cost that record less?

A bare training step and one under a tool, in turn, on two copies of a net and the same batch: one pair gives one ratio
of wall times and one of CPU times (all threads of the process), and the medians of the pairs are reported with the
range of their middle half. The copies take turns at going first, so that a busy machine slows both alike; the CPU times
depend less on what else runs. Freed memory is kept, because what the C library does with it is chance. The tools are
those of `analysis.peers`; one that is not installed is named and left out.

    python -m analysis.overhead --out assets                        # everything: more than an hour
    python -m analysis.overhead --nets ResNet-20 --tools labapp     # a part, by any part of a name: minutes
    python -m analysis.overhead --parts a/overhead-pairs.csv b/overhead-pairs.csv --out assets     # put together
    python -m analysis.overhead --readme assets/overhead-pairs.csv  # the table of README.md, from what was measured
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from analysis import overhead_table
from analysis.kernels import processor
from analysis.peers import OURS, TOOLS, Tool
from labapp.config import first_line, nearest
from labapp.figures import paper
from labapp.nets import build
from labapp.recording.kernels import library, speed

NETS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {  # net, pixels a side, images
    "ResNet-20, width 8": (lambda: build("residual", depth=20, width=8), 32, 64),
    "ResNet-20, width 16": (lambda: build("residual", depth=20, width=16), 32, 64),
    "ResNet-56, width 16": (lambda: build("residual", depth=56, width=16), 32, 64),
    "DenseNet-BC-40": (lambda: build("dense", depth=40, bottleneck=True, compression=0.5), 32, 64),
    "torchvision ResNet-18": (lambda: torchvision.models.resnet18(num_classes=10), 64, 32),
}
FORMATS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
FEW = 3  # of so many pairs one is measured where a pair is ten steps, or a tool is another one and far from 1


def train(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> None:
    """One bare training step."""
    labels = torch.arange(len(images), device=images.device) % 10
    optimizer.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    optimizer.step()


def keep_memory() -> bool:
    """Has the C library keep the memory that is freed, for the whole process; False where it cannot be asked to.

    By chance of what lies at the end of its heap it gives pages back and asks for them again in every step: 0 to 18,000
    page faults, up to 37 ms of a step of ResNet-20, with a recorder or without. That is no tool's cost.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return False
    trim_threshold, mmap_max = -1, -4
    return all(mallopt(option, value) == 1 for option, value in ((trim_threshold, 2**31 - 1), (mmap_max, 0)))


def compare(
    make: Callable[[], nn.Module],
    pixels: int,
    count: int,
    tool: Tool,
    pairs: int,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> np.ndarray:
    """Times bare steps and steps under a tool, in turn.

    Args:
        make: makes the net.
        pixels: a side of the images.
        count: images of the batch.
        tool: what to time.
        pairs: how often each is timed.
        memory_format: of the batch and the net's weights.

    Returns:
        (pairs, 2, 2) seconds a step: of the bare net and under the tool, by the clock and of the processor.
    """
    torch.manual_seed(0)
    model = make().train().to(memory_format=memory_format)
    images = torch.randn(count, 3, pixels, pixels).to(memory_format=memory_format)
    bare_model = make().train().to(memory_format=memory_format)  # hooks stay on the other one between its turns
    bare_model.load_state_dict(model.state_dict())
    optimizer, bare_optimizer = (torch.optim.SGD(net.parameters(), 0.01, momentum=0.9) for net in (model, bare_model))

    def bare() -> None:
        train(bare_model, bare_optimizer, images)

    def one() -> None:
        train(model, optimizer, images)

    seconds = np.empty((pairs, 2, 2))
    for _ in range(2):
        bare()
        one()
    with tool.attach(model, optimizer, images) as run:
        for _ in range(2):  # the first recorded step also studies the net
            run(one)
        for pair in range(pairs):
            for turn in (0, 1) if pair % 2 else (1, 0):
                started = time.perf_counter(), time.process_time()
                for _ in range(tool.steps):
                    if turn:
                        run(one)
                    else:
                        bare()
                seconds[pair, turn] = time.perf_counter() - started[0], time.process_time() - started[1]
    return seconds / tool.steps


def machine() -> tuple[str, str]:
    """The processor with the vector instructions that torch uses, and how the recorder's kernels were made."""
    built, how = library()
    measured = speed() if built else None
    compiler = measured.machine if measured else f"portable kernels, {how}"
    return f"{processor()} ({torch.backends.cpu.get_cpu_capability()})", compiler


def installed(names: Sequence[str]) -> Iterator[tuple[str, Tool, str]]:
    """(name, tool, version) of those that can be timed; one line to standard error about each other one."""
    for name in names:
        version = TOOLS[name].version
        if version is None:
            print(f"{name}: {TOOLS[name].package} is not installed, so it is left out", file=sys.stderr)  # noqa: T201
        else:
            yield name, TOOLS[name], version


def measure(
    nets: Sequence[str],
    formats: Sequence[str],
    threads: Sequence[int],
    tools: Sequence[str],
    pairs: int,
    keep: Path | None = None,
) -> pd.DataFrame:
    """Times every combination; a tool that fails on a net is named and left out.

    After each combination the pairs so far are written to `keep`, so that a run that is cut short leaves a part.

    Returns:
        One row a pair: net, format, threads, tool, version, pair, bare, recorded (seconds a step by the clock), ratio,
        cpu_ratio, processor, compiler, torch.
    """
    about = (*machine(), torch.__version__)
    rows = []
    usable = list(installed(tools))
    for net, form, count, (name, tool, version) in product(nets, formats, threads, usable):
        torch.set_num_threads(count)
        where = f"{net}, {form}, {count} thread{'s' * (count > 1)}: {name}"
        fewer = tool.steps > 1 or not name.startswith(OURS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # other people's
                seconds = compare(*NETS[net], tool, max(3, pairs // FEW if fewer else pairs), FORMATS[form])
        except Exception as error:
            message = f"{type(error).__name__}: {first_line(error)}"
            print(f"{where} {version} failed: {message}", file=sys.stderr)  # noqa: T201
            continue
        ratios = seconds[:, 1] / seconds[:, 0]  # (pairs, 2): wall, CPU
        for pair, ((bare, recorded), ratio) in enumerate(zip(seconds[:, :, 0], ratios, strict=True)):
            rows.append((net, form, count, name, version, pair, bare, recorded, *ratio, *about))
        if keep is not None:
            pd.DataFrame(rows, columns=overhead_table.COLUMNS).to_csv(keep, index=False, float_format="%.5g")
        wall, cpu = np.median(ratios, axis=0)
        print(f"{where}: {wall:.3f}, CPU time {cpu:.3f}", flush=True)  # noqa: T201
    return pd.DataFrame(rows, columns=overhead_table.COLUMNS)


def chosen(words: Sequence[str] | None, names: Sequence[str]) -> list[str]:
    """The names that contain one of the words, all without words; ValueError for a word that none contains."""
    if not words:
        return list(names)
    for word in words:
        if not any(word.casefold() in name.casefold() for name in names):
            raise ValueError(f"'{word}' is in none of: {'; '.join(names)}{nearest(word, names)}")
    return [name for name in names if any(word.casefold() in name.casefold() for word in words)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, draw and write; or print the table of what was measured."""
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="figures", type=Path, metavar="DIR", help="where the files go (figures)")
    parser.add_argument("--nets", nargs="+", metavar="WORD", help=f"words of names (all): {'; '.join(NETS)}")
    parser.add_argument("--tools", nargs="+", metavar="WORD", help=f"words of names (all): {'; '.join(TOOLS)}")
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS), help="memory formats")
    parser.add_argument(
        "--threads", nargs="+", type=int, default=sorted({1, min(2, cores)}), metavar="N", help="torch's threads (1 2)"
    )
    parser.add_argument(
        "--pairs", type=int, default=30, help=f"pairs of steps; one in {FEW}, for other tools and for ten steps (30)"
    )
    parser.add_argument("--readme", type=Path, metavar="CSV", help="print the table of these pairs, measure nothing")
    parser.add_argument("--parts", nargs="+", type=Path, metavar="CSV", help="draw these pairs, measure nothing")
    options = parser.parse_args(arguments)
    if options.pairs < 3 or min(options.threads) < 1:
        parser.error("--pairs takes 3 or more, --threads 1 or more")
    try:
        if options.readme:
            print(overhead_table.markdown(pd.read_csv(options.readme)), end="")  # noqa: T201
            return 0
        nets, tools = chosen(options.nets, list(NETS)), chosen(options.tools, list(TOOLS))
        options.out.mkdir(parents=True, exist_ok=True)
        if options.parts:
            pairs = pd.concat(map(pd.read_csv, options.parts), ignore_index=True)
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    except (KeyError, ValueError) as error:
        parser.error(str(error))
    mpl.use("agg")
    if not options.parts:
        built, how = library()
        keep_memory()
        print(f"{machine()[0]}; torch {torch.__version__}; compiled pass: {speed() if built else how}")  # noqa: T201
        keep = options.out / overhead_table.RAW
        pairs = measure(nets, options.formats, options.threads, tools, options.pairs, keep)
    if pairs.empty:
        parser.error("nothing could be measured")
    with paper():
        written = overhead_table.draw(pairs, options.out)
    print(*written, sep="\n")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
