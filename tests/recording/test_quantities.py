"""Dead channels, lifetimes, histograms and the gradient's signal-to-noise ratio, against their definitions."""

import copy
import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labapp.nets import build
from labapp.recording import Recorder, every
from tests.recording.nets import batch, record


def test_in_place_twin_gives_the_same_numbers():
    """Rule 3: conv–BN–ReLU in place against the same net out of place, every number equal to the bit."""

    def net(inplace):
        torch.manual_seed(0)
        layers = []
        for width in (3, 8, 8):
            layers += [nn.Conv2d(width, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=inplace)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))

    x, y = batch(8)
    one, two = (record(net(inplace), x, y, steps=3).table() for inplace in (True, False))
    assert one.equals(two)


def test_dead_channels_and_zero_fraction_are_those_of_the_rectifier():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    with torch.no_grad():
        model[0].bias[2:5] = -100.0
    x, y = batch(8)
    table = record(model, x, y).table().set_index("layer")
    assert table.loc["0", "dead_channels"] == 3
    assert table.loc["0", "zero_fraction"] == pytest.approx((model[0](x) <= 0).float().mean().item(), abs=0.02)
    assert table.loc["3"].isna()[["dead_channels", "zero_fraction"]].all()  # nothing rectifies the classifier


def test_a_functional_rectifier_is_found_too():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 10)

        def forward(self, x):
            return self.head(F.relu_(self.norm(self.conv(x))).mean((2, 3)))

    x, y = batch(8)
    recorder = record(Net(), x, y)
    assert {layer["path"]: layer["rectified"] for layer in recorder.layers} == {
        "conv": False,
        "norm": True,
        "head": False,
    }


class Functions(nn.Module):
    """A convolution before and after a function that is no module."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.head, self.function = nn.Conv2d(3, 4, 3), nn.Linear(4, 10), function

    def forward(self, x):
        return self.head(self.function(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("function", "silences"),
    [
        (nn.ReLU(), True),
        (nn.ReLU(inplace=True), True),
        (nn.ReLU6(), True),
        (F.relu6, True),
        (nn.Hardtanh(0.0, 1.0), True),
        (nn.LeakyReLU(0.0), True),
        (nn.Hardtanh(), False),  # −1 to 1: zero is in its middle
        (nn.Hardtanh(-1.0, 0.0), False),  # zero above zero
        (nn.LeakyReLU(), False),
        (nn.Hardswish(), False),  # zero up to −3 only
        (nn.Hardsigmoid(), False),
        (nn.Threshold(0.1, 20.0), False),
        (nn.Softplus(), False),
        (nn.Tanh(), False),
    ],
)
def test_shares_of_zeros_exist_where_zero_is_a_half_line(function, silences):
    torch.manual_seed(0)
    model = Functions(function)
    x, y = batch(8)
    outputs = model.function(model.conv(x)).detach()
    given = model.conv(x).detach()
    # the definition, on the values themselves: exactly 0 where h ≤ 0, and nowhere else
    assert (torch.equal(outputs == 0, given <= 0)) == silences
    row = record(model, x, y).table().set_index("layer").loc["conv"]
    assert math.isnan(row["zero_fraction"]) != silences
    assert math.isnan(row["dead_channels"]) != silences
    if silences:
        assert row["zero_fraction"] == pytest.approx((outputs == 0).float().mean().item(), abs=1e-6)


def test_lifetimes_say_when_a_channel_died_and_came_back():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 10))
    x, y = batch(8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for bias in (0.0, -1e3, -1e3, 1e3):
            with recorder.step():
                with torch.no_grad():
                    model[0].bias[1] = bias
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    events = recorder.table("lifetimes")
    assert events[["step", "layer", "channel", "event"]].values.tolist() == [
        [1, "0", 1, "died"],
        [3, "0", 1, "revived"],
    ]


def test_histograms_count_every_value_in_fixed_bins():
    torch.manual_seed(0)
    model = build("residual", depth=8, width=4, image_size=16)
    x, y = batch(16)
    recorder = record(model, x, y, steps=4, histograms=every(2))
    table = recorder.table("histograms")
    assert sorted(table.step.unique()) == [0, 2]
    shapes = {layer["path"]: layer["shape"] for layer in recorder.layers}
    for (layer, _, _), part in table.groupby(["layer", "of", "step"]):
        assert part["count"].sum() == 4 * torch.Size(shapes[layer]).numel()
        assert part.exponent.between(-127, 128).all()


def test_gradient_signal_to_noise_equals_its_definition():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 16), nn.ReLU(), nn.Linear(16, 10)).double()
    x, y = torch.randn(32, 3, 8, 8).double(), torch.randint(0, 10, (32,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    parts = list(zip(x.chunk(4), y.chunk(4), strict=True))
    own = [torch.autograd.grad(F.cross_entropy(model(a), b), model[1].weight)[0] for a, b in parts]
    mean = torch.stack(own).mean(0)
    expected = (mean**2).sum() / torch.stack(own).var(0, correction=1).sum()
    with Recorder(model, optimizer, when=every(1), gradient_noise=True) as recorder, recorder.step():
        optimizer.zero_grad()
        for a, b in parts:
            (F.cross_entropy(model(a), b) / 4).backward()
        optimizer.step()
    table = recorder.table().set_index("layer")
    assert table.loc["1", "gradient_signal_to_noise"] == pytest.approx(expected.item(), rel=1e-4)


def test_the_portable_reductions_record_the_same(monkeypatch):
    torch.manual_seed(0)
    model = build("residual", depth=8, width=4, image_size=16)
    x, y = batch(16)

    compiled = record(copy.deepcopy(model), x, y, steps=2)
    monkeypatch.setattr("labapp.recording.board.library", lambda: (None, "none here"))
    portable = record(model, x, y, steps=2)
    assert portable.cost["kernels"] == "none here"
    one, two = compiled.table(), portable.table()
    numbers = one.select_dtypes("float32").columns
    for name in numbers:
        assert one[name].to_numpy() == pytest.approx(two[name].to_numpy(), rel=2e-4, abs=2e-5, nan_ok=True), name


def test_warnings_are_not_swallowed():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record(build("plain", depth=8, width=4, image_size=16), *batch(16))
