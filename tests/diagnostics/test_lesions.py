"""Deleted and exchanged blocks, against nets that were built without them."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from labapp.config import LabError
from labapp.diagnostics.lesions import kendall_tau, lesions, permutations
from labapp.nets import Net, build


def loss_of(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return F.cross_entropy(model(images), labels).item()


def row(table, lesion: str, block: str):
    return table[(table["lesion"] == lesion) & (table["block"] == block)].iloc[0]


class Nothing(nn.Module):
    """A branch that adds nothing, with the shape of the real one."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(self.branch(x))


@pytest.mark.parametrize("options", [{}, {"preactivation": True}, {"shortcut": "B", "preactivation": True}])
def test_a_deleted_residual_block_is_its_shortcut(
    net: Callable[..., Net], options: dict, images: Tensor, labels: Tensor
) -> None:
    model = net(**options)
    table = lesions(model, images, labels, batch_size=4)
    assert row(table, "none", "")["loss"] == pytest.approx(loss_of(model, images, labels), rel=1e-6)
    assert (table["lesion"] == "delete").sum() == 9
    assert table["loss"].notna().all()
    for path in ("stage1.block2", "stage2.block1"):
        without = copy.deepcopy(model)
        block = without.get_submodule(path)
        block.branch = Nothing(block.branch)
        assert row(table, "delete", path)["loss"] == pytest.approx(loss_of(without, images, labels), rel=1e-6)
        assert row(table, "delete", path)["loss_change"] == pytest.approx(
            loss_of(without, images, labels) - loss_of(model, images, labels), abs=1e-6
        )


def test_torchvision_s_blocks_too(images: Tensor, labels: Tensor) -> None:
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=6).eval()
    big = images.repeat(1, 1, 4, 4)
    table = lesions(model, big, labels)
    assert (table["lesion"] == "delete").sum() == 8
    without = copy.deepcopy(model)
    nn.init.zeros_(without.layer2[0].bn2.weight)
    nn.init.zeros_(without.layer2[0].bn2.bias)
    assert row(table, "delete", "layer2.0")["loss"] == pytest.approx(loss_of(without, big, labels), rel=1e-5)
    assert all(module.inplace for module in model.modules() if isinstance(module, nn.ReLU))


def test_swapped_blocks_run_in_the_other_order(net: Callable[..., Net], images: Tensor, labels: Tensor) -> None:
    model = net()
    table = lesions(model, images, labels)
    swaps = table[table["lesion"] == "swap"]
    # inside a stage the blocks that keep the shape: 2 pairs in the first, 1 in the others
    assert swaps["block"].tolist() == ["stage1.block1", "stage1.block2", "stage2.block2", "stage3.block2"]
    exchanged = copy.deepcopy(model)
    stage = exchanged.get_submodule("stage1")
    stage.block1, stage.block2 = stage.block2, stage.block1
    assert row(table, "swap", "stage1.block1")["loss"] == pytest.approx(loss_of(exchanged, images, labels), rel=1e-6)


def test_plain_blocks_are_left_out_where_the_shape_allows(
    net: Callable[..., Net], images: Tensor, labels: Tensor
) -> None:
    model = net("plain")
    table = lesions(model, images, labels)
    shorter = copy.deepcopy(model)
    shorter.get_submodule("stage2").block3 = nn.Identity()
    assert row(table, "delete", "stage2.block3")["loss"] == pytest.approx(loss_of(shorter, images, labels), rel=1e-6)
    first = row(table, "delete", "stage2.block1")
    assert np.isnan(first["loss"])
    assert first["reason"] == "it makes 8×8×8 of 4×16×16, so it cannot be left out"


@pytest.mark.parametrize("source", ["lab", pytest.param("torchvision", marks=pytest.mark.long)])
def test_vgg_layers_go_with_norm_and_activation(source: str, images: Tensor, labels: Tensor) -> None:
    torch.manual_seed(0)
    if source == "lab":
        model: nn.Module = build("vgg", configuration="B", width=4, norm="batch", image_size=32)
        path, parts = "stage2.conv2", ("stage2.conv2", "stage2.norm2", "stage2.activation2")
        big = images.repeat(1, 1, 2, 2)
    else:
        model = torchvision.models.vgg11_bn(num_classes=6, dropout=0.5)
        path, parts = "features.11", ("features.11", "features.12", "features.13")
        big = images.repeat(1, 1, 2, 2)[:2]
    model.eval()
    table = lesions(model, big, labels[: len(big)])
    without = copy.deepcopy(model)
    for part in parts:
        parent, _, name = part.rpartition(".")
        setattr(without.get_submodule(parent), name, nn.Identity())
    deletes = table[table["lesion"] == "delete"]
    assert len(deletes) == 11
    expected = loss_of(without, big, labels[: len(big)])
    assert row(table, "delete", path)["loss"] == pytest.approx(expected, rel=1e-5)
    assert deletes["loss"].notna().any()
    assert (deletes["reason"] != "").any()


def test_a_dense_layer_gives_zeros(net: Callable[..., Net], images: Tensor, labels: Tensor) -> None:
    model = net("dense", depth=13, width=None, growth_rate=4)
    table = lesions(model, images, labels)
    assert (table["lesion"] == "delete").sum() == 9
    assert "swap" not in set(table["lesion"])
    without = copy.deepcopy(model)
    nn.init.zeros_(without.get_submodule("block2.layer2.conv1").weight)
    assert row(table, "delete", "block2.layer2")["loss"] == pytest.approx(loss_of(without, images, labels), rel=1e-6)


def test_permutations_say_how_far_the_order_has_gone(net: Callable[..., Net], images: Tensor, labels: Tensor) -> None:
    model = net()
    table = permutations(model, images, labels, swaps=(1, 8), repeats=2, seed=1)
    assert table["swaps"].tolist() == [0, 1, 1, 8, 8]
    assert table["kendall_tau"][0] == 1
    assert table["loss_change"][0] == 0
    assert (table["kendall_tau"][1:] < 1).all() or (table["loss_change"][1:] != 0).any()
    again = permutations(model, images, labels, swaps=(1, 8), repeats=2, seed=1)
    assert table.equals(again)


def test_kendall_tau_equals_scipy_s() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    order = np.random.default_rng(0).permutation(20)
    assert kendall_tau(order) == pytest.approx(scipy_stats.kendalltau(np.arange(20), order).statistic)
    in_order = [order[b] > order[a] for a in range(20) for b in range(a + 1, 20)]
    assert kendall_tau(order) == pytest.approx(2 * np.mean(in_order) - 1)
    assert all(kendall_tau(range(count)) == 1 for count in range(2, 60))
    assert kendall_tau(range(5, 0, -1)) == -1
    assert np.isnan(kendall_tau([0]))


def test_nothing_is_left_behind(net: Callable[..., Net], images: Tensor, labels: Tensor) -> None:
    model = net().train()
    model.get_submodule("stage1").eval()
    state, random = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    modes = [module.training for module in model.modules()]
    order = [name for name, _ in model.named_modules()]
    lesions(model, images, labels)
    permutations(model, images, labels, swaps=(2,), repeats=1)
    with pytest.raises(LabError):
        lesions(model, images, labels + 9)  # fails half-way
    assert torch.equal(torch.random.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes
    assert [name for name, _ in model.named_modules()] == order
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_nets_in_which_nothing_can_be_exchanged(net: Callable[..., Net], images: Tensor, labels: Tensor) -> None:
    with pytest.raises(LabError, match="no two blocks of this dense net"):
        permutations(net("dense", depth=13, width=None, growth_rate=4), images, labels)
    with pytest.raises(LabError, match="no chain of blocks"):
        lesions(torchvision.models.squeezenet1_0(num_classes=6), images.repeat(1, 1, 4, 4), labels)
    model = net()
    with torch.no_grad():
        model.get_submodule("stem.conv").weight[0] = float("nan")
    with pytest.raises(LabError, match="holds NaN"):
        lesions(model, images, labels)


def test_exchanges_that_can_only_lead_back_are_no_measurement():
    """VGG-11 on small images has one pair of layers of one shape: two exchanges of it are none."""
    torch.manual_seed(0)
    net = build("vgg", configuration="A", width=4, head="gap", image_size=32).eval()
    images, labels = torch.randn(6, 3, 32, 32), torch.arange(6)
    table = permutations(net, images, labels, swaps=(1, 2, 4), repeats=1).set_index("swaps")
    assert table.loc[[2, 4], ["loss", "accuracy", "loss_change"]].isna().all(axis=None)
    assert table.loc[1, "loss"] == table.loc[1, "loss"]
    assert table["reason"].ne("").tolist() == [False, False, True, True]
    assert "lead back to the trained order" in table.loc[2, "reason"]
    residual = build("residual", depth=20, width=4, image_size=16).eval()
    many = permutations(residual, torch.randn(6, 3, 16, 16), labels, swaps=(2, 4), repeats=20)
    assert (many["kendall_tau"].iloc[1:] < 1).all()
