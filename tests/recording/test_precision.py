"""Numbers far from one: very small and very large values, spreads far below the mean, every dtype and memory format."""

import copy

import pytest
import torch
from torch import nn

from labapp.recording import Recorder, every
from labapp.recording.kernels import Launches, memory, slots
from labapp.recording.values import _summed
from tests.recording.nets import hooks_of
from tests.recording.scenarios import data, mlp
from tests.recording.witness import norm


def record(model, x, factor=1.0, **options):
    with Recorder(model, when=every(1), **options) as recorder, recorder.step():
        (model(x) * factor).sum().backward()
    return recorder.table().set_index("layer")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e18])
def test_every_norm_from_small_to_large(size, dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64, bias=False), nn.Linear(64, 1, bias=False)).to(dtype)
    with torch.no_grad():
        model[0].weight.mul_(size)
    x = data(0, 32, 16).to(dtype)
    twin = copy.deepcopy(model)
    hidden = twin[0](x)
    out = twin[1](hidden)
    gradient = torch.autograd.grad(out.sum() * size, [hidden, *twin.parameters()])
    row = record(model, x, size).loc["0"]
    assert row.nonfinite == 0
    assert row.output_std == pytest.approx(hidden.double().std(correction=0).item(), rel=1e-5)
    assert row.weight_norm == pytest.approx(norm([twin[0].weight]), rel=1e-5)
    assert row.output_grad_norm == pytest.approx(norm([gradient[0]]), rel=1e-5)
    assert row.weight_grad_norm == pytest.approx(norm([gradient[1]]), rel=1e-5)


@pytest.mark.parametrize("mean", [10.0, 1e3, 1e5, -1e5])
@pytest.mark.parametrize("shape", [(512, 6), (16, 32, 6)])
def test_a_spread_far_below_the_mean(mean, shape):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 64))
    nn.init.constant_(model[1].bias, mean)
    x = data(0, *shape)
    row = record(model, x).loc["1"]
    values = model(x).detach().double()
    # sums right to 1e-12 leave a variance right to 1e-12·mean²/σ²: 1 % of σ at a mean of 10⁵σ
    assert row.output_std == pytest.approx(values.std(correction=0).item(), rel=1e-4)
    assert row.output_mean == pytest.approx(values.mean().item(), rel=1e-6)


PATHS = ("compiled", "portable", "device", "narrow device")


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Each way in which sums are taken; a device without float64 (MPS) is one whose kernels are told so."""
    if request.param != "compiled":
        monkeypatch.setattr("labapp.recording.board.library", lambda: (None, "none here"))
    if "device" in request.param:
        monkeypatch.setattr(memory, "ORDINARY", frozenset())  # no tensor lies where it can be read
    if request.param == "narrow device":
        monkeypatch.setattr(slots, "NARROW", ("cpu",))
    return request.param


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("ratio", [0.0, 300.0, 1e3, -1e4])
@pytest.mark.parametrize("shape", [(512, 6), (16, 32, 6)])
def test_a_variance_on_every_path(path, dtype, ratio, shape):
    """E[x²] − mean² in float32 gave 3.49 for 1.00 at a mean of 300 deviations, and 0 at 1,000."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 64))
    with torch.no_grad():
        deviation = model(data(0, *shape)).std().item()
    nn.init.constant_(model[1].bias, ratio * deviation)
    model, x = model.to(dtype), data(0, *shape).to(dtype)
    values = model(x).detach().double()  # in bfloat16 the values themselves have steps of 40 deviations at 10⁴
    row = record(model, x).loc["1"]
    # float32 sums about a mean of eight bits keep 40² · 1e-7 of the variance; all others 1e-6
    assert row.output_std == pytest.approx(values.std(correction=0).item(), rel=5e-4 if "narrow" in path else 2e-6)
    assert row.output_mean == pytest.approx(values.mean().item(), rel=2e-6, abs=2e-6 * deviation)


def test_sums_about_the_mean_whatever_the_number_of_values(monkeypatch):
    monkeypatch.setattr(slots, "NARROW", ("cpu",))
    torch.manual_seed(0)
    launches, broken = Launches(), torch.tensor([1.0, float("nan"), float("inf")])
    values = [100 + torch.randn(count) for count in (1, 255, 256, 65_537, 300_001)]
    written, ill = [launches.energy(x) for x in values], launches.energy(broken)
    launches.buffers.land()
    for x, one in zip(values, written, strict=True):
        found = one.numbers()
        assert found[0] == pytest.approx(x.double().sum().item(), rel=1e-7)
        assert found[1] == pytest.approx(x.double().square().sum().item(), rel=1e-7)
        assert found[2:].tolist() == [len(x), 0]
    assert ill.numbers()[3] == 2


def test_a_sparse_gradient_is_added_up_without_a_look_at_it():
    indices = torch.tensor([[1, 0, 1, 3], [2, 2, 2, 0]])
    sparse = torch.sparse_coo_tensor(indices, data(0, 4, 5), (4, 3, 5), check_invariants=True)
    found = _summed(sparse)  # as on a device, which would be asked for the number of distinct rows
    assert norm([found]) == pytest.approx(norm([sparse.to_dense()]), rel=1e-6)
    assert found.shape == (12, 5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 256, bias=False), nn.Linear(256, 4, bias=False)).to(dtype)
    with torch.no_grad():
        model[0].weight.fill_(16.0)  # 65,536 squares of 256 and more are beyond float16
    x = torch.ones(64, 16, dtype=dtype)
    row = record(model, x).loc["0"]
    hidden = model[0](x).detach()
    assert row.output_mean == pytest.approx(hidden.double().mean().item(), rel=1e-6)
    assert row.weight_norm == pytest.approx(norm([model[0].weight]), rel=1e-6)
    assert row.nonfinite == 0


def test_a_deep_sigmoid_net_whose_gradients_vanish():
    torch.manual_seed(0)
    model = mlp(*[8] * 24, activation=nn.Sigmoid).double().float()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(0.2)
    table = record(model, data(0, 16, 8))
    for at in range(0, len(model), 2):
        gradient = norm([model[at].weight.grad])
        assert table.loc[str(at), "weight_grad_norm"] == pytest.approx(gradient, rel=1e-5, abs=1e-45), at
    assert norm([model[0].weight.grad]) < 1e-23


@pytest.mark.parametrize("where", ["input", "weight"])
def test_one_value_that_is_not_a_number_is_counted(where):
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), data(0, 8, 4)
    with torch.no_grad():
        (x if where == "input" else model[0].weight)[0, 0] = torch.nan
    table = record(model, x)
    bad = (~torch.isfinite(model[0](x))).sum().item()
    assert table.loc["0", "nonfinite"] >= bad > 0
    assert hooks_of(model) == 0
