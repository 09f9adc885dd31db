import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from labapp.diagnostics.receptive_field import Field, Fields
from labapp.nets import build


def fields_of(net: nn.Module, paths: list[str], size: int) -> list[Field | None]:
    found: dict[str, Field | None] = {}
    images = torch.ones(1, 3, size, size)
    handles = [
        net.get_submodule(path).register_forward_hook(lambda m, a, o, path=path: found.update({path: fields.of(o)}))
        for path in paths
    ]
    with torch.no_grad(), Fields(images) as fields:
        net.eval()(images)
    for handle in handles:
        handle.remove()
    return [found[path] for path in paths]


def seen_by_gradient(net: nn.Module, size: int) -> int:
    """How many pixels a side move the middle position of a net's output, when no weight can cancel another."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_().clamp_min_(0.1)
    images = torch.rand(1, 3, size, size, dtype=torch.float64).requires_grad_()
    output = net.double().eval()(images)
    output[0, :, output.shape[2] // 2, output.shape[3] // 2].sum().backward()
    touched = (images.grad[0].sum(0) != 0).nonzero()
    return int((touched.max(0).values - touched.min(0).values + 1).max())


@pytest.mark.parametrize(
    ("name", "path", "field"),
    [  # Araujo 2019, Table 1, before the last pooling; ResNet-50 with its stride in the 3×3 has 427
        ("resnet18", "layer4", Field(435, 32)),
        ("resnet50", "layer4", Field(427, 32)),
        ("alexnet", "features.12", Field(195, 32)),
        ("vgg16", "features.30", Field(212, 32)),
        ("mobilenet_v2", "features", Field(491, 32)),
    ],
)
def test_published_receptive_fields(name: str, path: str, field: Field):
    with torch.device("meta"):
        net = models.get_model(name).eval()
        images = torch.ones(1, 3, 224, 224)
    found = []
    net.get_submodule(path).register_forward_hook(lambda module, args, output: found.append(fields.of(output)))
    with torch.no_grad(), Fields(images) as fields:
        net(images)
    assert found == [field]


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv2d(3, 2, 5), nn.Conv2d(2, 2, 3, stride=2), nn.Conv2d(2, 2, 3)),
        nn.Sequential(nn.Conv2d(3, 2, 3, dilation=3), nn.AvgPool2d(3, stride=2), nn.Conv2d(2, 2, 1)),
        nn.Sequential(nn.Conv2d(3, 4, (3, 5), padding=1), nn.Conv2d(4, 4, 3, stride=3, groups=2)),
        nn.Sequential(nn.CircularPad2d(2), nn.Conv2d(3, 2, 5), nn.AvgPool2d(2), nn.Conv2d(2, 2, 3)),
        build("residual", depth=8, width=2, image_size=64, norm="none", shortcut="A")[:-1],
        build("residual", depth=8, width=2, image_size=64, norm="none", shortcut="B", preactivation=True)[:-1],
        build("dense", depth=10, growth_rate=2, image_size=64, norm="none")[:-1],
        build("vgg", depth=11, width=2, image_size=128, norm="none", head="gap")[:3],
    ],
    ids=["stride", "dilation", "oblong", "padded", "residual", "preactivation", "dense", "vgg"],
)
def test_the_field_is_what_a_gradient_reaches(net: nn.Module):
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.MaxPool2d):
            module.forward = lambda x, k=module.kernel_size: F.avg_pool2d(x, k)  # sees the same, and lets all through
    images = torch.ones(1, 3, 128, 128)
    with torch.no_grad(), Fields(images) as fields:
        output = net.eval()(images)
    assert fields.of(output).size == seen_by_gradient(net, 128)


def test_what_joins_all_positions_sees_the_image():
    net = build("residual", depth=8, width=4)
    last, pool, classifier = fields_of(net, ["stage3", "head.pool", "head.classifier"], 32)
    assert last == Field(25, 4)
    assert pool == classifier == Field(25 + 7 * 4, 32)
    flat = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 2))
    assert fields_of(flat, ["0", "2"], 8) == [Field(3, 1), Field(8, 6)]
    halves = nn.Sequential(nn.AdaptiveAvgPool2d(2))
    assert fields_of(halves, ["0"], 8) == [Field(4, 4)]


def test_upsampling_brings_positions_nearer():
    images = torch.ones(1, 3, 16, 16)
    with Fields(images) as fields:
        output = F.interpolate(F.max_pool2d(images, 4), scale_factor=2)
    assert fields.of(output) == Field(4, 2)


def test_what_does_not_come_from_the_images_has_no_field():
    images = torch.ones(1, 3, 8, 8)
    with Fields(images) as fields:
        other = torch.ones(3) + 1
    assert fields.of(other) is None
    assert fields.of(images) == Field(1, 1)
