"""What each of four processes does in the tests of recording together: it writes down what came out."""

import contextlib
import gc
import os
import warnings

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from labapp.config import LabError
from labapp.recording import Recorder, every, joined, unwatch, watch
from labapp.recording.board import Board
from labapp.recording.sums import Sums

WORLD = 4
COLLECTIVES = [name for name in dir(dist) if name.startswith(("all_", "broadcast", "gather", "reduce", "scatter"))]


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))
    ).double()


def data():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(8, 3, 8, 8, generator=generator).double(), torch.randint(0, 10, (8,), generator=generator)


def steps(model, x, y, count=3, optimizer=None, **options):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), 0.1)
    options = {"histograms": every(2), "spreads": every(3)} | options
    with Recorder(model, optimizer, when=every(1), **options) as recorder:
        for _ in range(count):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
    return recorder


class Counted(contextlib.ExitStack):
    """Counts the collectives that Python code calls within the block; DDP's own are called from C++."""

    def __enter__(self):
        self.calls = []
        for name in COLLECTIVES:
            real = getattr(dist, name)

            def counted(*args, real=real, name=name, **options):
                self.calls.append(name)
                return real(*args, **options)

            setattr(dist, name, counted)
            self.callback(setattr, dist, name, real)
        return super().__enter__()


class Differs(nn.Module):
    """Odd processes run a layer that the others do not, and from some step on the last one runs yet another."""

    def __init__(self, rank):
        super().__init__()
        self.rank, self.calls = rank, 0
        self.first, self.sometimes, self.late, self.head = (
            nn.Linear(6, 8),
            nn.Linear(8, 8),
            nn.Linear(8, 8),
            nn.Linear(8, 3),
        )

    def forward(self, x):
        self.calls += 1
        h = self.first(x).relu()
        if self.rank % 2:
            h = self.sometimes(h).relu()
        if self.rank == WORLD - 1 and self.calls > 22:
            h = self.late(h)
        return self.head(h)


def different(rank):
    """45 steps of processes that run other layers; one lets a step out, another catches an error of its own."""
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(Differs(rank), find_unused_parameters=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x = torch.randn(WORLD, 8, 6, generator=torch.Generator().manual_seed(3))[rank]
    with Counted() as counted, Recorder(model, optimizer, when=every(1)) as recorder:
        for step in range(45):
            with contextlib.suppress(ArithmeticError), recorder.step():
                optimizer.zero_grad()
                model(x).pow(2).mean().backward()
                if not (rank == 2 and step == 5):  # all have the same gradients, but this one does not use them
                    optimizer.step()
                if rank == 1 and step == 19:  # the last one before a flush
                    raise ArithmeticError
    return recorder, counted.calls


def losing(rank):
    """The second process loses a step in a hook, another on its way to the exchange, and a third before that."""
    with contextlib.ExitStack() as mended:

        def failing(owner, name, at):
            real, calls = getattr(owner, name), []

            def function(*args, **kwargs):
                calls.append(1)
                if len(calls) == at:
                    raise RuntimeError(f"a fault in {name}")
                return real(*args, **kwargs)

            setattr(owner, name, function)
            mended.callback(setattr, owner, name, real)

        if rank == 1:
            failing(Board, "energy", 12)  # in the second step: six places have an output and a gradient in each
            failing(Sums, "land", 2)
            failing(joined, "_fill", 2)
        x, y = data()
        return steps(nn.parallel.DistributedDataParallel(net()), x.chunk(WORLD)[rank], y.chunk(WORLD)[rank], count=6)


def refused(rank):
    """What several processes cannot have, each in a sentence."""
    model = nn.parallel.DistributedDataParallel(net())
    found = []
    for options in ({"budget": 0.02}, {"gradient_noise": True}):
        try:
            Recorder(model, **options)
        except LabError as error:
            found.append(str(error))
    return found


def raising(rank, group):
    """Training raises in a step; no collective may follow, or nobody would hear of the error."""
    model = nn.parallel.DistributedDataParallel(net(), process_group=group)
    x, y = data()
    with Counted() as counted, contextlib.suppress(ZeroDivisionError), Recorder(model, when=every(1)) as recorder:
        for step in range(3):
            with recorder.step():
                F.cross_entropy(model(x), y).backward()
                if step == 2:
                    raise ZeroDivisionError
    return recorder, counted.calls


def sharded(rank, mesh):
    """A net whose weights are spread over processes, and a step after an evaluation, which gathers them."""
    model, (x, y) = net(), data()
    for part in (model[0], model[2]):
        fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with torch.no_grad():
        model(x)
    with Counted() as counted:
        recorder = steps(model, x.chunk(WORLD)[rank], y.chunk(WORLD)[rank], optimizer=optimizer)
    return recorder, [name for name in counted.calls if not name.endswith("_single")]  # which are those of fully_shard


def work(rank, address, folder):
    """All of it, one after the other, in one start of the processes."""
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=WORLD)
    pairs = [dist.new_group([first, first + 1]) for first in (0, 2)]
    x, y = data()
    found = {}
    with Counted() as counted:
        ddp = nn.parallel.DistributedDataParallel(net())
        counted.calls.clear()
        found["four"] = steps(ddp, x.chunk(WORLD)[rank], y.chunk(WORLD)[rank], count=45), counted.calls[:]
    pair = nn.parallel.DistributedDataParallel(net(), process_group=pairs[rank // 2])
    found["two"] = steps(pair, x.chunk(2)[rank % 2], y.chunk(2)[rank % 2]), []
    found["different"] = different(rank)
    found["losing"] = losing(rank), []
    found["raising"] = raising(rank, pairs[rank // 2])
    found["shards"] = sharded(rank, init_device_mesh("cpu", (WORLD,)))
    found["hybrid"] = sharded(rank, init_device_mesh("cpu", (2, 2), mesh_dim_names=("copies", "shards")))
    runs = f"{folder}/runs"
    watched = net()
    ddp = nn.parallel.DistributedDataParallel(watched)
    optimizer = torch.optim.SGD(ddp.parameters(), 0.1)
    run = watch(ddp, optimizer, runs=runs, when=every(1)).run
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(ddp(x.chunk(WORLD)[rank]), y.chunk(WORLD)[rank]).backward()
        optimizer.step()
    unwatch(ddp)
    told = {
        name: {
            "tables": {t: recorder.table(t) for t in ("layers", "totals", "histograms", "spreads", "lifetimes")},
            "calls": calls,
            "cost": recorder.cost,
        }
        for name, (recorder, calls) in found.items()
    }
    told |= {"refused": refused(rank), "run": str(run), "pid": os.getpid()}
    torch.save(told, f"{folder}/told{rank}.pt")
    dist.barrier()
    del found, ddp, pair, optimizer, watched  # they hold the group, whose threads must end before the process does
    gc.collect()
    dist.destroy_process_group()
