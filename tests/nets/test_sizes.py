"""Parameters and multiply-adds, exactly as published (FACTS §1); on the meta device, so no weight is ever drawn."""

import pytest
import torch
from torch import nn

from labapp.nets import build, names

IMAGENET = {
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "plain18": 11_515_688,
    "plain34": 21_623_848,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "densenet264": 33_337_704,
}
CIFAR_RESNET = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962, 1202: 19_421_274}
MULTIPLY_ADDS = {  # in the unit that the papers round to
    "vgg16": (15.470e9, 1e6),
    "resnet18": (1.814e9, 1e6),
    "resnet50": (4.089e9, 1e6),
    "densenet121": (2.834e9, 1e6),
    20: (40.55e6, 1e4),
    56: (125.49e6, 1e4),
    110: (252.89e6, 1e4),
}


def on_meta(*args: object, **options: object) -> nn.Module:
    with torch.device("meta"):
        return build(*args, **options)


def parameters(*args: object, **options: object) -> int:
    return sum(parameter.numel() for parameter in on_meta(*args, **options).parameters())


def multiply_adds(net: nn.Module, image_size: int) -> int:
    counts = []

    def count(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        counts.append(output.numel() * module.weight[0].numel())

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    net.eval()(torch.empty(1, 3, image_size, image_size, device="meta"))
    return sum(counts)


@pytest.mark.parametrize(("name", "expected"), IMAGENET.items())
def test_imagenet_parameters(name: str, expected: int) -> None:
    assert parameters(name) == expected


def test_every_named_net_is_checked_here() -> None:
    others = {"vgg16c", "vgg16c_bn", "plain", "residual", "dense", "vgg"}  # no published count for C
    assert set(names()) == set(IMAGENET) | others


@pytest.mark.parametrize("configuration", "ABCDE")
def test_linear_layers_of_vgg_hold_the_same_weights_in_all(configuration: str) -> None:
    net = on_meta("vgg", form="imagenet", configuration=configuration, norm="none")
    assert sum(parameter.numel() for parameter in net.head.parameters()) == 123_642_856


def test_vgg_c_is_d_with_one_by_ones() -> None:
    saved = (256 * 256 + 2 * 512 * 512) * (9 - 1)
    assert parameters("vgg16") - parameters("vgg16c") == saved


@pytest.mark.parametrize(
    ("depth", "expected"),
    [pytest.param(*each, marks=[pytest.mark.long] if each[0] > 1000 else []) for each in CIFAR_RESNET.items()],
)
def test_cifar_resnet_parameters(depth: int, expected: int) -> None:
    assert parameters("residual", depth=depth) == expected
    assert parameters("plain", depth=depth) == expected
    assert parameters("residual", depth=depth, shortcut="B") == expected + 2752


@pytest.mark.parametrize(("depth", "expected"), [(164, 1_703_258), (1001, 10_327_706)])
def test_preactivation_bottleneck_parameters(depth: int, expected: int) -> None:
    assert parameters("residual", depth=depth, block="bottleneck", preactivation=True) == expected


@pytest.mark.parametrize(
    ("depth", "growth_rate", "bottleneck", "expected"),
    [
        (40, 12, False, 1_019_722),
        (100, 12, False, 6_979_642),
        (100, 24, False, 27_249_082),
        (100, 12, True, 769_162),
        (250, 24, True, 15_324_406),
        (190, 40, True, 25_624_430),
    ],
)
def test_cifar_densenet_parameters(depth: int, growth_rate: int, bottleneck: bool, expected: int) -> None:
    compression = 0.5 if bottleneck else 1.0
    options = {"growth_rate": growth_rate, "bottleneck": bottleneck, "compression": compression}
    assert parameters("dense", depth=depth, **options) == expected


@pytest.mark.parametrize(("net", "expected"), MULTIPLY_ADDS.items())
def test_multiply_adds(net: str | int, expected: tuple[float, float]) -> None:
    number, unit = expected
    if isinstance(net, int):
        counted = multiply_adds(on_meta("residual", depth=net), 32)
    else:
        counted = multiply_adds(on_meta(net), 224)
    assert abs(counted - number) <= unit / 2


def test_resnet50_stage_features() -> None:
    net, x = on_meta("resnet50").eval(), torch.empty(1, 3, 224, 224, device="meta")
    shapes = []
    for part in list(net)[:-1]:
        x = part(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes[1:] == [(256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)]
