import pytest
import torch
from torch import nn

from labapp.nets import build
from labapp.nets.factory import LayerFactory, groups


@pytest.mark.parametrize(
    ("channels", "expected"), [(64, 32), (256, 32), (16, 8), (8, 4), (12, 6), (24, 12), (7, 1), (2, 1), (1, 1)]
)
def test_groups(channels: int, expected: int) -> None:
    assert groups(channels) == expected


def test_layer_norm_makes_each_image_standard() -> None:
    normed = LayerFactory("layer").norm(6)(3 + 5 * torch.randn(4, 6, 5, 5, dtype=torch.float32))
    assert torch.allclose(normed.mean((1, 2, 3)), torch.zeros(4), atol=1e-5)  # float32 sums of 150 values
    assert torch.allclose(normed.var((1, 2, 3), correction=0), torch.ones(4), atol=1e-4)  # ε = 1e-5 in the norm


@pytest.mark.parametrize(
    ("options", "stride"),
    [
        ({"family": "plain", "depth": 14}, 4),
        ({"family": "residual", "depth": 14, "shortcut": "A"}, 4),
        ({"family": "residual", "depth": 11, "block": "bottleneck", "preactivation": True}, 4),
        ({"family": "dense", "depth": 10, "growth_rate": 4}, 4),
        ({"family": "resnet18", "width": 4}, 32),
        ({"family": "densenet121", "width": 8, "growth_rate": 4}, 32),
        ({"family": "vgg11_bn", "width": 4}, 32),
    ],
    ids=str,
)
def test_circular_padding_makes_a_shift_of_the_image_a_shift_of_the_features(options: dict, stride: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4 * stride, 4 * stride, dtype=torch.float64)

    def worst(padding_mode: str) -> float:
        net = build(**options, padding_mode=padding_mode).double().eval()
        with torch.no_grad():
            features = nn.Sequential(*list(net)[:-1])
            here, there = features(x), features(x.roll((stride, -stride), (2, 3)))
        return float((here.roll((1, -1), (2, 3)) - there).abs().max() / here.abs().max())

    assert worst("circular") < 1e-12  # float64 rounding
    assert worst("zeros") > 1e-3
