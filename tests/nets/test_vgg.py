import pytest
import torch
from torch import nn

from labapp.nets import build


@pytest.mark.parametrize(
    ("configuration", "sizes"),
    [
        ("A", [1, 1, 2, 2, 2]),
        ("B", [2, 2, 2, 2, 2]),
        ("C", [2, 2, 3, 3, 3]),
        ("D", [2, 2, 3, 3, 3]),
        ("E", [2, 2, 4, 4, 4]),
    ],
)
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_stages(configuration: str, sizes: list[int], norm: str) -> None:
    with torch.device("meta"):
        net = build("vgg", form="imagenet", configuration=configuration, norm=norm)
    stages = [[m for m in part if isinstance(m, nn.Conv2d)] for part in list(net)[:5]]
    assert [len(stage) for stage in stages] == sizes
    assert [stage[0].out_channels for stage in stages] == [64, 128, 256, 512, 512]
    kernels = [convolution.kernel_size[0] for stage in stages for convolution in stage]
    assert kernels == [1 if configuration == "C" and n in (6, 9, 12) else 3 for n in range(len(kernels))]


@pytest.mark.parametrize("head", ["fc", "gap"])
@pytest.mark.parametrize("size", [16, 24, 32])
def test_cifar_form_takes_small_images(head: str, size: int) -> None:
    net = build("vgg", configuration="A", head=head, image_size=size, width=8)
    assert net(torch.randn(2, 3, size, size)).shape == (2, 10)


def test_imagenet_form_takes_other_sizes_too() -> None:
    net = build("vgg11", width=2, num_classes=3).eval()
    assert net(torch.randn(1, 3, 96, 96)).shape == (1, 3)


def test_the_paper_drops_half_of_the_hidden_units() -> None:
    with torch.device("meta"):
        head = build("vgg16").head
    assert [type(module).__name__ for module in head] == [
        "AdaptiveAvgPool2d",
        "Flatten",
        *["Linear", "ReLU", "Dropout"] * 2,
        "Linear",
    ]
    assert all(module.p == 0.5 for module in head if isinstance(module, nn.Dropout))


def test_gradient_through_the_papers_head() -> None:
    """FACTS §2: with N(0, 0.01²), ∂L/∂fc1 over ∂L/∂logits is 4096 · 0.01² / 2 = 0.2048 (two layers, half the units)."""
    torch.manual_seed(0)
    with torch.device("meta"):
        head = build("vgg11").head
    head = head.to_empty(device="cpu").eval()  # without drawing the other 120 million weights twice
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
    norms = {}
    for name in ("linear1", "classifier"):
        getattr(head, name).register_forward_hook(
            lambda _m, _i, output, name=name: norms.__setitem__(name, output) or output.retain_grad()
        )
    head(torch.rand(8, 512, 7, 7)).logsumexp(1).sum().backward()
    ratio = (norms["linear1"].grad.norm() / norms["classifier"].grad.norm()).item()
    assert ratio == pytest.approx(0.2048, rel=0.1)  # run there: 0.209


def test_first_weights_of_the_linear_layers() -> None:
    torch.manual_seed(0)
    paper = build("vgg11", width=8).head
    assert paper.linear1.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert paper.classifier.weight.std().item() == pytest.approx(0.01, rel=0.01)
    small = build("vgg", configuration="A", head="fc", width=8).head
    assert small.linear2.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
