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
