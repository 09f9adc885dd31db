"""Path lengths in closed form, and path gradients that add up to the net's own gradient."""

import copy
import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F

from labapp.config import LabError
from labapp.diagnostics.measuring.chains import chain_of
from labapp.diagnostics.path_lengths import (
    decay,
    effective_path_length,
    path_gradients,
    path_length_distribution,
    path_weights,
)
from labapp.nets import Net


def test_lengths_of_54_blocks() -> None:
    table = path_length_distribution(54)
    length, share = table["length"], table["probability"]
    assert share.sum() == pytest.approx(1)
    mean = (length * share).sum()
    assert mean == pytest.approx(27)
    assert math.sqrt(((length - mean) ** 2 * share).sum()) == pytest.approx(3.674, abs=5e-4)
    assert share[5:18].sum() == pytest.approx(0.004537, abs=5e-7)  # 5 … 17
    assert share[19:36].sum() == pytest.approx(0.9802, abs=5e-5)  # 19 … 35
    assert table["paths"].sum() == 2.0**54


@pytest.mark.parametrize(("r", "expected"), [(0.27, 11.48), (1.0, 27.0), (0.05, 54 * 0.05 / 1.05)])
def test_geometric_decay_gives_a_binomial(r: float, expected: float) -> None:
    table = path_length_distribution(54).assign(gradient_norm=7 * r ** np.arange(55))
    table["weight"] = path_weights(table["gradient_norm"].to_numpy())
    assert effective_path_length(table) == pytest.approx(expected, abs=5e-3)
    assert decay(table) == pytest.approx(r)
    p = r / (1 + r)
    binomial = [math.comb(54, k) * p**k * (1 - p) ** (54 - k) for k in range(55)]
    assert np.allclose(table["weight"], binomial)


@pytest.mark.parametrize("options", [{}, {"preactivation": True}, {"shortcut": "B"}])
@pytest.mark.parametrize("train", [False, True])
def test_paths_add_up_to_the_gradient(
    net: Callable[..., Net], options: dict, train: bool, images: Tensor, labels: Tensor
) -> None:
    from labapp.diagnostics import path_lengths as module

    model = net(depth=14, **options)
    if train:
        model.train()
    chain = chain_of(model)
    x = model.get_submodule("stem")(images).detach().requires_grad_()
    scores = x
    for name in ("stage1", "stage2", "stage3", "head"):
        scores = model.get_submodule(name)(scores)
    (whole,) = torch.autograd.grad(F.cross_entropy(scores, labels), x)
    links, gradient = module._links(chain, images, labels)
    # the exact sums against every one of the 2⁶ paths
    sums = module._summed(links, gradient)
    assert torch.allclose(sum(sums), whole, rtol=1e-4, atol=1e-6 * whole.abs().max().item())
    for length, total in enumerate(sums):
        paths = [module._along(links, gradient, set(path)) for path in itertools.combinations(range(6), length)]
        assert len(paths) == math.comb(6, length)
        assert torch.allclose(sum(paths), total, rtol=1e-3, atol=1e-6 * whole.abs().max().item())


def test_table_of_a_net(net: Callable[..., Net], images: Tensor, labels: Tensor) -> None:
    model = net()
    table = path_gradients(model, images, labels, samples=6)
    assert table["length"].tolist() == list(range(10))
    assert table["weight"].sum() == pytest.approx(1)
    assert 0 < effective_path_length(table) < 9
    # one path each goes past everything and through everything: there the sum is the path
    ends = table.iloc[[0, -1]]
    assert np.allclose(ends["gradient_norm"], ends["sum_norm"], rtol=1e-5)
    assert ends["deviation"].isna().all()
    assert path_gradients(model, images, labels, samples=6).equals(table)


def test_a_branch_of_zero_has_no_path(net: Callable[..., Net], images: Tensor, labels: Tensor) -> None:
    model = net()
    for block in model.residual_blocks():
        torch.nn.init.zeros_(block.branch.norm2.weight)
    table = path_gradients(model, images, labels)
    assert table["gradient_norm"][0] > 0
    assert (table["gradient_norm"][1:] == 0).all()
    assert effective_path_length(table) == 0
    assert math.isnan(decay(table))


def test_torchvision_s_blocks_too(images: Tensor, labels: Tensor) -> None:
    torch.manual_seed(0)
    table = path_gradients(torchvision.models.resnet18(num_classes=6), images.repeat(1, 1, 4, 4), labels, samples=1)
    assert len(table) == 9
    assert table["gradient_norm"].gt(0).all()


@pytest.mark.parametrize("train", [False, True])
def test_nothing_is_left_behind(net: Callable[..., Net], train: bool, images: Tensor, labels: Tensor) -> None:
    model = net().train()
    model.get_submodule("stage1").eval()
    state, random = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    modes = [module.training for module in model.modules()]
    with torch.no_grad():
        path_gradients(model, images, labels, samples=1, train=train)
    with pytest.raises(LabError, match="the net has 10 classes"):
        path_gradients(model, images, labels + 9, train=train)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("family", "options", "sentence"),
    [
        ("plain", {}, "a plain net has no shortcuts and so a single path"),
        ("vgg", {"depth": None, "configuration": "A", "head": "gap"}, "a vgg net has no shortcuts"),
        ("dense", {"depth": 13, "width": None, "growth_rate": 4}, "a dense net concatenates"),
    ],
)
def test_other_families_are_told_what_applies(
    net: Callable[..., Net], family: str, options: dict, sentence: str, images: Tensor, labels: Tensor
) -> None:
    with pytest.raises(LabError, match=sentence):
        path_gradients(net(family, **options), images, labels)


def test_no_gradient_has_a_reason(net: Callable[..., Net], images: Tensor, labels: Tensor) -> None:
    model = net()
    assert set(path_gradients(model, images, labels)["reason"]) == {""}
    torch.nn.init.zeros_(model.get_submodule("head.classifier").weight)
    table = path_gradients(model, images, labels)
    assert table["weight"].isna().all()
    assert all("nothing to share out" in reason for reason in table["reason"])


def test_no_gradient_is_nan_not_a_number() -> None:
    weights = path_weights([0.0, 0.0])
    assert np.isnan(weights).all()
    assert math.isnan(effective_path_length(pd.DataFrame({"length": [0, 1], "weight": weights})))
    with pytest.raises(LabError, match="at least 0 blocks"):
        path_length_distribution(-1)
