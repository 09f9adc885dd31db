"""A net run unit by unit is the net."""

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from labapp.config import LabError
from labapp.diagnostics.measuring.chains import chain_of
from labapp.diagnostics.measuring.splits import through
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.nets import build

NETS: dict[str, tuple[Callable[[], nn.Module], str, int, int]] = {  # net, family, blocks of it, image size
    "plain": (lambda: build("plain", depth=14, width=4), "plain", 6, 16),
    "residual A": (lambda: build("residual", depth=14, width=4), "residual", 6, 16),
    "residual B": (lambda: build("residual", depth=14, width=4, shortcut="B"), "residual", 6, 16),
    "preactivation": (
        lambda: build("residual", depth=14, width=4, shortcut="B", preactivation=True),
        "residual",
        6,
        16,
    ),
    "dense": (lambda: build("dense", depth=13, growth_rate=4), "dense", 3, 16),
    "dense BC": (
        lambda: build("dense", depth=16, growth_rate=4, bottleneck=True, compression=0.5),
        "dense",
        3,
        16,
    ),
    "vgg": (lambda: build("vgg", configuration="A", width=4, image_size=32), "vgg", 0, 32),
    "torchvision resnet18": (lambda: torchvision.models.resnet18(num_classes=5), "residual", 8, 64),
    "torchvision resnet50": (lambda: torchvision.models.resnet50(num_classes=5), "residual", 16, 64),
    "torchvision densenet121": (lambda: torchvision.models.densenet121(num_classes=5), "dense", 4, 64),
    "torchvision vgg11_bn": (lambda: torchvision.models.vgg11_bn(num_classes=5), "vgg", 0, 64),
    "timm vgg11": (lambda: timm.create_model("vgg11", num_classes=5), "vgg", 0, 64),
    "timm resnet18": (lambda: timm.create_model("resnet18", num_classes=5), "residual", 8, 64),
    "timm resnet50": (lambda: timm.create_model("resnet50", num_classes=5), "residual", 16, 64),
    "timm densenet121": (lambda: timm.create_model("densenet121", num_classes=5), "dense", 4, 64),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name == "timm vgg11" else []) for name in NETS]
)
def test_units_do_what_the_net_does(name: str) -> None:
    make, family, blocks, size = NETS[name]
    torch.manual_seed(0)
    model = make()
    chain = chain_of(model)
    assert chain.family == family
    assert sum(unit.kind == family for unit in chain.units) == blocks
    images = torch.randn(2, 3, size, size)
    with undisturbed(model, in_place=False), torch.no_grad():
        chain.confirm(images)
        assert torch.allclose(chain.run(images), model(images), rtol=1e-4, atol=1e-5)
        x = images
        for unit in chain.units:
            after = unit.run(x)
            if unit.parts:
                shared = through(unit.parts.shared, x)
                total = through(unit.parts.branch, shared) + through(unit.parts.shortcut, shared)
                assert torch.allclose(through(unit.parts.activation, total), after, rtol=1e-4, atol=1e-5)
            x = after


def test_layers_of_vgg_go_with_their_norm_and_activation() -> None:
    chain = chain_of(torchvision.models.vgg16_bn(num_classes=5))
    layers = [unit for unit in chain.units if unit.kind == "layer"]
    assert len(layers) == 16
    assert [type(module).__name__ for module in layers[0].modules] == ["Conv2d", "BatchNorm2d", "ReLU"]


class Forks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last((self.one(x) + self.two(x)).mean((2, 3)))


@pytest.mark.parametrize("model", [Forks(), torchvision.models.squeezenet1_0(num_classes=5)])
def test_a_net_that_is_no_chain_is_told_so(model: nn.Module) -> None:
    with undisturbed(model), pytest.raises(LabError, match="is no chain of blocks"):
        chain_of(model).confirm(torch.randn(2, 3, 64, 64))
