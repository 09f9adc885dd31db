import warnings

import pytest
import torch
from captum.attr import GuidedGradCam, LayerGradCam
from torch import nn
from torch.nn import functional as F
from torchvision import models

from labapp.config import LabError
from labapp.diagnostics.attributions import (
    IMAGE_METHODS,
    LAYER_METHODS,
    METHODS,
    attribute,
    attributions,
    guided_backprop,
    guided_gradcam,
    integrated_gradients,
    occlusion,
    saliency,
)
from labapp.diagnostics.gradcam import gradcam
from labapp.nets import build


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return build("residual", depth=8, width=4, image_size=16)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


class Linear(nn.Module):
    """s = W x + b."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(3 * 8 * 8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(x.flatten(1))


@pytest.mark.parametrize("method", METHODS)
def test_one_signature_and_no_trace(method: str, net: nn.Module, images: torch.Tensor):
    net.train()
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in net.state_dict().items()}
    found = attribute(method, net, images, 1)
    assert list(found) == (
        ["image"] if method in IMAGE_METHODS else ["stage1.block1", "stage2.block1", "stage3.block1"]
    )
    for maps in found.values():
        assert maps.shape[0] == 3
        assert maps.ndim == 3
        assert maps.isfinite().all()
        assert not maps.requires_grad
        assert maps.abs().max() > 0
    if method in (*IMAGE_METHODS, "guided-gradcam"):
        assert all(maps.shape == (3, 16, 16) for maps in found.values())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(module.training for module in net.modules())
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in net.modules())
    assert not images.requires_grad


def test_several_methods_at_once_are_the_same(net: nn.Module, images: torch.Tensor):
    together = attributions(METHODS, net, images, None, ["stage2.block1"])
    assert list(together) == list(METHODS)
    for method in ("gradcam", "layercam", "guided-gradcam", "saliency"):
        alone = attribute(method, net, images, None, "stage2.block1")
        assert all(torch.equal(maps, together[method][name]) for name, maps in alone.items())
    assert set(LAYER_METHODS) == {method for method, maps in together.items() if "stage2.block1" in maps}


def test_on_a_linear_net_all_is_known():
    torch.manual_seed(0)
    net, images = Linear(), torch.randn(5, 3, 8, 8)
    weight = net.classifier.weight.view(4, 3, 8, 8)
    classes = net(images).argmax(1)
    torch.testing.assert_close(saliency(net, images, signed=True), weight[classes])
    torch.testing.assert_close(saliency(net, images), weight[classes].abs())
    torch.testing.assert_close(attribute("saliency", net, images)["image"], weight[classes].abs().amax(1))
    torch.testing.assert_close(guided_backprop(net, images), weight[classes])  # no rectifier
    torch.testing.assert_close(integrated_gradients(net, images), weight[classes] * images)
    one_pixel = occlusion(net, images, window=1, stride=1)
    torch.testing.assert_close(one_pixel, (weight[classes] * images).sum(1, keepdim=True).expand_as(images))


def test_integrated_gradients_are_complete(net: nn.Module, images: torch.Tensor):
    net.eval()
    attribution = integrated_gradients(net, images, 2, steps=256)
    with torch.no_grad():
        difference = net(images)[:, 2] - net(torch.zeros_like(images))[:, 2]
    # the integrand has kinks, so the quadrature converges slowly: 1 % after 256 steps
    torch.testing.assert_close(attribution.sum((1, 2, 3)), difference, rtol=1e-2, atol=1e-3)


def test_occlusion_is_the_fall_of_the_score(net: nn.Module, images: torch.Tensor):
    found = occlusion(net, images, 1, window=8, stride=8)
    net.eval()
    covered = images.clone()
    covered[:, :, :8, 8:] = 0
    with torch.no_grad():
        fall = net(images)[:, 1] - net(covered)[:, 1]
    torch.testing.assert_close(found[:, 0, 3, 12], fall)
    assert torch.equal(found[:, :1, :8, 8:], found[:, 2:, :8, 8:])


def test_occlusion_reaches_every_place_of_any_size(net: nn.Module):
    small = torch.randn(1, 3, 9, 13)
    assert (occlusion(net, small, 1, window=4, stride=9) != 0).all()


class Rectified(nn.Module):
    """One rectifier, in place, that runs twice, as in torchvision's residual blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.classifier = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.relu(self.conv2(self.relu(self.conv1(x)))).mean((2, 3)))


class Guided(torch.autograd.Function):
    """Springenberg et al. 2014, Fig. 1: back goes what is positive, where the input was."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient.relu() * (x > 0)


def test_guided_backprop_against_a_rectifier_of_its_own(images: torch.Tensor):
    torch.manual_seed(0)
    net = Rectified()
    x = images.clone().requires_grad_()
    hidden = Guided.apply(net.conv2(Guided.apply(net.conv1(x))))
    (expected,) = torch.autograd.grad(net.classifier(hidden.mean((2, 3)))[:, 1].sum(), x)
    torch.testing.assert_close(guided_backprop(net, images, 1), expected)
    assert net.relu.inplace
    assert not torch.allclose(expected, saliency(net, images, 1, signed=True))


def test_guided_gradcam_equals_captum():
    torch.manual_seed(0)
    net, images = models.resnet18().eval(), torch.randn(2, 3, 64, 64)
    found = guided_gradcam(net, images, 5, ["layer2.1", "layer3.1"])
    for path, maps in found.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # captum announces its hooks
            theirs = GuidedGradCam(net, net.get_submodule(path)).attribute(images, 5, interpolate_mode="bilinear")
        assert (maps - theirs).norm() <= 1e-5 * theirs.norm()


def test_gradcam_by_either_name(net: nn.Module, images: torch.Tensor):
    ours = attribute("gradcam", net, images, 1)
    assert all(torch.equal(maps, ours[name]) for name, maps in gradcam(net, images, 1).items())
    net.eval()
    captum = LayerGradCam(net, net.get_submodule("stage3.block1")).attribute(images, 1)[:, 0]
    torch.testing.assert_close(ours["stage3.block1"], captum)


@pytest.mark.parametrize("method", METHODS)
def test_a_class_out_of_range_is_a_sentence_from_every_method(method: str, net: nn.Module, images: torch.Tensor):
    with pytest.raises(LabError, match="class 10 is out of range: this net has 10 classes"):
        attribute(method, net, images, 10)


@pytest.mark.parametrize("method", METHODS)
def test_a_dictionary_is_a_sentence_from_every_method(method: str, images: torch.Tensor):
    class Dictionary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": F.relu(self.conv(x)).mean((2, 3))}

    with pytest.raises(LabError, match="returns a dict, not one tensor"):
        attribute(method, Dictionary(), images)


def test_an_unknown_method_is_a_sentence(net: nn.Module, images: torch.Tensor):
    with pytest.raises(LabError, match=r"unknown method 'grad-cam'.*did you mean 'gradcam'"):
        attribute("grad-cam", net, images)


@pytest.mark.parametrize("method", METHODS)
def test_a_norm_without_running_statistics_mixes_no_images(method: str, images: torch.Tensor):
    """The maps of each image alone, in a twin whose norm has the batch's statistics written into it."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), nn.AdaptiveAvgPool2d(2)]
    mixing = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 5)).eval()
    fixed = nn.Sequential(layers[0], nn.BatchNorm2d(4), *mixing[2:]).eval()
    with torch.no_grad():
        before = layers[0](images)
        fixed[1].running_mean.copy_(before.mean((0, 2, 3)))
        fixed[1].running_var.copy_(before.var((0, 2, 3), correction=0))
    together = attribute(method, mixing, images, 1)
    alone = [attribute(method, fixed, image[None], 1) for image in images]
    for name, maps in together.items():
        expected = torch.cat([each[name] for each in alone])
        assert torch.allclose(maps, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item()), name
