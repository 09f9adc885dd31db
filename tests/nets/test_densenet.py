import pytest
import torch
from torch import nn

from labapp.nets import build
from labapp.nets.densenet import Concat, DenseBlock


def test_the_block_of_the_papers_first_figure() -> None:
    """Six channels and four layers that add four each give 22."""
    layers = [
        nn.Sequential(Concat(), nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, 4, 3, padding=1)) for n in (6, 10, 14, 18)
    ]
    assert DenseBlock(layers)(torch.randn(2, 6, 8, 8)).shape == (2, 22, 8, 8)


def test_channel_path_of_bc_100_12() -> None:
    with torch.device("meta"):
        net = build("dense", depth=100, growth_rate=12, bottleneck=True, compression=0.5)
        x, channels = torch.empty(2, 3, 32, 32), []
        for part in list(net)[:-1]:
            x = part(x)
            channels.append(x.shape[1])
    assert channels == [24, 216, 108, 300, 150, 342]
    assert x.shape[-1] == 8


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_layer_reads_everything_before_it(bottleneck: bool) -> None:
    net = build("dense", depth=22, growth_rate=4, bottleneck=bottleneck).eval()
    outputs: dict[str, torch.Tensor] = {}
    for path, module in net.named_modules():
        if path.startswith("block2"):
            module.register_forward_hook(lambda _m, _i, output, path=path: outputs.__setitem__(path, output))
    net.transition1.register_forward_hook(lambda _m, _i, output: outputs.__setitem__("input", output))
    net(torch.randn(2, 3, 16, 16))
    last = f"layer{3 if bottleneck else 6}"
    sources = [outputs["input"], *(outputs[f"block2.layer{n}"] for n in range(1, int(last[5:])))]
    assert torch.equal(outputs[f"block2.{last}.concat"], torch.cat(sources, 1))
    assert torch.equal(outputs["block2"], torch.cat([*sources, outputs[f"block2.{last}"]], 1))


@pytest.mark.parametrize(
    ("options", "stem"),
    [
        ({}, 16),
        ({"bottleneck": True}, 16),
        ({"bottleneck": True, "compression": 0.5, "growth_rate": 12}, 24),
        ({"width": 10}, 10),
        ({"form": "imagenet", "depth": 161}, 96),
        ({"form": "imagenet", "depth": 121}, 64),
    ],
    ids=str,
)
def test_stem(options: dict, stem: int) -> None:
    with torch.device("meta"):
        assert build("dense", **options).stem.conv.out_channels == stem


@pytest.mark.parametrize("bottleneck", [False, True])
def test_dropout_follows_each_convolution_but_the_first(bottleneck: bool) -> None:
    with torch.device("meta"):
        net = build("dense", depth=16, dropout=0.2, bottleneck=bottleneck)
        without = build("dense", depth=16, bottleneck=bottleneck)
    order = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Dropout)]
    assert [type(module) for module in order[1:]] == [nn.Conv2d, nn.Dropout] * ((len(order) - 1) // 2)
    assert not any(isinstance(module, nn.Dropout) for module in without.modules())
    assert net.places == without.places


def test_mean_weight_at_initialisation() -> None:
    """FACTS §3: √(2/π) times √(2/(9 · 12)) for every source, since he counts the outputs."""
    torch.manual_seed(0)
    net = build("dense", depth=40)
    for number in (1, 6, 12):
        weight = net.get_submodule(f"block2.layer{number}.conv1").weight
        assert weight.abs().mean().item() == pytest.approx(0.1086, rel=0.03)  # 20,000 draws or more: 0.5 %
