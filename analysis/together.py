"""What does recording cost where several processes train one net, beside what it costs in one?

In each process two copies of a net under DistributedDataParallel, one with a recorder that records every step, take
turns of twenty steps: one pair gives the ratio of their wall times and of their CPU times (all threads of the process).
Twenty steps hold one flush, and so one exchange of the recorder. A single process does the same without the exchange,
in turn with the others, so that a busy machine slows all alike; a process has as many images, alone or not. The last
column is the ratio of several processes over that of one: 1 where recording together costs no more. A process that
waits for another burns no CPU time in gloo, so on a machine with fewer cores than processes the CPU times say more.

    OMP_NUM_THREADS=1 python -m analysis.together                       # 1 and 2 processes
    OMP_NUM_THREADS=1 python -m analysis.together --processes 1 2 4 --pairs 8
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from torch import nn

from analysis.overhead import NETS, keep_memory, machine, train
from labapp.recording import Recorder, every
from labapp.recording.recorder import FLUSH_STEPS

STEPS = FLUSH_STEPS


def turns(steps: Callable[[], None]) -> tuple[float, float]:
    """Seconds of some steps, by the clock and of the processor."""
    started = time.perf_counter(), time.process_time()
    steps()
    return time.perf_counter() - started[0], time.process_time() - started[1]


def measure(net: str, images: int, pairs: int, together: bool) -> np.ndarray:
    """(pairs, 2, 2) seconds a turn: without and with a recorder, by the clock and of the processor."""
    make, pixels, _ = NETS[net]
    torch.manual_seed(0)
    x = torch.randn(images, 3, pixels, pixels)
    models: list[nn.Module] = []
    for _ in range(2):
        torch.manual_seed(1)
        model = make().train()
        models.append(nn.parallel.DistributedDataParallel(model) if together else model)
    plain, watched = ((model, torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)) for model in models)
    seconds = np.empty((pairs, 2, 2))
    with Recorder(*watched, when=every(1)) as recorder:

        def bare() -> None:
            for _ in range(STEPS):
                train(*plain, x)

        def recorded() -> None:
            for _ in range(STEPS):
                with recorder.step():
                    train(*watched, x)

        bare()
        recorded()  # the first step also studies the net, and the first flush agrees on what is sent
        for pair in range(pairs):
            for turn in (0, 1) if pair % 2 else (1, 0):
                seconds[pair, turn] = turns(recorded if turn else bare)
    return seconds / STEPS


def _process(rank: int, world: int, address: str, net: str, pairs: int, folder: str) -> None:
    torch.set_num_threads(1)
    keep_memory()
    if world > 1:
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=world)
    seconds = measure(net, NETS[net][2], pairs, world > 1)
    np.save(f"{folder}/{world}-{rank}.npy", seconds)
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


def table(net: str, processes: Sequence[int], pairs: int, rounds: int) -> pd.DataFrame:
    """One row a number of processes: pairs, wall, wall_low, wall_high, cpu, cpu_low, cpu_high; medians and quartiles.

    The CPU times are those of all processes together.
    """
    found: dict[int, list[np.ndarray]] = {world: [] for world in processes}
    with TemporaryDirectory() as folder:
        for number in range(rounds):
            for world in processes:
                address = f"file://{folder}/meet-{world}-{number}"
                torch.multiprocessing.spawn(_process, (world, address, net, pairs, folder), nprocs=world)
                each = np.stack([np.load(f"{folder}/{world}-{rank}.npy") for rank in range(world)])
                found[world].append(np.stack([each[..., 0].max(0), each[..., 1].sum(0)], -1))  # (pairs, 2, 2)
    rows = []
    for world, parts in found.items():
        seconds = np.concatenate(parts)
        ratios = seconds[:, 1] / seconds[:, 0]  # (pairs, 2)
        quartiles = np.quantile(ratios, (0.5, 0.25, 0.75), axis=0).T.reshape(-1)
        rows.append((world, len(seconds), *quartiles))
    columns = [f"{of}{end}" for of in ("wall", "cpu") for end in ("", "_low", "_high")]
    made = pd.DataFrame(rows, columns=["processes", "pairs", *columns])
    return made.assign(over_one=made["cpu"] / made["cpu"].iloc[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--net", default="ResNet-20, width 8", choices=list(NETS), help="of analysis.overhead")
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2], metavar="N", help="how many (1 2)")
    parser.add_argument("--pairs", type=int, default=4, help=f"pairs of {STEPS} steps in a round (4)")
    parser.add_argument("--rounds", type=int, default=2, help="of all numbers of processes in turn (2)")
    parser.add_argument("--out", type=Path, metavar="CSV", help="where the table goes too")
    options = parser.parse_args(arguments)
    if min(options.processes) < 1 or options.pairs < 1 or options.rounds < 1:
        parser.error("--processes, --pairs and --rounds take 1 or more")
    made = table(options.net, options.processes, options.pairs, options.rounds)
    print(f"{machine()[0]}; torch {torch.__version__}; {options.net}, a thread a process")  # noqa: T201
    print(made.to_string(index=False, float_format="%.3f"))  # noqa: T201
    if options.out:
        made.to_csv(options.out, index=False, float_format="%.5g")
    return 0


if __name__ == "__main__":
    sys.exit(main())
