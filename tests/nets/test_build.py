import pytest
import torch
from torch import nn

from labapp.config import Experiment, LabError
from labapp.nets import build, names

FAMILIES = [
    {"family": "plain", "depth": 8},
    {"family": "residual", "depth": 8, "shortcut": "B"},
    {"family": "residual", "depth": 8, "preactivation": True},
    {"family": "dense", "depth": 10, "growth_rate": 4},
    {"family": "vgg", "configuration": "A", "head": "fc"},
    {"family": "resnet18"},
    {"family": "vgg11"},
]


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize("norm", ["batch", "layer", "group", "none"])
@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
def test_every_norm_and_padding_builds_and_learns(family: dict, norm: str, padding_mode: str) -> None:
    net = build(**family, width=8, norm=norm, padding_mode=padding_mode, num_classes=3)
    kinds = {"batch": nn.BatchNorm2d, "layer": nn.GroupNorm, "group": nn.GroupNorm}
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d | nn.GroupNorm)]
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    if norm == "none":
        assert not norms
        assert all(convolution.bias is not None for convolution in convolutions)
    else:
        assert norms
        assert all(type(module) is kinds[norm] for module in norms)
        assert all((convolution.bias is not None) == ("vgg" in family["family"]) for convolution in convolutions)
    assert {convolution.padding_mode for convolution in convolutions} == {padding_mode}
    logits = net(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 3)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize(
    ("activation", "kind"),
    [("tanh", nn.Tanh), ("sigmoid", nn.Sigmoid), ("gelu", nn.GELU), ("leaky_relu", nn.LeakyReLU)],
)
def test_every_activation_takes_the_place_of_the_relu(family: dict, activation: str, kind: type[nn.Module]) -> None:
    net, relu = (build(**family, width=4, activation=word) for word in (activation, "relu"))
    assert not any(isinstance(module, nn.ReLU) for module in net.modules())
    assert net.places == relu.places
    assert all(isinstance(net.get_submodule(p.path), kind) for p in net.places if p.kind == "activation")


@pytest.mark.parametrize("family", ["plain", "residual", "dense", "vgg"])
def test_an_experiment_is_what_build_takes(family: str) -> None:
    net = build(**Experiment(family=family).net_options(), num_classes=7, image_size=24, in_channels=1)
    assert net(torch.randn(2, 1, 24, 24)).shape == (2, 7)


def test_named_nets_are_made_for_imagenet_and_families_for_cifar() -> None:
    with torch.device("meta"):
        assert build("resnet18").head.classifier.out_features == 1000
        assert build("residual", form="imagenet").head.classifier.out_features == 1000
        assert build("residual").head.classifier.out_features == 10


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "smallest"),
    [("plain", 4), ("residual", 4), ("dense", 4), ("vgg", 16), *((name, 32) for name in names()[4:])],
)
def test_the_smallest_image_passes_and_a_smaller_one_is_refused(name: str, smallest: int) -> None:
    with torch.device("meta"):
        net = build(name, image_size=smallest)
        assert net(torch.empty(2, 3, smallest, smallest)).shape[0] == 2
        with pytest.raises(LabError, match=f"too small for .* take at least {smallest}$"):
            build(name, image_size=smallest - 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"family": "rezidual"}, r"unknown net 'rezidual'; the lab builds plain, .* \(did you mean 'residual'\?\)"),
        ({"family": "resnet51"}, r"unknown net 'resnet51'.*did you mean 'resnet50'"),
        ({"family": "ResNet50"}, r"unknown net 'ResNet50'.*did you mean 'resnet50'"),
        ({"family": "plain", "dept": 20}, r"unknown net option 'dept'.*did you mean 'depth'"),
        ({"family": "plain", "steps": 20}, "unknown net option 'steps'"),
        ({"family": "plain", "growth_rate": 12}, "growth_rate belongs to dense nets; this one is plain"),
        ({"family": "residual", "depth": 21}, "6n.2 .* take 20 or 26"),
        ({"family": "dense", "depth": 41}, "3N.4 .* take 40 or 43"),
        ({"family": "residual", "form": "imagenet", "depth": 20}, "take 18 or 34"),
        ({"family": "residual", "width": 0}, "width must be"),
        ({"family": "residual", "shortcut": "D"}, "unknown shortcut 'D'"),
        ({"family": "vgg", "configuration": "A", "depth": 16}, "configuration A has 11"),
        ({"family": "resnet50", "depth": 18}, "resnet50 is a net of one depth; leave depth out"),
        ({"family": "vgg16", "configuration": "E"}, "vgg16 is a net of one configuration"),
        ({"family": "resnet50", "form": "cifar"}, "resnet50 is a net of one form"),
        ({"family": "plain", "num_classes": 0}, "num_classes must be at least 1, not 0"),
        ({"family": "plain", "in_channels": -3}, "in_channels must be at least 1, not -3"),
        ({"family": "plain", "image_size": 0}, "image_size must be at least 1, not 0"),
    ],
)
def test_mistakes_are_one_sentence(arguments: dict, says: str) -> None:
    with pytest.raises(LabError, match=says) as caught:
        build(**arguments)
    assert "\n" not in str(caught.value)
