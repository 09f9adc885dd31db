"""What a target loses without a source, against nets put together by hand and sources that add nothing."""

import copy

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from labapp.config import LabError
from labapp.diagnostics.block_ablation import block_ablation
from labapp.diagnostics.feature_reuse import feature_reuse
from labapp.nets import Net, build


def net(family: str = "residual", **options: object) -> Net:
    torch.manual_seed(0)
    return build(family, image_size=16, **{"depth": 14, "width": 4, **options}).eval()


def cell(table, source: int, target: int, block: int = 1) -> float:
    found = table[(table["block"] == block) & (table["source"] == source) & (table["target"] == target)]["value"]
    return found.item()


@pytest.mark.parametrize("preactivation", [False, True])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_residual_cells_against_a_net_put_together_by_hand(
    preactivation: bool, shortcut: str, images: Tensor, labels: Tensor
) -> None:
    model = net(preactivation=preactivation, shortcut=shortcut)
    table = block_ablation(model, images, labels, batch_size=4)
    assert sorted(set(table["target"])) == list(range(1, 8))  # six blocks and the classifier
    assert len(table) == 7 * 8 / 2
    blocks = model.residual_blocks()

    def without(source: int, target: int) -> float:
        """The net with two streams: one as it is, one that lacks the branch of the source."""
        with torch.no_grad():
            true = lacking = model.get_submodule("stem")(images)
            if source == 0:
                lacking = torch.zeros_like(true)
            for number, block in enumerate(blocks, start=1):
                shared, seen = block.preactivation(true), block.preactivation(lacking)
                branch = block.branch(shared)
                if number == target:  # reads the lacking stream, adds to the true one
                    true = block.activation(block.branch(seen) + block.shortcut(shared))
                    lacking = true
                    continue
                own = torch.zeros_like(branch) if number == source else branch
                lacking = block.activation(own + block.shortcut(seen))
                true = block.activation(branch + block.shortcut(shared))
            scores = model.get_submodule("head")(lacking)
            return (F.cross_entropy(scores, labels) - F.cross_entropy(model(images), labels)).item()

    for source, target in ((0, 1), (0, 4), (1, 2), (1, 3), (2, 6), (3, 7), (0, 7), (6, 7)):
        assert cell(table, source, target) == pytest.approx(without(source, target), abs=2e-6)


def test_a_branch_that_adds_nothing_is_not_missed(images: Tensor, labels: Tensor) -> None:
    model = net()
    nn.init.zeros_(model.get_submodule("stage1.block2.branch.norm2").weight)
    table = block_ablation(model, images, labels)
    assert (table[table["source"] == 2]["value"].abs() < 1e-7).all()
    assert (table[table["source"] == 1]["value"].abs() > 1e-5).any()


def test_torchvision_and_the_lab_agree(images: Tensor, labels: Tensor) -> None:
    from labapp.nets.foreign import load_torchvision

    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=6)
    lab = load_torchvision(build("resnet18", num_classes=6), theirs.state_dict())
    small = images.repeat(1, 1, 2, 2)[:2]
    one, other = (block_ablation(model, small, labels[:2]) for model in (lab, theirs))
    assert np.allclose(one["value"], other["value"], atol=1e-5)
    assert one.drop(columns="value").equals(other.drop(columns="value"))


def test_dense_cells_are_zeroed_maps(images: Tensor, labels: Tensor) -> None:
    model = net("dense", depth=13, width=None, growth_rate=4)
    table = feature_reuse(model, "ablation", images, labels, batch_size=4)
    # the same rows as every other weighting
    keys = ["block", "source", "target", "kind"]
    assert table[keys].equals(feature_reuse(model)[keys])
    base = F.cross_entropy(model(images), labels).item()
    # cut the connection instead: zero maps are what the norm makes of zeros, so subtract them at the input of the norm
    layer = model.get_submodule("block2.layer3")
    sizes = [model.get_submodule("block2.layer1.conv1").in_channels, 4, 4]
    for source in range(3):
        start = sum(sizes[:source])
        mask = torch.ones(sum(sizes))
        mask[start : start + sizes[source]] = 0
        cut = copy.deepcopy(model)
        cut.get_submodule("block2.layer3").concat = nn.Sequential(layer.concat, Times(mask))
        with torch.no_grad():
            expected = F.cross_entropy(cut(images), labels).item() - base
        assert cell(table, source, 3, block=2) == pytest.approx(expected, abs=2e-6)


class Times(nn.Module):
    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask[:, None, None]


def test_a_source_without_weight_is_not_missed(images: Tensor, labels: Tensor) -> None:
    model = net("dense", depth=13, width=None, growth_rate=4)
    with torch.no_grad():
        model.get_submodule("block1.layer3.conv1").weight[:, 16:20] = 0  # the first layer's channels
    table = block_ablation(model, images, labels)
    assert cell(table, 1, 3) == pytest.approx(0, abs=1e-7)
    assert abs(cell(table, 2, 3)) > 1e-6


@pytest.mark.parametrize(("family", "targets"), [("plain", 5), ("vgg", 8)])
def test_plain_nets_lose_everything_at_every_target(family: str, targets: int, images: Tensor, labels: Tensor) -> None:
    options = {"depth": None, "configuration": "A", "head": "gap", "norm": "batch"} if family == "vgg" else {}
    model = net(family, **options)
    table = block_ablation(model, images, labels)
    assert len(table) == targets
    assert (table["source"] == table["target"] - 1).all()
    # whichever source is cut, no image can be told from another: the scores are the same for all
    last = table.iloc[-1]["value"]
    assert np.isfinite(last)


def test_progress_is_told(images: Tensor, labels: Tensor) -> None:
    told: list[float] = []
    block_ablation(net(depth=8), images, labels, batch_size=4, progress=told.append)
    assert told == [pytest.approx(4 / 6), 1.0]


def test_labels_the_net_does_not_know(images: Tensor, labels: Tensor) -> None:
    with pytest.raises(LabError, match="the net has 10 classes"):
        block_ablation(net(depth=8), images, labels + 5)
