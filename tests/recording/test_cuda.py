"""The same numbers on a GPU: every quantity, every kind of optimizer, loss scaling, and weights bit for bit.

Skipped where there is none.
"""

import copy
import gc
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labapp.config import Experiment
from labapp.nets import build
from labapp.recording import Recorder, every
from labapp.recording import recorder as recorder_module
from labapp.training.loop import resume, train
from tests.recording.ill import chain, first
from tests.recording.nets import batch, optimizer_of
from tests.recording.oracle import oracle_step
from tests.recording.test_numbers import MODELS
from tests.training.interrupted import assert_equal, interrupted
from tests.training.small import small

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")

OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.05, momentum=0.9),
    "sgd, foreach": partial(torch.optim.SGD, lr=0.05, momentum=0.9, foreach=True),
    "sgd, fused": partial(torch.optim.SGD, lr=0.05, momentum=0.9, fused=True),
    "adam": partial(torch.optim.Adam, lr=0.01),
    "adam, fused": partial(torch.optim.Adam, lr=0.01, fused=True),
    "adam, capturable": partial(torch.optim.Adam, lr=0.01, capturable=True),
    "adamw, capturable and foreach": partial(torch.optim.AdamW, lr=0.01, capturable=True, foreach=True),
    "rmsprop, capturable": partial(torch.optim.RMSprop, lr=0.01, capturable=True),
}


@pytest.fixture(autouse=True)
def exact():
    """float32 is float32, and every operation the same each time."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = before


def residual() -> nn.Module:
    torch.manual_seed(0)
    return build("residual", depth=8, width=4, image_size=16).train().to(DEVICE)


def images(size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = batch(size)
    return x.float().to(DEVICE), y.to(DEVICE)


@pytest.mark.filterwarnings("ignore:.*gave no output in the first recorded step")
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", MODELS)
def test_every_number_equals_the_oracle(name, memory_format):
    make, size = MODELS[name]
    torch.manual_seed(0)
    model = make().train().to(DEVICE, memory_format=memory_format)
    x, y = images(size)
    optimizer = optimizer_of(model.parameters())
    twin = copy.deepcopy(model)
    with Recorder(model, optimizer, when=every(1)) as recorder, recorder.step():
        optimizer.zero_grad()
        F.cross_entropy(model(x.to(memory_format=memory_format)), y).backward()
        optimizer.step()
    table = recorder.table().set_index("layer")
    paths = list(dict.fromkeys(layer["path"].split("#")[0] for layer in recorder.layers))
    expected = oracle_step(twin, optimizer_of, x, y, paths)
    assert recorder.cost["missing_steps"] == []
    assert len(table) >= 5
    tolerance = 1e-2  # the rounding of the net itself in float32, where gradients cancel in front of a batch norm
    for layer, row in table.iterrows():
        for quantity, value in expected.get(layer, {}).items():
            if quantity == "share_not_positive":
                if row.zero_fraction == row.zero_fraction:
                    assert row.zero_fraction == pytest.approx(value, abs=tolerance)
            elif quantity == "output_mean":
                assert row.output_mean == pytest.approx(value, abs=tolerance * max(1e-3, expected[layer]["output_std"]))
            else:
                assert getattr(row, quantity) == pytest.approx(value, rel=tolerance, abs=1e-7), (layer, quantity)


def steps(model: nn.Module, make, count: int, when=None):
    """Train some steps, recorded or not; the recorder."""
    x, y = images()
    optimizer = make(model.parameters())
    recorder = Recorder(model, optimizer, when=when or every(1))
    with recorder:
        for _ in range(count):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    return recorder


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_an_optimizer_did(name):
    """Update ratio and gradient norm of the last of three steps, against the weights before and after it."""
    make = OPTIMIZERS[name]
    model, bare = residual(), residual()
    recorder = steps(model, make, 3)
    table = recorder.table().set_index(["step", "layer"])
    x, y = images()
    optimizer = make(bare.parameters())
    for _ in range(3):
        before = {n: p.detach().double().clone() for n, p in bare.named_parameters()}
        optimizer.zero_grad()
        F.cross_entropy(bare(x), y).backward()
        gradients = {n: p.grad.double().norm().item() for n, p in bare.named_parameters()}
        optimizer.step()
    found = 0
    for layer in table.loc[2].index:
        if f"{layer}.weight" not in before:
            continue
        now, then = dict(bare.named_parameters())[f"{layer}.weight"].detach().double(), before[f"{layer}.weight"]
        row = table.loc[2, layer]
        assert row.update_ratio == pytest.approx(((now - then).norm() / then.norm()).item(), rel=1e-4)
        assert row.weight_norm == pytest.approx(then.norm().item(), rel=1e-5)
        assert row.weight_grad_norm == pytest.approx(gradients[f"{layer}.weight"], rel=1e-4, abs=1e-7)
        found += 1
    assert found >= 9


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_come_out_bit_for_bit_as_without(name):
    weights = []
    for when in (every(1), lambda step: False):
        model = residual()
        steps(model, OPTIMIZERS[name], 5, when)
        weights.append([p.detach().clone() for p in (*model.parameters(), *model.buffers())])
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))


@pytest.mark.parametrize("fused", [False, True])
def test_gradients_are_divided_by_the_loss_scale_and_skipped_steps_told(fused):
    model, twin = residual(), residual()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)
    scaler = torch.amp.GradScaler(DEVICE, init_scale=2.0**14, growth_interval=1)
    x, y = images()
    with Recorder(model, optimizer, when=every(1), scaler=scaler) as recorder:
        for factor in (1.0, float("inf"), 1.0):
            with recorder.step():
                optimizer.zero_grad()
                with torch.autocast(DEVICE, dtype=torch.float16):
                    loss = F.cross_entropy(model(x), y)
                scaler.scale(loss * factor).backward()
                scaler.step(optimizer)
                scaler.update()
    with torch.autocast(DEVICE, dtype=torch.float16):
        loss = F.cross_entropy(twin(x), y)
    (loss * 2.0**14).backward()
    table, totals = recorder.table(), recorder.table("totals")
    first = table[table.step == 0].set_index("layer")
    for layer, row in first.iterrows():
        parameter = dict(twin.named_parameters()).get(f"{layer}.weight")
        if parameter is not None and row.weight_grad_norm == row.weight_grad_norm:
            right = parameter.grad.double().norm().item() / 2.0**14
            assert row.weight_grad_norm == pytest.approx(right, rel=1e-3, abs=1e-7)
    assert totals.set_index("step")["skipped"].tolist() == [0, 1, 0]


def test_a_recorded_step_makes_nobody_wait(monkeypatch):
    """Every wait for the GPU raises, in our hooks too, where it would cost the step its record."""
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", math.inf)  # a flush waits for its one copy
    model, (x, y) = residual(), images()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    options = {"histograms": every(1), "spreads": every(1), "gradient_noise": True}
    with Recorder(model, optimizer, when=every(2), **options) as recorder:
        for _ in range(16):
            torch.cuda.set_sync_debug_mode("error")
            try:
                with recorder.step():
                    optimizer.zero_grad()
                    for part in (slice(0, 2), slice(2, 4)):
                        (F.cross_entropy(model(x[part]), y[part]) / 2).backward()
                    optimizer.step()
            finally:
                torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    assert recorder.cost["missing_steps"] == []
    assert recorder.cost["device_share_low"] <= recorder.cost["device_share"] <= recorder.cost["device_share_high"]


def test_nothing_stays_on_the_gpu():
    model = residual()
    steps(model, OPTIMIZERS["sgd"], 2)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        recorder = steps(model, OPTIMIZERS["sgd"], 20)
        del recorder
    model.zero_grad()
    gc.collect()
    assert torch.cuda.memory_allocated() <= before


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_training_on_the_gpu_learns_and_is_recorded(tmp_path, precision):
    experiment = Experiment(
        family="residual", depth=8, width=8, imageset="digits", steps=60, batch_size=64, device=DEVICE,
        precision=precision, record_every=5, eval_every=30, checkpoints=3,
    )  # fmt: skip
    run = train(experiment, tmp_path)
    assert run.status == "finished", run.message
    assert run.environment["device"].startswith("cuda")
    assert run.evals()["accuracy"].iloc[-1] > 0.5
    layers = run.layers()
    assert set(layers["step"]) == set(range(0, 60, 5))
    assert layers["output_grad_norm"].notna().any()
    assert run.problems == []


@pytest.mark.parametrize("changes", [{}, {"precision": "16-mixed", "accumulate": 2}, {"precision": "bf16-mixed"}])
def test_a_training_on_the_gpu_goes_on_bit_for_bit(tmp_path, changes):
    changes = {"imageset": "digits", "steps": 8, "record_every": 3, "device": DEVICE, "depth": 8} | changes
    whole = train(small(**changes), tmp_path, run_id="whole")
    again = resume(interrupted(tmp_path, 6, **changes))
    assert [attempt["from_step"] for attempt in again.attempts] == [0, 5]
    assert_equal(whole, again)


def test_an_overflow_of_half_precision_is_told_by_its_layer():
    model = chain(nn.Linear(8, 8)).to(DEVICE)
    with torch.no_grad():
        model[2].weight.fill_(3e4)  # 65,504 is the largest number of half precision
    x, y = torch.ones(16, 8, device=DEVICE) * 3, torch.zeros(16, dtype=torch.long, device=DEVICE)
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    scaler = torch.amp.GradScaler(DEVICE)
    with Recorder(model, optimizer, when=every(1), scaler=scaler) as recorder:
        for _ in range(3):
            with recorder.step():
                optimizer.zero_grad()
                with torch.autocast(DEVICE, torch.float16):
                    loss = F.cross_entropy(model(x).float(), y)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
    assert first(recorder.table("divergence")) == (0, "output", "2", "inf")


def test_a_training_on_the_gpu_that_diverges_says_what_it_did_not_see(tmp_path):
    changes = {"imageset": "digits", "norm": "none", "learning_rate": 1e4, "steps": 20, "device": DEVICE}
    seen = train(small(**changes, record_every=1), tmp_path)
    assert seen.status == "diverged"
    assert "it began in" in seen.message
    blind = train(small(**changes, record="none"), tmp_path)
    assert "the layers of that step were not recorded" in blind.message
    assert blind.table("divergence")["what"][0] == "loss"
