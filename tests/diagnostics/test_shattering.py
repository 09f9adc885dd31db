"""Gradients of examples and along lines, against theory, autograd one example at a time, and known series."""

import copy
import math

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from labapp.config import LabError
from labapp.diagnostics.shattering import (
    autocorrelation,
    gradient_autocorrelation,
    gradient_cosine,
    mean_cosine,
)
from labapp.frames import theory
from labapp.nets import Net, build


def net(family: str = "residual", **options: object) -> Net:
    torch.manual_seed(0)
    return build(family, image_size=16, **{"depth": 14, "width": 4, **options})


def he_relu(layers: int, width: int, seed: int) -> nn.Module:
    """A ReLU net from flat images of 1 × width × 1 to two scores, N(0, 2/n)."""
    torch.manual_seed(seed)
    parts: list[nn.Module] = [nn.Flatten()]
    for _ in range(layers):
        linear = nn.Linear(width, width, bias=False)
        nn.init.normal_(linear.weight, std=(2 / width) ** 0.5)
        parts += [linear, nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width, 2, bias=False)).double()


@pytest.mark.parametrize(("layers", "expected"), [(5, 0.105), (10, 0.0337)])
def test_he_relu_nets_shatter_as_the_recursion_says(layers: int, expected: float) -> None:
    width = 512
    torch.manual_seed(0)
    orthogonal = torch.linalg.qr(torch.randn(width, 64, dtype=torch.float64)).Q.T.reshape(64, 1, width, 1) * width**0.5
    tables = [gradient_cosine(he_relu(layers, width, seed), orthogonal, "linear") for seed in range(4)]
    measured = np.mean([table["cosine"][0] for table in tables])
    assert tables[0]["layer"][0] == "input"
    # one net of width 512 deviates by 0.011, the mean of four by 0.006
    assert measured == pytest.approx(expected, abs=0.02)
    assert theory.gradient_cosine(layers) == pytest.approx(expected, abs=5e-4)
    # nearer to the scores fewer layers have parted the examples
    by_depth = np.mean([table["cosine"][1:-1] for table in tables], axis=0)
    assert by_depth[-1] > by_depth[0]


def test_each_gradient_is_that_of_its_example_alone(images: Tensor) -> None:
    model = net().eval()
    table = gradient_cosine(model, images, ["stage2.block1"], target=3)
    gradients = []
    for image in images:
        x = image[None].clone().requires_grad_()
        h = model.get_submodule("stage1")(model.get_submodule("stem")(x))
        h = model.get_submodule("stage2.block1")(h)
        rest = model.get_submodule("stage2.block2")(h)
        score = model.get_submodule("head")(model.get_submodule("stage3")(rest))[0, 3]
        gradients.append(torch.autograd.grad(score, [x, h]))
    for row, at in ((0, 0), (1, 1)):
        flat = torch.stack([g[at].flatten() for g in gradients]).double()
        unit = flat / flat.norm(dim=1, keepdim=True)
        cosines = (unit @ unit.T)[torch.triu_indices(6, 6, 1).unbind()]
        assert table["cosine"][row] == pytest.approx(cosines.mean().item(), abs=1e-5)
        assert table["deviation"][row] == pytest.approx(cosines.std().item(), abs=1e-5)
    assert table["layer"].tolist() == ["input", "stage2.block1"]
    assert table["depth"].tolist() == [0, 7]


def one_by_one(model: nn.Module, images: Tensor, layers: list[str], target: int) -> dict[str, Tensor]:
    """Each example's gradient at the input and at layers by `torch.func`, with the batch's statistics held fixed."""
    model, images = copy.deepcopy(model).double().train(), images.double()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    seen: dict[nn.Module, Tensor] = {}
    hooks = [norm.register_forward_pre_hook(lambda m, args: seen.update({m: args[0].detach()})) for norm in norms]
    shapes = {}
    hooks += [
        model.get_submodule(path).register_forward_hook(lambda m, a, out, p=path: shapes.update({p: out[0].shape}))
        for path in layers
    ]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    model.eval()
    for norm, values in seen.items():
        norm.running_mean = values.mean((0, 2, 3))
        norm.running_var = values.var((0, 2, 3), correction=0)

    def score(added: dict[str, Tensor], image: Tensor) -> Tensor:
        hooks = [
            model.get_submodule(path).register_forward_hook(lambda m, a, out, p=path: out + added[p]) for path in layers
        ]
        try:
            return model(image[None])[0, target]
        finally:
            for hook in hooks:
                hook.remove()

    nothing = {path: torch.zeros(shape, dtype=torch.float64) for path, shape in shapes.items()}
    at_layers, at_input = torch.func.vmap(torch.func.grad(score, argnums=(0, 1)), in_dims=(None, 0))(nothing, images)
    return {"input": at_input, **at_layers}


@pytest.mark.parametrize("family", ["plain", "residual", "dense"])
def test_gradients_of_a_batch_are_those_of_torch_func_one_by_one(family: str, images: Tensor) -> None:
    options = {"depth": 10, "width": None, "growth_rate": 4} if family == "dense" else {"depth": 8}
    model = net(family, **options)
    table = gradient_cosine(model, images, train=True, target=3).set_index("layer")
    expected = one_by_one(model, images, [name for name in table.index if name != "input"], 3)
    assert set(expected) == set(table.index)
    for layer, gradients in expected.items():
        assert table.loc[layer, "cosine"] == pytest.approx(mean_cosine(gradients.flatten(1))[0], abs=1e-5), layer
    line = torch.linspace(0, 1, 12)[:, None, None, None] * (images[1] - images[0]) + images[0]
    found = gradient_autocorrelation(model, images[0], images[1], "conv", points=12, lags=4, train=True)
    found = found[found["layer"] == "input"]["autocorrelation"].to_numpy()
    expected_line = autocorrelation(one_by_one(model, line, [], 0)["input"].flatten(1), 4)
    assert found == pytest.approx(expected_line, abs=1e-4)


def test_a_batch_does_not_subtract_its_mean_from_its_examples() -> None:
    """Coupled through the statistics, plain-8 has 0.03, 0.01 and 0.00 here, and ResNet-20's last stage 0.03 to 0.06."""
    torch.manual_seed(0)
    images = torch.randn(32, 3, 16, 16)
    found = []
    for seed in range(4):
        torch.manual_seed(seed)
        model = build("plain", depth=8, width=8, image_size=16)
        found.append(gradient_cosine(model, images, train=True)["cosine"].to_numpy())
    # of eight nets 0.56 ± 0.01, 0.30 ± 0.02 and 0.010 ± 0.003; 0.58, 0.37 and 0.02 are within three deviations
    found = np.stack(found)[:, [-1, -2, 1]]
    assert (np.abs(found - [0.56, 0.30, 0.01]) < [0.03, 0.08, 0.015]).all()
    torch.manual_seed(0)
    table = gradient_cosine(build("residual", depth=20, width=8, image_size=16), images, train=True)
    last = table[table["layer"].str.startswith("stage3")]["cosine"]
    assert last.between(0.1, 0.85).all()
    assert last.iloc[-1] == pytest.approx(0.79, abs=0.05)


def test_scores_and_layers_may_be_scaled(images: Tensor) -> None:
    model = net()
    before = gradient_cosine(model, images)
    with torch.no_grad():
        model.get_submodule("head.classifier").weight *= 100
        model.get_submodule("stage2.block1.branch.conv1").weight *= 0.1
        model.get_submodule("stage2.block1.branch.norm1").weight *= 10
    after = gradient_cosine(model, images)
    later = before["layer"].str.startswith("stage3")  # behind the layer that was scaled
    assert np.allclose(before["cosine"][later], after["cosine"][later], atol=1e-4)


def test_a_linear_net_sends_everybody_the_same_gradient(images: Tensor) -> None:
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 5))
    assert np.allclose(gradient_cosine(linear, images)["cosine"], 1, atol=1e-5)
    table = gradient_autocorrelation(linear, images[0], images[1], "conv", points=16, lags=4)
    assert table["autocorrelation"].isna().all()
    assert (table["reason"] != "").all()


def test_autocorrelation_of_known_series() -> None:
    random = np.random.default_rng(0)
    white = torch.from_numpy(random.standard_normal((2000, 8)))
    values = autocorrelation(white, 10)
    assert values[0] == 1
    assert np.abs(values[1:]).max() < 0.04  # 4 / √(2000 · 8), and a bias of 1/2000
    noise = random.standard_normal((20_000, 4))
    smooth = np.zeros_like(noise)
    for t in range(1, len(noise)):
        smooth[t] = 0.9 * smooth[t - 1] + noise[t]
    assert np.allclose(autocorrelation(torch.from_numpy(smooth), 8), 0.9 ** np.arange(9), atol=0.03)
    period = torch.sin(2 * math.pi * torch.arange(400, dtype=torch.float64) / 40)[:, None]
    assert autocorrelation(period, 20)[20] == pytest.approx(-(400 - 20) / 400, abs=0.01)
    assert np.isnan(autocorrelation(torch.ones(10, 2), 3)).all()
    assert np.isnan(autocorrelation(torch.full((10, 2), torch.nan), 3)).all()


def test_plain_nets_lose_the_correlation_before_residual_ones() -> None:
    """Balduzzi's Fig. 2, in small: the gradient at the input, batch norm with the points' own statistics."""
    torch.manual_seed(0)
    image, other = torch.randn(3, 16, 16), torch.randn(3, 16, 16)
    found = {}
    for family in ("plain", "residual"):
        curves = []
        for seed in range(2):
            torch.manual_seed(seed)
            model = build(family, depth=56, width=4, image_size=16)
            table = gradient_autocorrelation(model, image, other, "conv", points=64, lags=6, train=True)
            curves.append(table[table["layer"] == "input"]["autocorrelation"].to_numpy())
        found[family] = np.mean(curves, axis=0)
    assert (found["plain"][1:4] < found["residual"][1:4]).all()
    assert found["plain"][3] < 0.3


def test_in_place_nets_and_repeated_modules(images: Tensor) -> None:
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=5)
    table = gradient_cosine(model, images.repeat(1, 1, 4, 4), ["layer1.0.relu", "layer1.0.conv1"])
    assert sorted(table["layer"]) == ["input", "layer1.0.conv1", "layer1.0.relu", "layer1.0.relu#2"]
    assert table["cosine"].between(-1, 1).all()


def test_silent_examples_are_left_out_and_counted() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    cosine, _, examples = mean_cosine(rows)
    assert cosine == pytest.approx(1 / math.sqrt(2))
    assert examples == 2
    cosine, deviation, examples = mean_cosine(rows[1:])
    assert math.isnan(cosine)
    assert math.isnan(deviation)
    assert examples == 1


def test_dead_layers_have_a_reason(images: Tensor) -> None:
    model = net("plain")
    with torch.no_grad():
        model.get_submodule("stage2.block1.branch.norm1").weight.zero_()
        model.get_submodule("stage2.block1.branch.norm1").bias.fill_(-1)
    table = gradient_cosine(model, images, ["conv", "linear"]).set_index("layer")
    assert math.isnan(table["cosine"]["stem.conv"])
    assert table["reason"]["stem.conv"] == "fewer than two examples have a gradient here"
    assert table["reason"]["head.classifier"] == ""
    assert table["cosine"]["head.classifier"] == pytest.approx(1)  # the scores themselves


@pytest.mark.parametrize("train", [False, True])
def test_nothing_is_left_behind(train: bool, images: Tensor) -> None:
    model = net().train()
    model.get_submodule("stage1").eval()
    state, random = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    modes = [module.training for module in model.modules()]
    with torch.no_grad():
        gradient_cosine(model, images, train=train)
        gradient_autocorrelation(model, images[0], images[1], points=8, lags=2, train=train)
    with pytest.raises(LabError, match="class 10 is out of range: this net has 10 classes"):
        gradient_cosine(model, images, target=10, train=train)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m, x: gradient_cosine(m, x[:1]), "this needs 2 images at least, not 1"),
        (lambda m, x: gradient_cosine(m, x, "stage9.*"), "no layer of this net fits"),
        (lambda m, x: gradient_autocorrelation(m, x[0], x[0]), "the two images are equal"),
        (lambda m, x: gradient_autocorrelation(m, x[0], x[1, :, :4]), "two images .C, H, W. of one shape"),
        (lambda m, x: gradient_autocorrelation(m, x[0], x[1], points=8, lags=8), "lags must be from 1 to"),
    ],
)
def test_errors_are_sentences(call, sentence: str, images: Tensor) -> None:
    with pytest.raises(LabError, match=sentence):
        call(net(), images)
