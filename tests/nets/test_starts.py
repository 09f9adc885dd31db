import pytest
import torch
from torch import nn

from labapp.config import LabError
from labapp.nets import Net, build
from labapp.nets.starts import looks_linear_

WIDE = {"family": "plain", "depth": 8, "width": 64, "norm": "none"}


def layers(net: nn.Module) -> list[nn.Module]:
    return [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize(
    ("init", "variance"),
    [
        ("he", lambda fan_in, fan_out: 2 / fan_out),
        ("glorot", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        ("lecun", lambda fan_in, fan_out: 1 / fan_in),
        ("default", lambda fan_in, fan_out: 1 / (3 * fan_in)),
    ],
)
def test_variances(init: str, variance: object) -> None:
    torch.manual_seed(0)
    for layer in layers(build(**WIDE, init=init))[1:-1]:
        taps = layer.weight[0, 0].numel()
        expected = variance(layer.in_channels * taps, layer.out_channels * taps)
        assert layer.weight.var().item() == pytest.approx(expected, rel=0.04)  # 36,864 draws or more: 5 sd of it
        assert (layer.bias == 0).all() == (init != "default")


def test_he_leaves_the_classifier_pytorchs_weights() -> None:
    classifier = build(**WIDE).head.classifier
    assert classifier.weight.abs().max() <= 1 / 256**0.5
    assert classifier.weight.var().item() == pytest.approx(1 / (3 * 256), rel=0.2)
    assert (classifier.bias == 0).all()


@pytest.mark.parametrize(("activation", "gain"), [("relu", 2**0.5), ("gelu", 2**0.5), ("tanh", 1), ("sigmoid", 1)])
def test_orthogonal(activation: str, gain: float) -> None:
    *hidden, classifier = layers(build(**WIDE, init="orthogonal", activation=activation))
    for layer, factor in [*((layer, gain) for layer in hidden), (classifier, 1)]:
        matrix = layer.weight.detach().flatten(1)
        small = min(matrix.shape)
        gram = matrix @ matrix.T if matrix.shape[0] == small else matrix.T @ matrix
        assert torch.allclose(gram, factor**2 * torch.eye(small), atol=1e-5)  # float32 sums of 576 products


def linearity_error(net: Net) -> float:
    net = net.double().eval()
    x, y = torch.randn(2, 4, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        together, apart = net(x - 3 * y), net(x) - 3 * net(y)
    return float((together - apart).abs().max() / apart.abs().max())


@pytest.mark.parametrize(
    "options",
    [
        {"family": "plain", "depth": 20, "norm": "none"},
        {"family": "plain", "depth": 20},  # in evaluation mode a fresh batch norm is a number times the signal
        {"family": "plain", "depth": 20, "preactivation": True, "norm": "none"},
        {"family": "plain", "depth": 20, "block": "bottleneck", "norm": "none"},
        {"family": "dense", "depth": 22, "norm": "none"},
        {"family": "dense", "depth": 22, "norm": "none", "growth_rate": 8, "bottleneck": True, "compression": 0.5},
    ],
    ids=str,
)
def test_looks_linear_is_linear(options: dict) -> None:
    torch.manual_seed(0)
    assert linearity_error(build(**options, init="looks-linear")) < 1e-12  # float64 rounding
    assert linearity_error(build(**options, init="he")) > 1e-2


def test_looks_linear_weights_are_orthogonal_pairs() -> None:
    weight = looks_linear_(torch.empty(8, 8), mirror_inputs=True, mirror_outputs=True)
    half = weight[::2, ::2]
    assert torch.allclose(half @ half.T, torch.eye(4), atol=1e-6)  # float32
    assert torch.equal(weight[1::2], -weight[::2])
    assert torch.equal(weight[:, 1::2], -weight[:, ::2])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"family": "residual", "depth": 8}, "looks-linear .* a shortcut"),
        ({"family": "vgg"}, "looks-linear .* maximum pooling"),
        ({"family": "plain18", "width": 4}, "looks-linear .* maximum pooling"),
        ({"family": "plain", "depth": 8, "width": 5}, "looks-linear .* cannot have 5"),
    ],
    ids=str,
)
def test_looks_linear_is_refused_where_it_does_not_exist(options: dict, says: str) -> None:
    with pytest.raises(LabError, match=says):
        build(**options, init="looks-linear")


def test_the_seed_decides() -> None:
    nets = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        nets.append(build("plain", depth=8).stem.conv.weight)
    assert torch.equal(nets[0], nets[1])
    assert not torch.equal(nets[0], nets[2])
