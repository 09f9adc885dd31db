"""The recorder on a device, where each wait and each copy is seen; `test_device` runs this in a process of its own."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labapp.recording import Recorder, every, unwatch, watch
from labapp.recording import recorder as module
from labapp.recording.places import find_spots
from labapp.recording.quantities import __doc__ as meanings
from labapp.recording.weights import Weights
from tests.recording import far
from tests.recording.far_training import TABLES, Training, assert_same, images, net
from tests.recording.ill import Poisoned, chain
from tests.recording.test_numbers import MODELS

far.install()


@pytest.fixture(autouse=True)
def _no_flush_by_the_clock(monkeypatch):
    monkeypatch.setattr(module, "FLUSH_SECONDS", math.inf)


ALL = {"histograms": every(1), "spreads": every(1), "gradient_noise": True}


def test_every_quantity_is_taken_without_a_wait_and_comes_home_in_one_copy():
    there, here = (Training(net(), device, images(), **ALL) for device in (far.NAME, "cpu"))
    with far.looking() as bare:
        copy_of = Training(net(), far.NAME, images())
        for _ in range(3):
            copy_of.step()
    with Recorder(there.model, there.optimizer, **there.options) as recorder:
        again = Training(net(), far.NAME, images())  # the same copies to the device
        with far.looking() as seen:
            for _ in range(3):
                with recorder.step():
                    there.step()
        with far.looking() as flush:
            recorder.flush()
    del again
    assert seen.waits == bare.waits  # those of the loss scaling itself
    assert seen.home == []
    assert [name for name, _ in flush.home] == ["copy_"]
    assert not flush.waits
    assert_same(recorder, here.record())
    layers = recorder.table()
    told = set(layers.columns) & {word.strip(",") for word in meanings.replace(":", " ").split()}
    assert len(told) >= 15
    assert [name for name in told if layers[name].isna().all()] == []  # every one was taken on the device
    assert [name for name in TABLES if recorder.table(name).empty] == ["divergence"]


@pytest.mark.filterwarnings("ignore:.*gave no output in the first recorded step")
@pytest.mark.parametrize("name", ["pre-activation", "dense-10-bc", "torchvision vgg, in place"])
def test_the_numbers_of_other_nets(name):
    make, size = MODELS[name]
    torch.manual_seed(0)
    model = make().train()
    x = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1))
    there, here = (Training(model, device, x) for device in (far.NAME, "cpu"))
    with far.looking() as seen:
        found = there.record((1.0,))
    assert len(seen.home) == 1
    assert_same(found, here.record((1.0,)))


def test_launches_of_a_step():
    """Of outputs six at most, of gradients one, of a block's paths seven; of all parameters a few together."""
    there = Training(net(), far.NAME, images())
    with Recorder(there.model, there.optimizer, when=every(1)) as recorder:
        for _ in range(2):
            with far.looking() as seen, recorder.step():
                there.step()
    with far.looking() as bare:
        there.step()
    rows = [row for row in recorder._step.listener.rows if row.heard]
    blocks = sum(row.kind == "block" for row in rows)
    micro = 2
    assert (seen.launches - bare.launches).total() <= micro * (6 * len(rows) + 7 * blocks + 10) + 20


class Parted(nn.Module):
    """The first half on one device, the second on another."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Sequential(nn.Linear(6, 8), nn.ReLU()), nn.Linear(8, 10)

    def forward(self, x):
        return self.second(self.first(x).to(self.second.weight.device))


def test_a_net_of_which_one_half_is_on_a_device():
    recorders, x, y = [], torch.randn(8, 6), torch.arange(8)
    for device in (far.NAME, "cpu"):
        model = Parted()
        model.second.to(device)
        optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
        with Recorder(model, optimizer, when=every(1), **ALL) as recorder:
            there = y.to(device)
            with far.looking() as seen:
                for _ in range(2):
                    with recorder.step():
                        optimizer.zero_grad()
                        F.cross_entropy(model(x), there).backward()
                        optimizer.step()
            with far.looking() as flush:
                recorder.flush()
        assert not seen.waits
        assert len(flush.home) == (device == far.NAME)
        recorders.append(recorder)
    assert_same(*recorders)


def test_weights_on_two_devices_come_home_in_one_copy_each():
    """Without a backward pass: torch has one device of this kind."""
    changes = []
    for devices in ((f"{far.NAME}:0", f"{far.NAME}:1"), ("cpu", "cpu")):
        model = Parted()
        model.first.to(devices[0])
        model.second.to(devices[1])
        weights = Weights(model, find_spots(model), None, noise=True)
        weights.begin()
        with far.looking() as seen:
            weights.hold()
            for _ in range(2):
                for p in model.parameters():
                    p.grad = torch.ones_like(p) if p.grad is None else p.grad + 2 * torch.ones_like(p)
                weights.pass_ended()
            weights.before_step(torch.optim.SGD(model.parameters(), 0.1))
            with torch.no_grad():
                for p in model.parameters():
                    p.add_(p.grad, alpha=0.1)
            change = weights.end()
        with far.looking() as flush:
            weights.launches.buffers.land()
        change.land()
        assert not seen.waits
        assert seen.home == []
        assert len(flush.home) == (2 if devices[0] != "cpu" else 0)
        changes.append(change)
    for name in ("weights", "gradients", "micro"):
        assert getattr(changes[0], name) == pytest.approx(getattr(changes[1], name), rel=1e-6), name


@pytest.mark.filterwarnings("ignore:the gradients of a backward pass were set to zero")
@pytest.mark.parametrize("zeros", [True, False])
def test_gradients_that_were_set_to_zero_or_only_changed_are_told_when_they_have_landed(zeros):
    there, here = (Training(net(), device, images()) for device in (far.NAME, "cpu"))
    if not zeros:  # changed in place between two backward passes
        for training in (there, here):
            training.optimizer.zero_grad = changed(training.optimizer)
    with far.looking() as seen:
        found = there.record((1.0, 1.0), zeros=True)
    assert seen.waits["any"] == seen.waits["is_nonzero"] == 0
    assert_same(found, here.record((1.0, 1.0), zeros=True))
    assert any("set to zero" in note for note in found.notes) == zeros


def changed(optimizer):
    zero = optimizer.zero_grad

    def zero_grad(set_to_none=True):
        if set_to_none:
            zero()
        else:
            for group in optimizer.param_groups:
                for p in group["params"]:
                    p.grad.mul_(0.5)

    return zero_grad


def poisoned(at):
    torch.manual_seed(0)
    return chain(Poisoned(math.inf, at))


@pytest.mark.parametrize("factors", [(1.0, 1.0, math.inf, 1.0), (1.0, 1.0, 1.0)])
def test_a_training_that_becomes_ill(factors):
    """Of a loss that is not finite, which its scaler refuses, and of an output."""
    x = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    there, here = (Training(poisoned(4 if len(factors) == 3 else 100), device, x) for device in (far.NAME, "cpu"))
    found = there.record(factors)
    assert_same(found, here.record(factors))
    assert found.table("divergence").empty == (len(factors) == 4)


def test_a_step_that_raised_because_a_value_was_not_finite():
    tables = []
    for device in (far.NAME, "cpu"):
        training = Training(poisoned(0), device, torch.ones(8, 8))
        with Recorder(training.model, when=every(1)) as recorder:
            recorder.begin_step()
            training.model(training.x)
            recorder.end_step(failed=True)
        tables.append(recorder.table("divergence"))
    assert len(tables[0]) == 1
    assert tables[0][["step", "what", "layer", "kind"]].equals(tables[1][["step", "what", "layer", "kind"]])


def test_watching_asks_the_loss_scale_of_no_forward():
    counts, tables = [], []
    for recorded in (True, False):
        training = Training(net(), far.NAME, images())
        watched = (
            watch(training.model, training.optimizer, runs=None, when=every(1), scaler=training.scaler)
            if recorded
            else None
        )
        with far.looking() as seen:
            for factor in (1.0, math.inf, 1.0):
                training.step(factor)
        counts.append(seen.waits)
        if watched is not None:
            unwatch(training.model)
            tables.append(watched.recorder.table("totals"))
    assert counts[0] == counts[1]
    assert tables[0]["skipped"].tolist()[:3] == [0, 1, 0]
    assert tables[0]["loss_scale"].tolist()[:3] == [128.0, 128.0, 64.0]


def test_a_wait_would_be_seen():
    x = torch.ones(3).to(far.NAME)
    for wait in (
        lambda: x.sum().item(),
        lambda: x[x > 0],
        lambda: bool(x.any()),
        lambda: x.nonzero(),
        lambda: x.long().bincount(),
    ):
        with far.looking() as seen:
            wait()
        assert seen.waits or seen.home
    with far.looking() as seen:
        x.cpu()
    assert len(seen.home) == 1
    assert np.isclose(x.cpu().sum().item(), 3)
