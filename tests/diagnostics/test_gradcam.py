import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from torch import nn
from torch.nn import functional as F
from torchvision import models

from labapp.diagnostics.gradcam import (
    gradcam,
    gradcam_map,
    gradcam_plus_plus,
    gradcam_plus_plus_map,
    gradient_times_activation_map,
    layercam,
    layercam_map,
)
from labapp.diagnostics.measuring.layer_gradients import layer_gradients
from labapp.nets import build

NETS = {
    # the last of each: overwritten by a rectifier later, by a module (VGG) or by a function (DenseNet)
    "resnet50": ["maxpool", "layer1.0.conv1", "layer1.2", "layer3.5", "layer4.2", "layer4.1.bn2"],
    "densenet121": [
        "features.norm0",
        "features.denseblock1.denselayer2.norm2",
        "features.denseblock3",
        "features.norm5",
    ],
    "vgg16_bn": ["features.2", "features.23", "features.42", "features.41"],
}


def with_statistics(net: nn.Module) -> nn.Module:
    """Random running statistics, as training leaves them."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.bias, std=0.1)
    return net.eval()


@pytest.mark.parametrize("name", ["resnet50", "densenet121", pytest.param("vgg16_bn", marks=pytest.mark.long)])
def test_equals_captum_layer_by_layer(name: str):
    torch.manual_seed(0)
    net = with_statistics(models.get_model(name))
    images = torch.randn(2, 3, 64, 64)
    answer = layer_gradients(net, images, layers=NETS[name])
    assert len(answer.layers) == len(NETS[name])
    for path, layer in answer.layers.items():
        module = net.get_submodule(path)
        for ours, theirs in [
            (gradcam_map(*layer), LayerGradCam(net, module).attribute(images, answer.targets)[:, 0]),
            (
                gradient_times_activation_map(*layer),
                LayerGradientXActivation(net, module).attribute(images, answer.targets).sum(1),
            ),
        ]:
            assert (ours - theirs).norm() <= 1e-5 * theirs.norm(), path  # sums in another order
            assert theirs.norm() > 0


def test_default_layers_of_the_zoo():
    images = torch.zeros(1, 3, 64, 64)
    maps = gradcam(models.resnet18(), images)
    assert list(maps) == [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    maps = gradcam(models.vgg11(init_weights=False), images)
    assert list(maps) == ["features.1", "features.4", "features.9", "features.14", "features.19"]


@pytest.mark.parametrize(
    "net",
    [
        build("residual", depth=14, width=8, image_size=24),
        build("plain", depth=14, width=8, image_size=24),
        build("dense", depth=16, growth_rate=4, width=8, image_size=24),
        build("vgg", width=8, configuration="A", head="gap", image_size=48),
    ],
    ids=["residual", "plain", "dense", "vgg"],
)
def test_is_the_cam_where_the_net_ends_in_gap_and_a_linear_layer(net: nn.Module):
    """Zhou et al. 2016: Σ_k W_ck A_k with W the classifier's weights (FACTS §3: Pearson > 0.999999 before the ReLU)."""
    torch.manual_seed(0)
    with_statistics(net)
    images = torch.randn(4, 3, 48, 48)
    last = [place.path for place in net.places if place.kind == "activation"][-1]
    answer = layer_gradients(net, images, layers=last)
    activation = answer.layers[last].activation
    cam = torch.einsum("nk,nkhw->nhw", net.head.classifier.weight[answer.targets], activation)
    ours = gradcam(net, images, layers=last)[last]
    pairs = torch.stack([ours.flatten(1), cam.flatten(1)], 1)
    assert all(torch.corrcoef(pair)[0, 1] > 0.999999 for pair in pairs)
    torch.testing.assert_close(ours * ours[0].numel(), cam)


def test_relu_form_keeps_what_is_positive():
    net = build("residual", depth=8, width=4, image_size=16)
    images = torch.randn(2, 3, 16, 16)
    for method in (gradcam, gradcam_plus_plus, layercam):
        signed, positive = method(net, images, 0), method(net, images, 0, relu=True)
        assert list(signed) == list(positive)
        assert all(torch.equal(positive[name], signed[name].relu()) for name in signed)


def test_a_map_scales_with_the_score():
    net = build("residual", depth=8, width=4, image_size=16)
    images = torch.randn(2, 3, 16, 16)
    before = gradcam(net, images, 0)
    with torch.no_grad():
        net.head.classifier.weight *= 4
    for name, values in gradcam(net, images, 0).items():
        assert torch.equal(values, 4 * before[name])


def test_gradcam_plus_plus_against_its_derivation():
    """α is the solution of eq. 9–10 in derivatives of exp(s): with s = w·mean(A) they are known by autograd."""
    torch.manual_seed(0)
    activation = torch.rand(1, 3, 2, 2, dtype=torch.float64)
    weight = torch.tensor([0.7, -0.4, 0.2], dtype=torch.float64)

    def exp_score(a: torch.Tensor) -> torch.Tensor:
        return (weight * a.mean((2, 3))[0]).sum().exp()

    a = activation.clone().requires_grad_()
    (first,) = torch.autograd.grad(exp_score(a), a, create_graph=True)
    second, third = torch.zeros_like(a), torch.zeros_like(a)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in a.shape)):
        at = tuple(index)
        (d2,) = torch.autograd.grad(first[at], a, create_graph=True)
        (d3,) = torch.autograd.grad(d2[at], a, retain_graph=True)
        second[at], third[at] = d2[at].detach(), d3[at].detach()
    alpha = second / (2 * second + activation.sum((2, 3), keepdim=True) * third)
    gradient = (weight / 4).view(1, 3, 1, 1).expand_as(activation)  # of s; that of exp(s) is exp(s) times it
    expected = ((alpha * gradient.relu()).sum((2, 3), keepdim=True) * activation).sum(1)
    torch.testing.assert_close(gradcam_plus_plus_map(activation, gradient), expected)


def test_gradcam_plus_plus_of_tiny_gradients_does_not_underflow():
    activation, gradient = torch.rand(1, 2, 3, 3), torch.full((1, 2, 3, 3), 1e-25)
    # α tends to ½
    torch.testing.assert_close(gradcam_plus_plus_map(activation, gradient * 1e20) * 1e-20, 4.5e-25 * activation.sum(1))
    torch.testing.assert_close(gradcam_plus_plus_map(activation, gradient) * 1e25, 4.5 * activation.sum(1))
    assert not gradcam_plus_plus_map(activation, gradient * 0).any()


def test_layercam_is_gradcam_where_the_gradient_is_the_same_everywhere():
    activation = torch.rand(2, 3, 4, 4)
    gradient = torch.rand(2, 3, 1, 1).expand(2, 3, 4, 4)
    torch.testing.assert_close(layercam_map(activation, gradient), gradcam_map(activation, gradient))
    assert not layercam_map(activation, -gradient).any()
    torch.testing.assert_close(layercam_map(activation, gradient), F.relu(gradient * activation).sum(1))


def test_a_diverged_net_has_a_map_of_nan():
    net = build("residual", depth=8, width=4, image_size=16)
    with torch.no_grad():
        net.stem.conv.weight.fill_(float("nan"))
    maps = gradcam(net, torch.randn(2, 3, 16, 16))
    assert all(values.isnan().all() for values in maps.values())
