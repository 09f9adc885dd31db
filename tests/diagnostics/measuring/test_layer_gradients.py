import copy

import pytest
import torch
from torch import nn

from labapp.config import LabError
from labapp.diagnostics.measuring.layer_gradients import layer_gradients
from labapp.nets import build


class Small(nn.Module):
    """Convolutions with one rectifier that runs twice, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(6, 5)
        self.unused = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.conv2(self.relu(self.conv1(x))))
        return self.classifier(self.pool(self.drop(x)).flatten(1))


@pytest.fixture
def net() -> Small:
    torch.manual_seed(0)
    return Small()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_activation_and_gradient_are_those_of_a_net_cut_at_the_layer(net: Small, images: torch.Tensor):
    answer = layer_gradients(net, images, 2, "conv1")
    net.eval()
    cut = net.conv1(images).detach().requires_grad_()
    scores = net.classifier(net.pool(net.conv2(cut.relu()).relu()).flatten(1))
    (gradient,) = torch.autograd.grad(scores[:, 2].sum(), cut)
    activation = answer.layers["conv1"].activation
    assert torch.equal(activation, cut)  # what the layer returned, though a rectifier has overwritten it since
    assert (activation < 0).any()
    torch.testing.assert_close(answer.layers["conv1"].gradient, gradient)
    torch.testing.assert_close(answer.scores, scores.detach())


def test_a_module_that_runs_twice_has_two_names(net: Small, images: torch.Tensor):
    both = layer_gradients(net, images, 0, "relu").layers
    assert [(name, layer.activation.shape[1]) for name, layer in both.items()] == [("relu", 4), ("relu#2", 6)]
    second = layer_gradients(net, images, 0, "relu#2").layers
    assert list(second) == ["relu#2"]
    assert torch.equal(second["relu#2"].gradient, both["relu#2"].gradient)


def test_layers_come_in_order_of_execution(net: Small, images: torch.Tensor):
    assert list(layer_gradients(net, images, layers=["conv2", "conv1"]).layers) == ["conv1", "conv2"]


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ("conv", ["conv1", "conv2"]),  # a kind; the unused one does not run
        ("conv?", ["conv1", "conv2"]),
        (
            lambda path, module: isinstance(module, nn.Conv2d | nn.Linear),
            ["conv1", "conv2"],
        ),  # a linear layer has no map
    ],
)
def test_a_pattern_takes_what_has_a_map(net: Small, images: torch.Tensor, layers: object, found: list[str]):
    assert list(layer_gradients(net, images, layers=layers).layers) == found


def test_modules_can_be_given(net: Small, images: torch.Tensor):
    assert list(layer_gradients(net, images, layers=net.conv2).layers) == ["conv2"]
    assert list(layer_gradients(net, images, layers=[net.conv2, "conv1"]).layers) == ["conv1", "conv2"]


@pytest.mark.parametrize(
    ("net", "found"),
    [
        (
            build("residual", depth=8, width=4, image_size=16),
            ["stage1.block1", "stage2.block1", "stage3.block1"],
        ),
        (build("dense", depth=10, growth_rate=2, width=4, image_size=16), ["block1", "block2", "block3"]),
        (
            build("vgg", width=2, configuration="A", image_size=16),
            ["stage1.activation1", "stage2.activation1", "stage3.activation2", "stage4.activation2"],  # stage 5: 1×1
        ),
    ],
    ids=["residual", "dense", "vgg"],
)
def test_by_default_blocks_or_the_last_layer_of_each_resolution(net: nn.Module, found: list[str]):
    layers = layer_gradients(net, torch.randn(2, 3, 16, 16)).layers
    assert list(layers) == found
    sizes = [tuple(layer.activation.shape[2:]) for layer in layers.values()]
    assert sizes == sorted(set(sizes), reverse=True)


def test_targets_default_to_the_prediction(net: Small, images: torch.Tensor):
    answer = layer_gradients(net, images, None, "conv2")
    assert torch.equal(answer.targets, answer.scores.argmax(1))
    each = layer_gradients(net, images, answer.targets.tolist(), "conv2")
    assert torch.equal(each.layers["conv2"].gradient, answer.layers["conv2"].gradient)


def test_images_do_not_influence_each_other(images: torch.Tensor):
    net = build("residual", depth=8, width=4, image_size=8)  # with batch norms, in training mode outside
    together = layer_gradients(net, images, 1, "stage2.block1").layers["stage2.block1"]
    for i in range(len(images)):
        alone = layer_gradients(net, images[i : i + 1], 1, "stage2.block1").layers["stage2.block1"]
        torch.testing.assert_close(together.gradient[i], alone.gradient[0])


def test_a_norm_without_running_statistics_does_not_mix_images(images: torch.Tensor):
    """In closed form: behind the norm each gradient is divided by the batch's deviation, and nothing is subtracted."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, track_running_stats=False, affine=False)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    ).double()
    found = layer_gradients(net, images.double(), 2, ["0"]).layers["0"]
    centred = found.activation - found.activation.mean((0, 2, 3), keepdim=True)
    deviation = (centred.square().mean((0, 2, 3), keepdim=True) + norm.eps).sqrt()
    expected = (centred > 0) * net[5].weight.detach()[2].view(1, 4, 1, 1) / 36 / deviation
    assert torch.allclose(found.gradient, expected)


def test_frozen_parameters_change_nothing(net: Small, images: torch.Tensor):
    free = layer_gradients(net, images, 0, ["conv1", "conv2"])
    net.requires_grad_(False)
    frozen = layer_gradients(net, images, 0, ["conv1", "conv2"])
    for name, layer in free.layers.items():
        assert torch.equal(layer.gradient, frozen.layers[name].gradient)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(net: Small, images: torch.Tensor, around: type):
    expected = layer_gradients(net, images, 0, "conv1").layers["conv1"].gradient
    with around():
        found = layer_gradients(net, images.clone(), 0, "conv1").layers["conv1"].gradient
    assert torch.equal(found, expected)


def traces(net: nn.Module, images: torch.Tensor) -> dict[str, object]:
    """All that must be the same before and after."""
    return copy.deepcopy(
        {
            "grad": [None if p.grad is None else p.grad.clone() for p in net.parameters()],
            "flags": [p.requires_grad for p in net.parameters()],
            "modes": [m.training for m in net.modules()],
            "state": net.state_dict(),
            "hooks": [
                list(m._forward_hooks) + list(m._forward_pre_hooks) + list(m._backward_hooks) for m in net.modules()
            ],
            "in place": [getattr(m, "inplace", None) for m in net.modules()],
            "random numbers": torch.get_rng_state(),
            "images": images,
            "images want gradients": images.requires_grad,
        }
    )


@pytest.mark.parametrize("problem", [None, "layer", "class", "broken forward"])
def test_it_leaves_no_trace(net: Small, images: torch.Tensor, problem: str | None):
    net.conv2.eval()
    net(images).sum().backward()  # gradients to keep
    seen = []
    own = net.conv1.register_forward_hook(lambda module, args, output: seen.append(1))  # somebody else's hook stays
    before = traces(net, images)
    if problem is None:
        layer_gradients(net, images)
    elif problem == "broken forward":
        with pytest.raises(LabError, match=r"the net fails on images of 2×8×8 in float32 \(RuntimeError: Given groups"):
            layer_gradients(net, images[:, :2])
    else:
        with pytest.raises(LabError):
            layer_gradients(net, images, 99 if problem == "class" else 0, "pool" if problem == "layer" else "conv1")
    torch.testing.assert_close(traces(net, images), before, rtol=0, atol=0)
    own.remove()


def test_a_net_may_overwrite_its_input(images: torch.Tensor):
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 3))
    before = images.clone()
    assert list(layer_gradients(net, images, 0, "conv").layers) == ["1"]
    assert torch.equal(images, before)


class Returns(nn.Module):
    def __init__(self, what: object) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.what = what

    def forward(self, x: torch.Tensor) -> object:
        return self.what(self.conv(x))  # type: ignore[operator]


def mean(x: torch.Tensor) -> torch.Tensor:
    return x.mean((2, 3))


@pytest.mark.parametrize(
    ("net", "arguments", "sentence"),
    [
        (Returns(lambda x: {"logits": mean(x)}), {}, "returns a dict, not one tensor of class scores"),
        (Returns(lambda x: (mean(x), x)), {}, "returns a tuple"),
        (Returns(lambda x: x), {}, r"returns \(3, 4, 6, 6\) for 3 images"),
        (Returns(lambda x: mean(x).detach()), {}, "detaches its scores"),
        (Small(), {"layers": "classifier"}, r"'classifier' has no map to show: its output is \(3, 5\)"),
        (Small(), {"layers": "pool"}, r"'pool' has no map to show: its output is \(3, 6, 1, 1\)"),
        (Small(), {"layers": "unused"}, "'unused' does not run"),
        (Small(), {"layers": "convolution1"}, "no layer 'convolution1'"),
        (Small(), {"layers": "conv9"}, r"did you mean 'conv[12]'"),
        (Small(), {"layers": "relu#3"}, "'relu' runs 2 times"),
        (Small(), {"layers": "linear"}, "none of the layers chosen has both"),
        (Small(), {"layers": []}, "no layer was given"),
        (Small(), {"layers": nn.ReLU()}, "the ReLU given as a layer is not part of this net"),
        (Small(), {"targets": 5}, "class 5 is out of range: this net has 5 classes, 0 to 4"),
        (Small(), {"targets": -1}, "class -1 is out of range"),
        (Small(), {"targets": [0, 1]}, r"targets of shape \(2,\) do not fit 3 images"),
        (Small(), {"targets": 1.0}, "a class is an integer"),
        (Small(), {"images": torch.zeros(3, 8, 8)}, r"not torch.float32 \(3, 8, 8\)"),
        (Small(), {"images": torch.zeros(3, 3, 8, 8, dtype=torch.uint8)}, "normalised floats"),
        (Small(), {"images": torch.zeros(0, 3, 8, 8)}, "N ≥ 1"),
    ],
)
def test_mistakes_are_one_sentence(net: nn.Module, arguments: dict[str, object], sentence: str):
    with pytest.raises(LabError, match=sentence) as caught:
        layer_gradients(net, **{"images": torch.randn(3, 3, 8, 8)} | arguments)
    assert "\n" not in str(caught.value)


def test_a_side_branch_has_no_part_in_the_score(images: torch.Tensor):
    class Aside(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.unused(x)
            return super().forward(x)

    net = Aside()
    with pytest.raises(LabError, match="does not depend on the layer 'unused'"):
        layer_gradients(net, images, layers="unused")
    assert list(layer_gradients(net, images, layers="conv").layers) == ["conv1", "conv2"]


def test_a_backbone_without_gradients_is_a_sentence(images: torch.Tensor):
    class Frozen(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                x = self.conv1(x)
            return self.classifier(self.pool(self.conv2(x)).flatten(1))

    with pytest.raises(LabError, match="'conv1' has no map to show: the net computes it without gradients"):
        layer_gradients(Frozen(), images, layers="conv1")
    assert list(layer_gradients(Frozen(), images, layers="conv").layers) == ["conv2"]
