"""Predictions for the lab's own nets, each against nets that are measured here."""

import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labapp.config import LabError
from labapp.frames import theory
from labapp.nets import build
from tests.frames.wide_nets import draws, normal


def conv_gradient_norms(family: str, depth: int, seed: int, *, within: str = "", **options: object) -> np.ndarray:
    """At the output of each convolution whose path ends so, width 16 and batch 64 of 16 × 16 random pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build(family, depth=depth, **{"width": 16, "image_size": 16, **options})
        x, y = torch.randn(64, 3, 16, 16), torch.randint(10, (64,))
    outputs: list[Tensor] = []
    places = [p.path for p in net.places if p.kind == "conv" and ".shortcut." not in p.path]
    convs = [net.get_submodule(path) for path in places if re.search(within, path)]
    handles = [conv.register_forward_hook(lambda _m, _i, output: outputs.append(output)) for conv in convs]
    try:
        loss = F.cross_entropy(net.train()(x), y)
    finally:
        for handle in handles:
            handle.remove()
    return np.array([gradient.double().norm().item() for gradient in torch.autograd.grad(loss, outputs)])


@pytest.mark.parametrize(("depth", "expected", "seeds"), [(20, 28, 4), (56, 1.0e4, 3), (110, 2e7, 2)])
def test_plain_nets_with_batch_norm_explode_towards_the_input(depth: int, expected: float, seeds: int) -> None:
    measured = [conv_gradient_norms("plain", depth, seed) for seed in range(seeds)]
    ratio = math.exp(np.mean([math.log(norms[0] / norms[-1]) for norms in measured]))
    assert ratio == pytest.approx(expected, rel=0.4)  # run to run: ± 10 % at 20, ± 25 % at 110
    blocks = (depth - 2) // 3
    first_stage = [norms[1] / norms[blocks - 1] for norms in measured]  # inside a stage
    growth = math.exp(np.mean(np.log(first_stage)) / (blocks - 2))
    assert growth == pytest.approx(1.20, abs=0.02)
    predicted = math.sqrt(theory.plain_gain("batch"))
    assert predicted == pytest.approx(1.21, abs=0.002)
    assert growth == pytest.approx(predicted, rel=0.025)  # a width of 16 is not infinite


@pytest.mark.parametrize(("depth", "expected", "seeds"), [(20, 8.6, 6), (56, 30, 3), (110, 65, 2)])
def test_residual_nets_grow_like_a_power_of_depth(depth: int, expected: float, seeds: int) -> None:
    measured = [conv_gradient_norms("residual", depth, seed) for seed in range(seeds)]
    ratio = np.mean([norms[0] / norms[-1] for norms in measured])
    assert ratio == pytest.approx(expected, rel=0.12)  # run to run: ± 5 % at 20, ± 10 % at 110
    assert ratio < theory.residual_profile(((depth - 2) // 6,) * 3)[0]  # the border takes its part


@pytest.mark.parametrize("preactivation", [False, True])
@pytest.mark.parametrize(("depth", "seeds", "tolerance"), [(20, 4, 0.08), (56, 2, 0.1), (110, 1, 0.15)])
def test_residual_profiles_hold_layer_by_layer_without_a_border(
    preactivation: bool, depth: int, seeds: int, tolerance: float
) -> None:
    options = {"preactivation": preactivation, "padding_mode": "circular"}
    measured = [conv_gradient_norms("residual", depth, seed, **options) for seed in range(seeds)]
    profile = np.mean([norms / norms[-1] for norms in measured], axis=0)
    predicted = theory.residual_profile(((depth - 2) // 6,) * 3, preactivation=preactivation)
    assert len(predicted) == depth - 1
    # a seed deviates by 3 to 5 %; width 16 takes up to 10 % more from the pre-activation form, which adds no fresh norm
    assert np.allclose(profile, predicted, rtol=tolerance + 0.07 * preactivation)


@pytest.mark.long
@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize("bottleneck", [False, True])
def test_dense_blocks_grow_like_a_power_too(block: int, bottleneck: bool) -> None:
    options = {"growth_rate": 12, "bottleneck": bottleneck, "compression": 0.5 if bottleneck else 1.0, "width": None}
    layers = 6 if bottleneck else 12
    inputs = {(1, False): 16, (3, False): 304, (1, True): 24, (3, True): 60}[block, bottleneck]
    within = rf"^block{block}\..*conv{2 if bottleneck else 1}$"
    measured = [
        conv_gradient_norms("dense", 40, seed, within=within, padding_mode="circular", **options) for seed in range(3)
    ]
    profile = np.mean([norms / norms[-1] for norms in measured], axis=0)
    predicted = theory.dense_profile(layers, inputs, 12, bottleneck=bottleneck)
    assert len(profile) == layers
    assert np.allclose(profile, predicted, rtol=0.08)  # 12 channels a layer: a seed deviates by 8 %


def test_residual_growth_is_polynomial_where_plain_growth_is_exponential() -> None:
    shallow, deep = theory.residual_profile((9, 9, 9))[0], theory.residual_profile((18, 18, 18))[0]
    assert 1 < math.log2(deep / shallow) < 1.5  # twice the depth: a fixed factor
    assert theory.plain_profile(108, "batch")[0] == pytest.approx(theory.plain_profile(54, "batch")[0] ** 2)


@pytest.mark.parametrize(("size", "expected"), [(8, 0.840), (32, 0.959)])
def test_zero_padding_takes_a_share_at_the_border(size: int, expected: float) -> None:
    assert theory.zero_padding_share(size) == pytest.approx(expected, abs=5e-4)
    generator = draws(0)
    x, weight = normal(generator, 4, 64, size, size), normal(generator, 64, 64, 3, 3)
    padded = F.conv2d(x, weight, padding=1).square().mean()
    around = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), weight).square().mean()
    assert (padded / around).item() == pytest.approx(expected, rel=0.015)


def test_zero_padding_of_other_kernels() -> None:
    assert theory.zero_padding_share(7, kernel=1) == 1
    assert theory.zero_padding_share(1) == pytest.approx(1 / 9)
    assert theory.zero_padding_share(2, kernel=5) == pytest.approx((2 / 5) ** 2)
    with pytest.raises(LabError, match="odd kernel"):
        theory.zero_padding_share(8, kernel=2)


def test_vgg_head_passes_a_fifth() -> None:
    predicted = theory.linear_gain(4096, 0.01)  # two layers: the root of its square
    assert predicted == pytest.approx(0.2048)
    with torch.device("meta"):
        head = build("vgg16").get_submodule("head")
    assert [m.in_features for m in head if isinstance(m, nn.Linear)] == [25088, 4096, 4096]
    generator = draws(0)
    fc1 = normal(generator, 8, 4096).requires_grad_()  # its sign is all that the layers behind it see of it
    fc2 = torch.relu(fc1) @ normal(generator, 4096, 4096) * 0.01
    logits = torch.relu(fc2) @ normal(generator, 4096, 1000) * 0.01
    at_fc1, at_logits = torch.autograd.grad(F.cross_entropy(logits, torch.arange(8)), [fc1, logits])
    assert (at_fc1.norm() / at_logits.norm()).item() == pytest.approx(predicted, rel=0.04)  # 1000 random logits


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_preactivation_block_whose_last_norm_is_zero_passes_the_gradient_unchanged(shortcut: str) -> None:
    torch.manual_seed(0)
    net = build("residual", depth=14, width=8, preactivation=True, shortcut=shortcut, image_size=16)
    block = net.get_submodule("stage1.block2")
    nn.init.zeros_(block.get_submodule("branch.norm2").weight)
    x = torch.randn(4, 8, 16, 16, requires_grad=True)
    passed = torch.randn(4, 8, 16, 16)
    (gradient,) = torch.autograd.grad(block(x), x, passed)
    assert torch.equal(gradient, passed)
