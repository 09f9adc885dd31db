"""One line instead of a loop edit: the same numbers as with explicit steps."""

import copy
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

import labapp
from labapp.config import Experiment, LabError
from labapp.recording import Recorder, every, unwatch, watch
from labapp.store import Run, list_runs


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))


def data(step):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(6, 3, 8, 8, generator=generator), torch.randint(0, 10, (6,), generator=generator)


def plain(model, optimizer, step, scaler):
    x, y = data(step)
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def accumulated(model, optimizer, step, scaler):
    optimizer.zero_grad()
    for part in zip(*(t.chunk(2) for t in data(step)), strict=True):
        (F.cross_entropy(model(part[0]), part[1]) / 2).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()


def closure(model, optimizer, step, scaler):
    x, y = data(step)

    def evaluate():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    optimizer.step(evaluate)


def scaled(model, optimizer, step, scaler):
    x, y = data(step)
    optimizer.zero_grad()
    scaler.scale(F.cross_entropy(model(x), y) * (torch.inf if step in (1, 2, 5) else 1.0)).backward()
    scaler.step(optimizer)
    scaler.update()


def evaluated_between(model, optimizer, step, scaler):
    plain(model, optimizer, step, scaler)
    model.eval()
    with torch.no_grad():
        model(data(100)[0])
    model(data(101)[0])  # without no_grad, and without a backward pass
    model.train()
    copy.deepcopy(model)
    torch.save(model, io.BytesIO())


LOOPS = {
    "plain": (plain, torch.optim.SGD),
    "accumulated and clipped": (accumulated, torch.optim.SGD),
    "closure": (closure, torch.optim.SGD),
    "lbfgs": (closure, lambda p, lr: torch.optim.LBFGS(p, lr=lr, max_iter=3)),
    "scaled, some refused": (scaled, torch.optim.SGD),
    "scaled, fused": (scaled, lambda p, lr: torch.optim.Adam(p, lr=lr, fused=True)),
    "evaluated between": (evaluated_between, torch.optim.SGD),
}


@pytest.mark.filterwarnings("ignore:the optimizer evaluated its closure several times")
@pytest.mark.filterwarnings("ignore:a forward pass without a backward pass")
@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("n", [1, 3])
def test_the_numbers_are_those_of_explicit_steps(name, n):
    loop, make = LOOPS[name]
    explicit, watched, bare = net(), net(), net()
    tables = {}

    optimizer, scaler = make(explicit.parameters(), lr=0.05), torch.amp.GradScaler("cpu", init_scale=64.0)
    with Recorder(explicit, optimizer, when=every(n), scaler=scaler if "scaled" in name else None) as recorder:
        for step in range(8):
            with recorder.step():
                loop(explicit, optimizer, step, scaler)
    optimizer, scaler = make(watched.parameters(), lr=0.05), torch.amp.GradScaler("cpu", init_scale=64.0)
    watching = watch(watched, optimizer, runs=None, when=every(n), scaler=scaler if "scaled" in name else None)
    for step in range(8):
        loop(watched, optimizer, step, scaler)
    unwatch(watched)
    for table in ("layers", "totals", "lifetimes"):
        tables[table] = recorder.table(table), watching.recorder.table(table)
    optimizer, scaler = make(bare.parameters(), lr=0.05), torch.amp.GradScaler("cpu", init_scale=64.0)
    for step in range(8):
        loop(bare, optimizer, step, scaler)

    for one, two in tables.values():
        assert one.equals(two)
    assert sorted(tables["totals"][1].step) == [*range(0, 8, n)]
    for net_ in (explicit, watched):
        assert all(
            torch.equal(a, b) for a, b in zip(net_.state_dict().values(), bare.state_dict().values(), strict=True)
        )
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in watched.modules())
    assert not _global_optimizer_pre_hooks
    assert not _global_optimizer_post_hooks


def test_it_fills_a_run_that_unwatch_finishes(tmp_path):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    about = Experiment(net="mynets:make", imageset="folder", steps=5)
    run = watch(model, optimizer, runs=tmp_path, when=every(2), experiment=about).run
    for step in range(5):
        plain(model, optimizer, step, None)
    assert Run(run).status == "running"
    unwatch(model)
    assert Run(run).status == "finished"
    assert Run(run).progress == (5, 5)
    assert sorted(set(Run(run).layers()["step"])) == [0, 2, 4]
    assert np.isfinite(Run(run).layers(columns=["output_grad_norm"])["output_grad_norm"]).all()
    unwatch(model)  # once more is nothing


@pytest.mark.parametrize(
    ("ending", "status", "message"),
    [
        pytest.param("", "finished", "", marks=pytest.mark.long),
        ("raise ValueError('a leak')", "failed", "ValueError: a leak"),
        pytest.param("raise KeyboardInterrupt", "stopped", "KeyboardInterrupt", marks=pytest.mark.long),
    ],
)
def test_the_end_of_the_process_ends_the_run(tmp_path, ending, status, message):
    program = f"""
import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks
from labapp.recording import every, watch
model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
optimizer = torch.optim.SGD(model.parameters(), 0.1)
watch(model, optimizer, runs={str(tmp_path)!r}, when=every(1))
for _ in range(3):
    optimizer.zero_grad(); model(torch.randn(5, 3)).sum().backward(); optimizer.step()
{ending}
"""
    root = Path(labapp.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (status == "finished"), done.stderr
    (run,) = list_runs(tmp_path)
    assert (run.status, run.record.message) == (status, message or run.record.message)
    assert run.record.message.startswith(message)
    assert sorted(set(run.layers()["step"])) == [0, 1, 2]
    assert run.name == "Sequential"


def test_what_cannot_be_watched_is_one_sentence():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with pytest.raises(LabError, match="watch needs the optimizer"):
        watch(model, None, runs=None)
    watch(model, optimizer, runs=None)
    with pytest.raises(LabError, match="watched already"):
        watch(model, optimizer, runs=None)
    unwatch(model)
    with pytest.raises(LabError, match="no parameter of this model"):
        watch(model, torch.optim.SGD(net().parameters(), 0.1), runs=None)
    watch(model, optimizer, runs=None)
    unwatch(model)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_step_that_had_begun_when_watching_ended_is_not_counted(tmp_path, n):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watched = watch(model, optimizer, runs=tmp_path, when=every(n))
    for step in range(6):
        plain(model, optimizer, step, None)
    unwatch(model)
    assert Run(watched.run).progress == (6, 6)
