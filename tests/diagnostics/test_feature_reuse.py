"""The triangles against closed forms, a slow second reading of the weights, and what must not change them."""

import copy
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from labapp.config import LabError
from labapp.diagnostics.feature_reuse import WEIGHTINGS, feature_reuse, over_seeds, scaled
from labapp.frames import theory
from labapp.nets import Net, build


def small(**options: object) -> Net:
    torch.manual_seed(0)
    defaults = {"depth": 16, "growth_rate": 4, "bottleneck": True, "compression": 0.5}
    return build("dense", **{**defaults, **options}, image_size=16)


def shaken(model: nn.Module) -> nn.Module:
    """Norms as after some training: γ, β, means and variances of their own."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.3, 0.3),
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 2.0),
            ):
                nn.init.uniform_(tensor, low, high)
    return model


def test_densenet_40_at_initialisation() -> None:
    torch.manual_seed(0)
    table = feature_reuse(build("dense", depth=40, growth_rate=12))
    assert len(table) == 3 * (78 + 13)  # a triangle of 12 layers and a column of 13 sources
    for _, block in table.groupby("block"):
        grid = block.pivot_table(index="source", columns="target", values="value")
        assert grid.shape == (13, 12 + 1)
        assert np.array_equal(grid.notna(), np.triu(np.ones((13, 13), bool)))
    assert table[table["target"] == 13]["kind"].tolist() == ["transition"] * 26 + ["classifier"] * 13
    layers = table[table["kind"] == "layer"]["value"]
    expected = theory.mean_absolute_weight(12 * 9)
    assert expected == pytest.approx(0.1086, abs=5e-5)
    # |w| deviates by 0.756 of its mean, a cell has 12·12·9 weights at least: 2.1 % of 0.1086, four of those
    assert np.allclose(layers, expected, rtol=0.084)
    assert layers.mean() == pytest.approx(expected, rel=0.004)
    one = table[(table["kind"] == "transition")].groupby("block")["value"].mean()
    # N(0, 2/fan-out) with as many outputs as inputs: 160, then 304
    assert np.allclose(one, [theory.mean_absolute_weight(160), theory.mean_absolute_weight(304)], rtol=0.02)


def slow_reading(model: nn.Module, weight_of: Callable[[nn.Module, nn.Module], Tensor]) -> list[tuple]:
    """Cells of torchvision's DenseNet by its own names, channel by channel."""
    rows = []
    growth = model.features.denseblock1.denselayer1.conv2.out_channels
    for block in range(1, 5):
        layers = [getattr(model.features, f"denseblock{block}")]
        layers = list(layers[0].children())
        start = layers[0].conv1.in_channels
        if block < 4:
            transition = getattr(model.features, f"transition{block}")
            end = (transition.norm, transition.conv, "transition")
        else:
            end = (model.features.norm5, model.classifier, "classifier")
        targets = [(layer.norm1, layer.conv1, "layer") for layer in layers] + [end]
        for target, (norm, reader, kind) in enumerate(targets, start=1):
            values = weight_of(norm, reader)  # (outputs, inputs, …)
            for source in range(target):
                first = 0 if source == 0 else start + (source - 1) * growth
                last = start if source == 0 else first + growth
                total = sum(values[:, channel].double().sum().item() for channel in range(first, last))
                rows.append((block, source, target, total / values[:, first:last].numel(), kind))
    return rows


def raw(norm: nn.Module, layer: nn.Module) -> Tensor:
    return layer.weight.detach().abs()


def folded(norm: nn.Module, layer: nn.Module) -> Tensor:
    """The weights of the layer that has the norm folded in: w'(x) = w(γ x / √(σ² + ε))."""
    factor = (norm.weight / (norm.running_var + norm.eps) ** 0.5).detach()
    return (layer.weight.detach() * factor.view(1, -1, *[1] * (layer.weight.ndim - 2))).abs()


@pytest.mark.parametrize(("weighting", "weight_of"), [("weights", raw), ("bn-folded", folded)])
def test_torchvision_densenet_agrees_with_a_slow_reading(weighting: str, weight_of: Callable) -> None:
    torch.manual_seed(0)
    model = shaken(torchvision.models.DenseNet(4, (2, 3, 2, 2), 8, 2, num_classes=5))
    table = feature_reuse(model, weighting)
    expected = pd.DataFrame(slow_reading(model, weight_of), columns=list(table.columns))
    pd.testing.assert_frame_equal(table, expected, rtol=1e-6)


def test_the_lab_s_and_torchvision_s_densenet_have_the_same_triangles() -> None:
    with torch.device("cpu"):
        lab, theirs = build("densenet121", num_classes=5), torchvision.models.densenet121(num_classes=5)
    keys = ["block", "source", "target", "kind"]
    pd.testing.assert_frame_equal(feature_reuse(lab)[keys], feature_reuse(theirs)[keys])


def test_activation_weighting_is_what_arrives_times_what_weighs_it(images: Tensor) -> None:
    model = shaken(small(bottleneck=False, depth=10, compression=1.0)).eval()
    table = feature_reuse(model, "activation", images, batch_size=4)
    block, layer = model.get_submodule("block1"), model.get_submodule("block1.layer2")
    with torch.no_grad():
        x = model.get_submodule("stem")(images)
        maps = [x, block.layer1([x])]
        arrives = layer.activation1(layer.norm1(torch.cat(maps, 1))).abs().mean((0, 2, 3))
        value = layer.conv1.weight.abs() * arrives[None, :, None, None]
    stem = x.shape[1]
    cells = table[(table["block"] == 1) & (table["target"] == 2)]["value"]
    assert np.allclose(cells, [value[:, :stem].mean(), value[:, stem:].mean()], rtol=1e-5)


def test_gradient_weighting_is_the_first_order_change(images: Tensor, labels: Tensor) -> None:
    model = shaken(small()).eval()
    table = feature_reuse(model, "gradient", images, labels, batch_size=4)  # two batches, one mean
    reader = model.get_submodule("transition1.conv").weight
    loss = F.cross_entropy(model(images), labels)
    (gradient,) = torch.autograd.grad(loss, reader)
    expected = (reader * gradient).detach().abs()
    cells = table[(table["kind"] == "transition") & (table["block"] == 1)]["value"]
    parts = expected.split([8, 4, 4], dim=1)  # BC: the stem makes 2k
    assert np.allclose(cells, [part.mean() for part in parts], rtol=1e-4)


@pytest.mark.parametrize("weighting", WEIGHTINGS[1:3])
def test_rescaling_that_the_net_does_not_feel_is_not_seen(weighting: str, images: Tensor) -> None:
    model = shaken(small())
    before = feature_reuse(model, weighting, images)
    norm, conv = model.get_submodule("block2.layer2.norm1"), model.get_submodule("block2.layer2.conv1")
    with torch.no_grad():
        scale = torch.rand(norm.num_features) + 0.5
        norm.weight *= scale
        norm.bias *= scale
        conv.weight /= scale[None, :, None, None]
    after = feature_reuse(model, weighting, images)
    assert np.allclose(before["value"], after["value"], rtol=1e-5)
    assert not np.allclose(before["value"], feature_reuse(model)["value"], rtol=1e-2)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_nothing_is_left_behind(weighting: str, images: Tensor, labels: Tensor) -> None:
    model = small(dropout=0.2).train()
    model.get_submodule("block2").eval()
    model.get_submodule("block1.layer1.conv1").weight.requires_grad_(False)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    state = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    asked = [parameter.requires_grad for parameter in model.parameters()]
    random = torch.random.get_rng_state()
    with torch.no_grad():
        feature_reuse(model, weighting, images, labels)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == asked
    assert all(torch.equal(parameter.grad, torch.ones_like(parameter)) for parameter in model.parameters())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_plain_nets_see_one_source_each() -> None:
    torch.manual_seed(0)
    net = build("plain", depth=8, width=8)
    table = feature_reuse(net)
    assert table["target"].tolist() == list(range(2, 9))
    assert (table["source"] == table["target"] - 1).all()
    assert table["kind"].tolist() == ["layer"] * 6 + ["classifier"]
    weight = net.get_submodule("stage1.block1.branch.conv1").weight
    assert table["value"][0] == pytest.approx(weight.abs().mean().item(), rel=1e-6)
    assert (scaled(table, "column maximum")["value"] == 1).all()
    vgg = feature_reuse(build("vgg", configuration="A", width=4, head="fc"))
    assert vgg["source"].tolist() == list(range(1, 11))  # eight convolutions and three linear layers
    assert vgg["target"].tolist() == list(range(2, 12))


def test_folding_reaches_through_flattened_maps() -> None:
    """A VGG whose head flattens 2 × 2 maps into its first linear layer has no norm there, and needs none."""
    torch.manual_seed(0)
    net = build("vgg", configuration="A", width=4, head="fc", norm="batch", image_size=32)
    assert feature_reuse(net, "bn-folded")["value"].notna().all()


@pytest.mark.parametrize("scale", ["column maximum", "column min–max"])
def test_scales(scale: str) -> None:
    table = feature_reuse(small())
    columns = scaled(table, scale).groupby(["block", "target"])["value"]
    single = columns.size() == 1
    assert np.allclose(columns.max()[~single], 1)
    if scale == "column maximum":
        assert np.allclose(columns.max()[single], 1)
    else:
        assert columns.max()[single].isna().all()
        assert np.allclose(columns.min()[~single], 0)
    pd.testing.assert_frame_equal(scaled(table, "raw"), table)


def test_spread_over_seeds() -> None:
    tables = []
    for seed in range(3):
        torch.manual_seed(seed)
        tables.append(feature_reuse(build("dense", depth=10, growth_rate=4)))
    spread = over_seeds(tables)
    values = np.array([table["value"] for table in tables])
    assert np.allclose(spread["value"], values.mean(0))
    assert np.allclose(spread["deviation"], values.std(0, ddof=1))
    assert np.allclose(spread["low"], values.min(0))
    assert np.allclose(spread["high"], values.max(0))
    assert (spread["seeds"] == 3).all()
    assert over_seeds(tables[:1])["deviation"].isna().all()
    with pytest.raises(LabError, match="different nets"):
        over_seeds([tables[0], feature_reuse(small(depth=22))])
    with pytest.raises(LabError, match="at least"):
        over_seeds([])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: feature_reuse(small(), "weigths"), "did you mean 'weights'"),
        (lambda: feature_reuse(build("residual", depth=8)), "take weighting='ablation'"),
        (lambda: feature_reuse(torchvision.models.resnet18()), "take weighting='ablation'"),
        (lambda: feature_reuse(small(norm="group"), "bn-folded"), "not a GroupNorm; take weights"),
        (lambda: feature_reuse(small(), "activation"), "not a NoneType"),
        (lambda: feature_reuse(small(), "gradient", torch.randn(2, 3, 16, 16)), "labels are one class an image"),
        (lambda: feature_reuse(nn.Sequential(nn.Flatten())), "is no chain of blocks"),
        (lambda: scaled(feature_reuse(small()), "colum maximum"), "did you mean 'column maximum'"),
        (
            lambda: feature_reuse(small(), "gradient", torch.randn(2, 3, 16, 16), torch.tensor([0, 10])),
            "the net has 10 classes, but the labels run from 0 to 10",
        ),
        (lambda: feature_reuse(small(), "activation", torch.full((2, 3, 16, 16), np.nan)), "images hold NaN"),
    ],
)
def test_errors_are_sentences(call: Callable, sentence: str) -> None:
    with pytest.raises(LabError, match=sentence):
        call()


def test_weights_that_are_not_finite_are_refused() -> None:
    model = small()
    with torch.no_grad():
        model.get_submodule("block2.layer1.conv1").weight[0, 0] = np.nan
    with pytest.raises(LabError, match=r"'block2\.layer1\.conv1\.weight' of this net holds NaN"):
        feature_reuse(model)
