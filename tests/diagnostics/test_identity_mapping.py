"""Equations (4) and (5) of He 2016, to rounding, and their parts against autograd."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labapp.config import LabError
from labapp.diagnostics.identity_mapping import block_singular_values, gradient_split
from labapp.diagnostics.measuring.batch_statistics import calibrated
from labapp.nets import Net, build


@pytest.fixture
def images() -> Tensor:
    return torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels() -> Tensor:
    return torch.tensor([0, 1, 2, 3, 4])


def net(**options: object) -> Net:
    torch.manual_seed(0)
    options = {"family": "residual", "depth": 20, "width": 4, "preactivation": True, **options}
    return build(**options, image_size=16).eval()


@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_equations_hold_to_rounding(shortcut: str, dtype: torch.dtype, images: Tensor, labels: Tensor) -> None:
    model = net(shortcut=shortcut).to(dtype)
    table = gradient_split(model, images.to(dtype), labels)
    rounding = 100 * torch.finfo(dtype).eps
    assert table["forward_error"].max() < rounding
    assert table["backward_error"].max() < rounding
    # the first block of a new stage changes the shape: three blocks, then two and two
    firsts = table[table["example"] == 0]
    assert firsts["stage"].tolist() == [1, 1, 1, 2, 2, 3, 3]
    assert firsts["blocks_to_end"].tolist() == [3, 2, 1, 2, 1, 2, 1]
    assert len(table) == 7 * 5


def test_shares_are_those_of_the_gradients_of_one_example(images: Tensor, labels: Tensor) -> None:
    model = net().double()
    table = gradient_split(model, images.double(), labels)
    one = images[2:3].double()
    start = model.get_submodule("stage1.block1")(model.get_submodule("stem")(one)).detach().requires_grad_()
    end = model.get_submodule("stage1.block3")(model.get_submodule("stage1.block2")(start))
    scores = end
    for name in ("stage2", "stage3", "head"):
        scores = model.get_submodule(name)(scores)
    loss = F.cross_entropy(scores, labels[2:3])
    whole, shortcut = torch.autograd.grad(loss, [start, end])
    row = table[(table["block"] == "stage1.block2") & (table["example"] == 2)].iloc[0]
    branch = whole - shortcut
    assert row["shortcut_share"] == pytest.approx(((whole * shortcut).sum() / whole.square().sum()).item())
    assert row["shortcut_norm"] == pytest.approx((shortcut.norm() / whole.norm()).item())
    assert row["branch_norm"] == pytest.approx((branch.norm() / whole.norm()).item())
    cosine = F.cosine_similarity(shortcut.flatten(), branch.flatten(), dim=0).item()
    assert row["cosine"] == pytest.approx(cosine)
    # the law of cosines joins them
    square = row["shortcut_norm"] ** 2 + row["branch_norm"] ** 2
    assert square + 2 * row["shortcut_norm"] * row["branch_norm"] * row["cosine"] == pytest.approx(1)


def test_without_branches_everything_comes_along_the_shortcut(images: Tensor, labels: Tensor) -> None:
    model = net()
    for block in model.residual_blocks():
        nn.init.zeros_(block.branch.conv2.weight)
    table = gradient_split(model, images, labels)
    assert np.allclose(table["shortcut_share"], 1)
    assert np.allclose(table["branch_norm"], 0)
    assert table["cosine"].isna().all()
    values = block_singular_values(model, images[:1])
    assert np.allclose(values[["largest", "smallest"]], 1, rtol=1e-5)


def test_examples_without_a_gradient_are_nan(images: Tensor, labels: Tensor) -> None:
    model = net()
    with torch.no_grad():
        model.get_submodule("head.classifier").weight.zero_()
    table = gradient_split(model, images, labels)
    assert table["shortcut_share"].isna().all()
    assert set(table["reason"]) == {"no gradient of this example reaches the block's input"}
    assert table["forward_error"].notna().all()
    assert set(gradient_split(net(), images, labels)["reason"]) == {""}


@pytest.mark.parametrize("span", ["block", "stage"])
def test_singular_values_are_those_of_the_whole_jacobian(span: str, images: Tensor) -> None:
    model = net(depth=14, width=2).double()
    small = images[:1, :, :8, :8].double()
    table = block_singular_values(model, small, span=span, steps=128)
    assert table["block"].tolist() == ["stage1.block1", "stage1.block2", "stage2.block2", "stage3.block2"]
    assert table["blocks"].tolist() == ([1, 1, 1, 1] if span == "block" else [2, 1, 1, 1])
    stage = model.get_submodule("stage1")
    part = stage.block1 if span == "block" else stage
    with torch.no_grad():
        x = model.get_submodule("stem")(small)
    jacobian = torch.autograd.functional.jacobian(part, x).reshape(x.numel(), x.numel())
    values = torch.linalg.svdvals(jacobian)
    assert table["largest"][0] == pytest.approx(values[0].item(), rel=1e-8)
    assert table["smallest"][0] == pytest.approx(values[-1].item(), rel=1e-5)


@pytest.mark.long
def test_a_rectifier_after_the_addition_loses_directions(images: Tensor) -> None:
    """The original form: where the sum is negative nothing passes, so the smallest singular value is 0."""
    original = block_singular_values(net(preactivation=False, depth=14, width=2), images[:1, :, :8, :8], steps=128)
    identity = block_singular_values(net(depth=14, width=2), images[:1, :, :8, :8], steps=128)
    assert original["smallest"].max() < 1e-4
    assert identity["smallest"].min() > 1e-3
    plain = block_singular_values(net(family="plain", preactivation=False, depth=8, width=2), images[:1], steps=8)
    assert len(plain) == 1


def test_nothing_is_left_behind(images: Tensor, labels: Tensor) -> None:
    model = net().train()
    model.get_submodule("stage1").eval()
    state, random = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    modes = [module.training for module in model.modules()]
    with torch.no_grad():
        gradient_split(model, images, labels)
        block_singular_values(model, images[:1], steps=2)
    with pytest.raises(LabError, match="the net has 10 classes"):
        gradient_split(model, images, labels + 9)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"preactivation": False}, "build it with preactivation=True, or take path_gradients"),
        ({"family": "plain"}, "a plain net has no shortcut to take apart"),
        ({"shortcut": "C"}, "a projection on every shortcut"),
        (
            {"family": "dense", "depth": 13, "width": None, "growth_rate": 4, "preactivation": None},
            "a dense net has no shortcut",
        ),
    ],
)
def test_other_nets_are_told_what_applies(options: dict, sentence: str, images: Tensor, labels: Tensor) -> None:
    with pytest.raises(LabError, match=sentence):
        gradient_split(net(**options), images, labels)


def test_wrong_words_and_nets_without_square_blocks(images: Tensor) -> None:
    with pytest.raises(LabError, match="did you mean 'block'"):
        block_singular_values(net(), images, span="blok")
    with pytest.raises(LabError, match="no blocks with a square Jacobian"):
        block_singular_values(build("dense", depth=13, growth_rate=4, image_size=16), images)
    assert math.isfinite(block_singular_values(net(), images[:1], steps=2)["largest"].max())


def test_an_example_is_its_own_also_where_norms_keep_no_statistics(images: Tensor, labels: Tensor) -> None:
    """Against `torch.func`, with each norm's statistics those of the batch, written into it as constants."""
    model = net().double()
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            parent, _, name = path.rpartition(".")
            own = nn.BatchNorm2d(module.num_features, track_running_stats=False).double().eval()
            setattr(model.get_submodule(parent), name, own)
    table = gradient_split(model, images.double(), labels).set_index(["block", "example"])
    seen: dict[nn.Module, Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(lambda m, args: seen.update({m: args[0].detach()}))
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    with torch.no_grad():
        model(images.double())
    for hook in hooks:
        hook.remove()
    for norm, values in seen.items():
        norm.running_mean, norm.running_var = values.mean((0, 2, 3)), values.var((0, 2, 3), correction=0)

    def loss(at_start: Tensor, at_end: Tensor, image: Tensor, label: Tensor) -> Tensor:
        x = model.get_submodule("stage1.block1")(model.get_submodule("stem")(image[None])) + at_start
        x = model.get_submodule("stage1.block3")(model.get_submodule("stage1.block2")(x)) + at_end
        for name in ("stage2", "stage3", "head"):
            x = model.get_submodule(name)(x)
        return F.cross_entropy(x, label[None])

    nothing = torch.zeros(1, 4, 16, 16, dtype=torch.float64)
    each = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1)), in_dims=(None, None, 0, 0))
    starts, ends = (gradients.detach() for gradients in each(nothing, nothing, images.double(), labels))
    for example, (whole, end) in enumerate(zip(starts, ends, strict=True)):
        share = float((whole * end).sum() / whole.square().sum())
        assert table.loc[("stage1.block2", example), "shortcut_share"] == pytest.approx(share, rel=1e-9)


def test_singular_values_are_those_of_torch_func_s_jacobian(images: Tensor) -> None:
    """Of one example, with the statistics of the batch held fixed."""
    model = net(depth=8, preactivation=False).double()
    x = images[:2, :, :4, :4].double()
    with calibrated(model, images.double()):
        table = block_singular_values(model, x, steps=64).set_index(["block", "example"])
        stem, block = model.get_submodule("stem"), model.get_submodule("stage1.block1")
        inputs = stem(x).detach()
        jacobians = torch.func.vmap(torch.func.jacrev(lambda h: block(h[None])[0]))(inputs).reshape(2, 64, 64)
    for example, values in enumerate(torch.linalg.svdvals(jacobians)):
        row = table.loc[("stage1.block1", example)]
        assert row["largest"] == pytest.approx(values[0].item(), rel=1e-9)
        assert row["smallest"] == pytest.approx(values[-1].item(), abs=1e-6 * values[0].item())
