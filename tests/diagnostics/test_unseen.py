"""What hooks do not see: projections of attentions, functional layers, scripted and compiled nets, second runs."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from labapp.config import LabError
from labapp.diagnostics.architecture import architecture, share_of_linear_layers
from labapp.diagnostics.gradcam import gradcam
from labapp.diagnostics.lesions import lesions
from labapp.diagnostics.measuring.features import collect, last_features
from labapp.diagnostics.sanity import weight_layers
from labapp.diagnostics.similarity import similarity
from labapp.diagnostics.spatial_order import spatial_order


class Attention(nn.Module):
    """One attention, by torch's module or by hand."""

    def __init__(self, by_hand: bool) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 5)
        self.fused = None if by_hand else nn.MultiheadAttention(16, 2, batch_first=True)
        self.qkv, self.out = (nn.Linear(16, 48), nn.Linear(16, 16)) if by_hand else (None, None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t = self.patches(x).flatten(2).transpose(1, 2)
        if self.fused is not None:
            t = self.fused(t, t, t, need_weights=False)[0]
        else:
            q, k, v = self.qkv(t).chunk(3, 2)
            t = self.out(F.scaled_dot_product_attention(q, k, v))
        return self.head(t.mean(1))


class ByFunctions(nn.Module):
    """A convolution, a linear layer and a product without a call of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 6), nn.Parameter(torch.randn(6, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.conv2d(x, self.conv.weight, stride=2).mean((2, 3))
        return self.linear.forward(x) @ (2 * self.head)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.b(self.a(x).relu())


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.b, self.c, self.head = nn.Conv2d(3, 4, 1), Block(), Block(), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.b(self.stem(x))
        return self.head(self.c(self.b(F.avg_pool2d(x, 2))).mean((2, 3)))


def counted(net: nn.Module, size: int) -> int:
    table = architecture(net, size)
    layers = table[table.kind != "block"]
    assert layers.parameters.sum() == sum(p.numel() for p in net.parameters())
    return int(layers.multiply_adds.sum())


def test_two_ways_to_write_an_attention_count_the_same():
    right = 16 * 16 * 48 + 16 * (16 * 48 + 16 * 16) + 16 * 5
    assert [counted(Attention(by_hand), 16) for by_hand in (True, False)] == [right, right]
    shares = [share_of_linear_layers(Attention(by_hand)) for by_hand in (True, False)]
    assert shares[0] == shares[1] == (1957 - 784) / 1957  # all but the convolution of the patches


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.vit_b_16(num_classes=5),
        lambda: models.swin_t(num_classes=5),
        lambda: nn.Sequential(nn.Conv2d(3, 16, 16, 16), nn.Flatten(2), nn.TransformerEncoderLayer(196, 2, 32)),
    ],
    ids=["vit", "swin", "encoder"],
)
def test_products_are_those_torch_counts_without_those_of_two_activations(make):
    with torch.device("meta"):
        net = make().eval()
        image = torch.ones(1, 3, 224, 224)
    counter = FlopCounterMode(display=False)
    with counter:
        net(image)
    between = sum(
        flops
        for op, flops in counter.get_flop_counts()["Global"].items()
        if "scaled_dot_product" in str(op) or "bmm" in str(op)
    )
    assert 2 * counted(net, 224) == counter.get_total_flops() - between > 0


def test_a_vit_tiny_of_torchvision_has_all_its_products():
    with torch.device("meta"):
        net = models.VisionTransformer(224, 16, 12, 3, 192, 768)
    assert counted(net, 224) == 1_074_851_328  # timm's vit_tiny_patch16_224, whose projections are linear layers


def test_functions_are_counted_where_they_run():
    assert counted(ByFunctions(), 9) == 4 * 16 * 27 + 4 * 6 + 6 * 5


class Recurrent(nn.Module):
    """Reads an image row by row."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rows, self.head = kind(36, 8, batch_first=True, bidirectional=True), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rows(x.transpose(1, 2).flatten(2))[0][:, -1])


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers_are_counted_step_by_step(kind: type[nn.RNNBase], gates: int):
    assert counted(Recurrent(kind), 12) == 12 * 2 * gates * 8 * (36 + 8) + 16 * 5


def test_each_run_of_a_block_has_its_own_products():
    table = architecture(Twice(), 16).set_index("layer")
    one = 2 * 4 * 4 * 9 * 16 * 16  # on 16 × 16 positions
    assert table.multiply_adds[["b", "b#2", "c"]].tolist() == [one, one // 4, one // 4]
    assert table.multiply_adds[["b.a", "b.a#2"]].tolist() == [one // 2, one // 8]
    assert table.parameters[["b", "b#2"]].tolist() == [296, 0]


def closed(kind: str, net: nn.Module) -> nn.Module:
    image = torch.randn(1, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's deprecation, of itself
        if kind == "scripted":
            return torch.jit.script(net)
        if kind == "traced":
            return torch.jit.trace(net, image)
    if kind == "exported":
        return torch.export.export(net, (image,)).module()
    return torch.compile(net)


@pytest.mark.parametrize("kind", ["scripted", "traced", "exported", "compiled"])
def test_a_net_without_hooks_is_refused_by_every_diagnostic(kind: str):
    torch.manual_seed(0)
    net = closed(kind, models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], 5).eval())
    images, labels = torch.randn(4, 3, 32, 32), torch.arange(4)
    for measure in (
        lambda: gradcam(net, images),
        lambda: gradcam(net, images, 1, ["layer3"]),
        lambda: architecture(net, 32),
        lambda: collect(net, images),
        lambda: last_features(net, images),
        lambda: similarity(net, images),
        lambda: spatial_order(net, images),
        lambda: weight_layers(net, images),
        lambda: lesions(net, images, labels),
    ):
        with pytest.raises(LabError, match=f"hooks do not fire in an? {kind} net, .* give the net it was made from"):
            measure()


def test_a_scripted_part_is_counted_and_named():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    head = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]
    plain = counted(nn.Sequential(body, *head), 16)
    net = nn.Sequential(closed("scripted", body), *head).eval()
    assert counted(net, 16) == plain
    with pytest.raises(LabError, match=r"'0.2' lies in '0', a scripted, traced or compiled part, in which hooks"):
        gradcam(net, torch.randn(1, 3, 16, 16), 1, ["0.2"])
    assert list(gradcam(net, torch.randn(1, 3, 16, 16), 1, ["0"])) == ["0"]
