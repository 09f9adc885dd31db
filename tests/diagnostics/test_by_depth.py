import math

import pytest
import torch
from torch import nn

from labapp.config import LabError
from labapp.diagnostics.by_depth import QUANTITIES, by_depth
from labapp.diagnostics.effective_rank import effective_rank
from labapp.diagnostics.linear_probe import linear_probe
from labapp.diagnostics.measuring.features import collect
from labapp.diagnostics.neural_collapse import neural_collapse
from labapp.nets import build


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return build("plain", depth=8, width=4, image_size=16)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(60, 3, 16, 16, generator=torch.Generator().manual_seed(1))


LABELS = torch.arange(60) % 3


def test_one_row_a_layer_and_quantity(net: nn.Module, images: torch.Tensor):
    shares: list[float] = []
    table = by_depth(net, images, LABELS, training=(images[:30], LABELS[:30]), progress=shares.append)
    assert list(table.layer.unique()) == ["stage1.block1", "stage2.block1", "stage3.block1"]
    assert list(table.quantity[:6]) == list(QUANTITIES)
    assert shares == [n / 18 for n in range(1, 19)]
    features = collect(net, images).by_layer["stage2.block1"]
    rows = table[table.layer == "stage2.block1"].set_index("quantity")
    assert rows.value["effective_rank"] == effective_rank(features).value
    assert tuple(rows.loc["linear_probe", ["value", "low", "high"]]) == tuple(linear_probe(features, LABELS))[:3]
    assert set(rows.features) == {8}
    assert rows.images.to_dict() == dict.fromkeys(QUANTITIES, 60) | {"nc1": 30}
    assert table.value.notna().all()


def test_collapse_is_that_of_training_images_and_of_others_under_its_own_name(net: nn.Module, images: torch.Tensor):
    """Images that the net cannot have learnt, beside ones that are a single point for each class."""
    collapsed = images[:3][LABELS] + 1e-3 * images
    table = by_depth(net, images, LABELS, training=(collapsed, LABELS)).set_index(["layer", "quantity"])
    for layer in table.index.levels[0]:
        features = collect(net, collapsed).by_layer[layer]
        assert table.value[layer, "nc1"] == neural_collapse(features, LABELS)["nc1"].value
        assert (
            table.value[layer, "nc1_test"] == neural_collapse(collect(net, images).by_layer[layer], LABELS)["nc1"].value
        )
        assert table.value[layer, "nc1"] < 1e-2 * table.value[layer, "nc1_test"]
    without = by_depth(net, images, LABELS, quantities=["nc1", "nc1_test"]).set_index(["layer", "quantity"])
    assert without.value[:, "nc1"].isna().all()
    assert set(without.note[:, "nc1"]) == {"needs images that the net was trained on"}
    assert without.value[:, "nc1_test"].notna().all()


def test_nothing_missing_is_left_out(images: torch.Tensor):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    model.idle = nn.Conv2d(3, 3, 3)
    model.forward = lambda x: model[1](model[0](x))
    table = by_depth(model, images, layers="conv", quantities=["effective_rank", "linear_probe"])
    reasons = table.set_index(["layer", "quantity"]).note
    assert reasons["0", "effective_rank"] == ""
    assert reasons["0", "linear_probe"] == "needs labels"
    assert "silent" in reasons["1", "effective_rank"]
    assert reasons["idle", "effective_rank"] == "the layer never ran in a forward pass"
    assert table.value.notna().sum() == 1


def test_a_net_with_broken_weights_has_no_number(net: nn.Module, images: torch.Tensor):
    broken = build("plain", depth=8, width=4, image_size=16)
    nn.init.constant_(broken.stage2.block1.branch.conv1.weight, math.nan)
    table = by_depth(broken, images, LABELS).set_index(["layer", "quantity"])
    assert table.value["stage1.block1"].drop("nc1").notna().all()
    assert table.value["stage3.block1"].isna().all()
    assert table.note["stage3.block1", "nc1_test"] == "60 of 60 images have features that are not finite"


def test_unknown_quantities_get_the_nearest_word(net: nn.Module, images: torch.Tensor):
    with pytest.raises(LabError, match="did you mean 'linear_probe'"):
        by_depth(net, images, quantities=["linear_prob"])
