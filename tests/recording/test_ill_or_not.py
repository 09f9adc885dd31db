"""What is ill and what is not: loss scalers, masks, nets of others, micro-batches, a training that is watched."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from labapp.recording import Recorder, divergence, every, unwatch, watch
from labapp.recording.board import GRADIENT, NONFINITE, OUTPUT, WIDTH, Pending
from labapp.recording.kernels import Launches, memory
from labapp.recording.sums import Sums
from labapp.store import Run
from tests.recording.ill import Poisoned, chain, first, train
from tests.recording.nets import batch, optimizer_of, record, small


def half_chain():
    model = chain(nn.Linear(8, 8))
    with torch.no_grad():
        model[2].weight.fill_(3e4)
    return model


def test_an_overflow_of_half_precision_in_autocast():
    x = torch.ones(16, 8) * 3
    model = half_chain()
    with torch.autocast("cpu", torch.float16):
        table = train(model, steps=1, x=x, loss=lambda out, y: F.cross_entropy(out.float(), y))
    assert first(table) == (0, "output", "2", "inf")  # 65,504 is the largest number of half precision


@pytest.mark.filterwarnings("ignore:optimizer.step")  # was refused, which only a scaler that is given tells
@pytest.mark.parametrize("told", [True, False])
def test_a_step_that_a_scaler_refuses_is_no_divergence(told):
    model = chain(nn.Linear(8, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1000)
    x, y = torch.randn(16, 8) * 1e3, torch.randint(0, 4, (16,))
    with Recorder(model, optimizer, when=every(1), scaler=scaler if told else None) as recorder:
        for _ in range(40):
            with recorder.step():
                optimizer.zero_grad()
                scaler.scale(F.cross_entropy(model(x), y)).backward()
                scaler.step(optimizer)
                scaler.update()
    skipped = recorder.table("totals")["skipped"]
    assert 0 < skipped.sum() < len(skipped)
    assert recorder.table("divergence").empty


class Masked(nn.Module):
    """Attention of one head, whose masked scores are −∞ by design."""

    def __init__(self, poison=10**9):
        super().__init__()
        torch.manual_seed(0)
        self.query, self.key, self.head = nn.Linear(8, 8), nn.Linear(8, 8), Poisoned(math.nan, poison)
        self.mask = Mask()

    def forward(self, x):
        scores = self.mask(self.query(x) @ self.key(x).T)
        return self.head(scores.softmax(-1) @ x)


class Mask(nn.Module):
    def forward(self, scores):
        return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf)


def test_values_that_are_infinite_by_design_are_no_divergence():
    heard = {"layers": lambda path, module: path in ("query", "key", "mask", "head")}
    assert train(Masked(), **heard).empty
    table = train(Masked(poison=3), steps=40, **heard)
    assert first(table) == (3, "output", "head", "nan")


class Flickering(nn.Linear):
    """Infinite in some calls, which the rectifier behind it makes zero."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) - (math.inf if self.calls in (3, 4, 7) else 0)


def test_an_infinite_output_that_does_no_harm_is_told_and_is_no_divergence():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), Flickering(8, 8), nn.ReLU(), nn.Linear(8, 4))
    optimizer = optimizer_of(model.parameters())
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for _ in range(9):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(model(torch.randn(16, 8)), torch.zeros(16, dtype=torch.long)).backward()
                optimizer.step()
    table = recorder.table("divergence")
    assert table[["step", "what", "layer", "after"]].to_numpy().tolist() == [
        [2, "output", "1", 1],
        [6, "output", "1", 5],
    ]
    assert recorder._outlet.divergence.now is None


@pytest.mark.parametrize("steps", [1, 5])
def test_a_healthy_training_has_no_rows(steps):
    recorder = record(small(), *batch(16), steps=steps)
    assert recorder.table("divergence").empty


def look_at(twin, largest, step):
    def hear(name):
        def hook(module, given, output):
            largest.setdefault((step, name), float(output.detach().abs().max()))

        return hook

    for name, module in twin.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(hear(name))


def test_a_rate_that_is_far_too_large():
    """The forward overflows: in the very layer whose float64 twin passes float32's largest number."""
    torch.manual_seed(0)
    model = small(norm="none")
    x, y = batch(16)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e4, momentum=0.9)
    largest = {}
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for step in range(5):
            twin = small(norm="none").double()
            twin.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
            look_at(twin, largest, step)
            twin(x.double())
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    step, what, layer, kind = first(recorder.table("divergence"))
    over = [key for key, size in largest.items() if size > torch.finfo(torch.float32).max]
    assert ((step, layer), what, kind) == (over[0], "output", "inf")


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer2.0.conv2"),
        ("mobilenet_v2", "features.3.conv.0.0"),
        ("densenet121", "features.denseblock2.denselayer3.conv1"),
    ],
)
def test_nets_of_torchvision(name, layer):
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(num_classes=10)
    with torch.no_grad():
        model.get_submodule(layer).weight.fill_(1e38)
    recorder = record(model, *batch(64))
    assert first(recorder.table("divergence")) == (0, "output", layer, "inf")
    assert recorder.table("divergence")["input"][0] == "finite"


def test_micro_batches_of_which_one_is_ill():
    model = chain(nn.Linear(8, 8))
    optimizer = optimizer_of(model.parameters())
    good, bad = torch.randn(8, 8), torch.full((8, 8), math.nan)
    with Recorder(model, optimizer, when=every(1)) as recorder, recorder.step():
        for x in (good, bad, good):
            F.cross_entropy(model(x), torch.zeros(8, dtype=torch.long)).backward()
        optimizer.step()
    assert first(recorder.table("divergence")) == (0, "output", "0", "nan")


def test_the_order_of_values_that_land_later_is_that_in_which_they_came():
    """As on a device: nothing is looked at before the flush."""
    sums = Sums(0, np.zeros((4, WIDTH)), *np.ones((3, 4), dtype=int))
    launches = Launches()
    for row, offset, ill in ((2, OUTPUT, 1), (0, OUTPUT, 0), (1, OUTPUT, 1), (3, GRADIENT, 1)):
        written = launches.energy(torch.tensor([math.inf, math.nan, 1.0]) if ill else torch.ones(4))
        sums.pending.append(Pending("sums", row, offset, written))
    launches.buffers.land()
    sums.land()
    assert sums.ill == {OUTPUT: [2, 1], GRADIENT: [3]}


def test_a_watched_training_that_is_ill_at_its_end_ends_as_diverged(tmp_path):
    model = chain(Poisoned(math.inf, 2))
    optimizer = optimizer_of(model.parameters())
    watched = watch(model, optimizer, runs=tmp_path, when=every(1))
    for _ in range(4):
        optimizer.zero_grad()
        F.cross_entropy(model(torch.randn(16, 8)), torch.zeros(16, dtype=torch.long)).backward()
        optimizer.step()
    unwatch(model)
    run = Run(watched.run)
    assert run.status == "diverged"
    assert run.message.startswith("values that are not finite began in step 2: the output of 2")
    assert run.table("divergence")["what"][0] == "output"


def test_what_other_processes_saw_is_ordered_as_the_layers_are():
    sums = Sums(0, np.zeros((5, WIDTH)), *np.ones((3, 5), dtype=int))
    sums.table[[1, 3], OUTPUT + NONFINITE] = sums.table[[0, 2], GRADIENT + NONFINITE] = 4
    assert divergence._in_order(sums, OUTPUT) == [1, 3]
    assert divergence._in_order(sums, GRADIENT) == [2, 0]
    sums.ill[OUTPUT].append(3)  # seen by this process
    assert divergence._in_order(sums, OUTPUT) == [3, 1]


@pytest.mark.filterwarnings("ignore:the model is compiled")
def test_a_compiled_net_is_told_by_its_weights():
    model = chain(nn.Linear(8, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e38)
    compiled = torch.compile(model, backend="eager")
    with Recorder(compiled, optimizer, when=every(1)) as recorder:
        for _ in range(2):
            with recorder.step():
                optimizer.zero_grad()
                (F.cross_entropy(compiled(torch.randn(16, 8)), torch.zeros(16, dtype=torch.long)) * 1e6).backward()
                optimizer.step()
    assert first(recorder.table("divergence")) == (0, "updated weight", "0", "inf")


def test_a_net_on_a_device_is_told_the_same(monkeypatch):
    """There nothing is looked at before the flush: the values land in the order in which they came."""
    known = train(chain(Poisoned(math.inf, 3)))
    monkeypatch.setattr(memory, "ORDINARY", frozenset())  # no tensor lies where it can be read
    torch.manual_seed(0)
    found = train(chain(Poisoned(math.inf, 3)))
    columns = ["step", "what", "layer", "kind", "places", "after"]
    assert found[columns].to_numpy().tolist() == known[columns].to_numpy().tolist()
    assert found["input"][0] == ""  # not looked at, since that would make the device wait
    assert found["note"][0] == "in step 3: the output of 2 became infinite, the first that was not finite"
