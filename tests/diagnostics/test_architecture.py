from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from labapp.config import LabError
from labapp.diagnostics.architecture import architecture, share_of_linear_layers
from labapp.nets import build
from labapp.recording import Recorder


def on_paper(*args: object, **options: object) -> nn.Module:
    with torch.device("meta"):
        return build(*args, **options)


@pytest.mark.parametrize(
    ("options", "size", "billions"),
    [
        ({"family": "vgg16"}, 224, 15.470),
        ({"family": "resnet18"}, 224, 1.814),
        ({"family": "resnet50"}, 224, 4.089),
        ({"family": "densenet121"}, 224, 2.834),
        ({"family": "residual", "depth": 20}, 32, 0.04055),
        ({"family": "residual", "depth": 56}, 32, 0.12549),
        ({"family": "residual", "depth": 110}, 32, 0.25289),
    ],
)
def test_published_multiply_adds_and_all_parameters(options: dict, size: int, billions: float):
    net = on_paper(**options)
    table = architecture(net, size)
    layers = table[table.kind != "block"]
    digits = len(str(billions).partition(".")[2])
    assert round(layers.multiply_adds.sum() / 1e9, max(digits, 3)) == billions
    assert layers.parameters.sum() == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("name", "share"), [("vgg11", 93.06), ("vgg13", 92.93), ("vgg16", 89.36), ("vgg19", 86.06)])
def test_share_of_the_vggs_linear_layers(name: str, share: float):
    net = on_paper(name)
    table = architecture(net, 224)
    assert table.parameters[table.kind == "linear"].sum() == 123_642_856
    assert round(100 * share_of_linear_layers(net), 2) == share


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v2", "resnext50_32x4d"])
def test_multiply_adds_are_half_the_operations_that_torch_counts(name: str):
    with torch.device("meta"):
        net = models.get_model(name).eval()
        image = torch.ones(1, 3, 64, 64)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(image)
    table = architecture(net, 64)
    assert 2 * table.multiply_adds[table.kind != "block"].sum() == counter.get_total_flops()


def test_a_transposed_convolution_is_counted_by_its_input():
    net = nn.Sequential(nn.ConvTranspose2d(3, 5, 4, stride=2))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(torch.ones(1, 3, 8, 8))
    assert 2 * architecture(net, 8).multiply_adds.sum() == counter.get_total_flops()


def test_rows_stand_in_order_with_shapes_and_places():
    net = build("residual", depth=8, width=4)
    table = architecture(net, 32).set_index("layer")
    assert list(table.index) == [place.path for place in net.places]
    assert table.depth.tolist() == [place.depth for place in net.places]
    assert table["shape"]["stage2.block1"] == (8, 16, 16)
    assert table["shape"]["head.classifier"] == (10,)
    assert table.receptive_field["stem.conv"] == 3
    assert table.jump["stage3.block1"] == 4
    block = net.stage2.block1
    assert table.parameters["stage2.block1"] == sum(p.numel() for p in block.parameters())
    inside = table.index.str.startswith("stage2.block1.")
    assert table.multiply_adds["stage2.block1"] == table.multiply_adds[inside].sum() > 0


def test_parameters_outside_all_layers_have_rows_of_their_own():
    with torch.device("meta"):
        net = models.vit_b_16()
    table = architecture(net, 224)
    layers = table[table.kind != "block"]
    assert layers.parameters.sum() == sum(p.numel() for p in net.parameters())
    assert {"", "encoder"} <= set(table.layer[table.kind == "other"])  # class token and position embedding


def test_a_layer_used_twice_is_counted_once_and_computed_twice():
    shared = nn.Conv2d(3, 3, 3, padding=1)
    table = architecture(nn.Sequential(shared, nn.ReLU(), shared), 8)
    rows = table[table.kind == "conv"]
    assert rows.layer.tolist() == ["0", "0#2"]
    assert rows.parameters.tolist() == [84, 0]
    assert rows.multiply_adds.tolist() == [5184, 5184]
    assert rows.receptive_field.tolist() == [3, 5]


def test_the_net_is_as_it_was():
    net = build("residual", depth=8, width=4)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    noise = torch.get_rng_state()
    architecture(net, 16)
    assert net.training
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), noise)
    assert not any(module._forward_hooks for module in net.modules())


def test_users_mistakes_are_one_sentence():
    with pytest.raises(LabError, match="does not take an image of 3×16×16"):
        architecture(build("vgg", depth=11, width=2, head="fc"), 16)
    with pytest.raises(LabError, match="no parameters"):
        share_of_linear_layers(nn.ReLU())


NETS_FROM_ELSEWHERE = {
    "resnet18": models.resnet18,
    "squeezenet": models.squeezenet1_1,
    "transformer": partial(
        models.VisionTransformer, image_size=64, patch_size=16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    ),
}


@pytest.mark.filterwarnings("ignore:2 layers gave no output")  # an attention uses its weights without calling the layer
@pytest.mark.parametrize("name", NETS_FROM_ELSEWHERE)
def test_depth_and_stage_are_those_of_the_recorder(name: str):
    net = NETS_FROM_ELSEWHERE[name](num_classes=3)
    with Recorder(net) as recorder, recorder.step():
        net(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))).sum().backward()
    recorded = recorder.table().set_index("layer")
    found = architecture(net, 64).set_index("layer").query("kind != 'other'")  # the rest has no place in the order
    recorded = recorded.loc[recorded.index.intersection(found.index)]
    found = found.loc[recorded.index]
    assert len(recorded) > 6
    for column in ("depth", "stage"):
        assert found[column].tolist() == recorded[column].tolist()
