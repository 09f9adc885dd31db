"""Rule 10: two processes record what one process records on the joined batch."""

import gc

import pandas as pd
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from labapp.config import LabError
from labapp.recording import Recorder, every


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))
    ).double()


def data():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(8, 3, 8, 8, generator=generator).double(), torch.randint(0, 10, (8,), generator=generator)


def steps(model, x, y, count=3):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Recorder(model, optimizer, when=every(1), histograms=every(1)) as recorder:
        for _ in range(count):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
    return recorder


def worker(rank, address, folder):
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    x, y = data()
    model = nn.parallel.DistributedDataParallel(net())
    with pytest.raises(LabError, match="same steps"):
        Recorder(model, budget=0.02)
    recorder = steps(model, x.chunk(2)[rank], y.chunk(2)[rank])
    if rank == 0:
        for name in ("layers", "totals", "histograms"):
            recorder.table(name).to_pickle(f"{folder}/{name}.pkl")
    else:
        assert recorder.table().empty  # one process writes for all
    dist.barrier()
    del recorder, model  # they hold the group, whose threads must end before the process does
    gc.collect()
    dist.destroy_process_group()


def test_rule_10_two_processes_record_the_joined_batch(tmp_path):
    torch.multiprocessing.spawn(worker, args=(f"file://{tmp_path}/meet", str(tmp_path)), nprocs=2)
    alone = steps(net(), *data())
    for name in ("layers", "totals"):
        two, one = pd.read_pickle(tmp_path / f"{name}.pkl"), alone.table(name)
        assert list(two.columns) == list(one.columns)
        assert len(two) == len(one)
        for column in one.select_dtypes("float32").columns:
            # float64 sums in another order, stored as float32
            assert two[column].to_numpy() == pytest.approx(one[column].to_numpy(), rel=1e-6, abs=1e-12, nan_ok=True), (
                column
            )
    order = ["step", "layer", "of", "exponent"]
    two, one = (
        t.sort_values(order).reset_index(drop=True)
        for t in (pd.read_pickle(tmp_path / "histograms.pkl"), alone.table("histograms"))
    )
    # A histogram shows what flows in a process, whose gradients are twice those of the joined mean: one bin higher.
    two.loc[(two["of"] == "gradient") & (two.exponent > -127), "exponent"] -= 1
    assert two.equals(one)


class Differs(nn.Module):
    """The first process runs a layer that the second does not."""

    def __init__(self):
        super().__init__()
        self.first, self.sometimes, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        h = self.first(x).relu()
        return self.head(self.sometimes(h).relu() if dist.get_rank() == 0 else h)


def differing(rank, address, folder):
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(Differs(), find_unused_parameters=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x = torch.randn(2, 8, 6, generator=torch.Generator().manual_seed(3))[rank]
    with Recorder(model, optimizer, when=every(1)) as inner:
        for _ in range(3):
            with inner.step():
                optimizer.zero_grad()
                model(x).pow(2).mean().backward()
                optimizer.step()
    if rank == 0:
        inner.table().to_pickle(f"{folder}/layers.pkl")
    torch.save([p.detach() for p in model.parameters()], f"{folder}/weights{rank}.pt")
    dist.barrier()
    del inner, model
    gc.collect()
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_processes_that_run_different_layers_meet(tmp_path):
    torch.multiprocessing.spawn(differing, args=(f"file://{tmp_path}/meet", str(tmp_path)), nprocs=2)
    one, two = (torch.load(f"{tmp_path}/weights{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    table = pd.read_pickle(tmp_path / "layers.pkl")
    torch.manual_seed(0)
    model = Differs()
    x = torch.randn(2, 8, 6, generator=torch.Generator().manual_seed(3))
    row = table[table.step == 0].set_index("layer")
    both = model.first(x).detach().double()
    assert row.loc["first", "output_mean"] == pytest.approx(both.mean().item(), rel=1e-5)
    assert row.loc["first", "output_std"] == pytest.approx(both.std(correction=0).item(), rel=1e-5)
    alone = model.sometimes(model.first(x[0]).relu()).detach().double()
    assert row.loc["sometimes", "output_std"] == pytest.approx(alone.std(correction=0).item(), rel=1e-5)


def losing(rank, address, folder):
    """The second process loses a step in a hook, another on its way to the exchange, and a third before that."""
    from labapp.recording import joined
    from labapp.recording.board import Board
    from labapp.recording.sums import Sums

    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    if rank == 1:

        def failing(owner, name, at):
            real, calls = getattr(owner, name), []

            def function(*args, **kwargs):
                calls.append(1)
                if len(calls) == at:
                    raise RuntimeError(f"a fault in {name}")
                return real(*args, **kwargs)

            setattr(owner, name, function)

        failing(Board, "energy", 12)  # in the second step: six places have an output and a gradient in each
        failing(Sums, "land", 2)
        failing(joined, "_told", 2)
    x, y = data()
    model = nn.parallel.DistributedDataParallel(net())
    recorder = steps(model, x.chunk(2)[rank], y.chunk(2)[rank], count=6)
    torch.save((recorder.cost["missing_steps"], recorder._guard.notes), f"{folder}/missing{rank}.pt")
    if rank == 0:
        recorder.table().to_pickle(f"{folder}/layers.pkl")
    dist.barrier()
    del recorder, model
    gc.collect()
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_a_step_that_one_process_lost_is_a_record_of_none_and_nobody_waits(tmp_path):
    torch.multiprocessing.spawn(losing, args=(f"file://{tmp_path}/meet", str(tmp_path)), nprocs=2)
    (here, _), (there, _) = (torch.load(f"{tmp_path}/missing{rank}.pt") for rank in (0, 1))
    assert len(there) == 3
    assert here == there
    table = pd.read_pickle(tmp_path / "layers.pkl")
    assert set(table.step) == set(range(6)) - set(here)
    alone = steps(net(), *data(), count=6).table()
    alone = alone[alone.step.isin(set(table.step))]
    for column in ("output_std", "output_grad_norm", "weight_grad_norm"):
        assert table[column].to_numpy() == pytest.approx(alone[column].to_numpy(), rel=1e-6, nan_ok=True), column
