"""Places agree with what really happens in a forward pass: the order, the resolutions, the blocks."""

import copy
import pickle

import pytest
import torch
from torch import nn

from labapp.nets import Net, build

SMALL = {  # a small net of every kind
    "plain": {"family": "plain", "depth": 8},
    "plain, before": {"family": "plain", "depth": 8, "preactivation": True},
    "plain, bottleneck": {"family": "plain", "depth": 11, "block": "bottleneck"},
    "residual A": {"family": "residual", "depth": 14},
    "residual B": {"family": "residual", "depth": 8, "shortcut": "B"},
    "residual C": {"family": "residual", "depth": 14, "shortcut": "C"},
    "residual A, before": {"family": "residual", "depth": 14, "preactivation": True},
    "residual B, before": {"family": "residual", "depth": 14, "shortcut": "B", "preactivation": True},
    "residual C, before": {"family": "residual", "depth": 8, "shortcut": "C", "preactivation": True},
    "bottleneck A": {"family": "residual", "depth": 11, "block": "bottleneck", "shortcut": "A"},
    "bottleneck B, before": {"family": "residual", "depth": 20, "block": "bottleneck", "preactivation": True},
    "resnet18": {"family": "resnet18", "width": 8},
    "resnet50": {"family": "resnet50", "width": 8},
    "resnet50, before": {"family": "resnet50", "width": 8, "preactivation": True, "shortcut": "A"},
    "plain18": {"family": "plain18", "width": 8},
    "dense": {"family": "dense", "depth": 13, "growth_rate": 4},
    "dense BC": {"family": "dense", "depth": 16, "growth_rate": 4, "bottleneck": True, "compression": 0.5},
    "dense, dropout": {"family": "dense", "depth": 10, "growth_rate": 4, "dropout": 0.2},
    "densenet121": {"family": "densenet121", "width": 8, "growth_rate": 4},
    "vgg A": {"family": "vgg", "configuration": "A", "width": 4},
    "vgg C, fc": {"family": "vgg", "configuration": "C", "width": 4, "head": "fc"},
    "vgg16c": {"family": "vgg16c", "width": 4},
    "vgg11_bn, gap": {"family": "vgg11_bn", "width": 4, "head": "gap"},
}
DEPTHS = [
    ({"family": "plain", "depth": 56}, 56),
    ({"family": "residual", "depth": 20}, 20),
    ({"family": "residual", "depth": 20, "shortcut": "C"}, 20),
    ({"family": "residual", "depth": 164, "block": "bottleneck", "preactivation": True}, 164),
    ({"family": "dense", "depth": 40}, 40),
    ({"family": "dense", "depth": 100, "bottleneck": True, "compression": 0.5}, 100),
    *[({"family": f"resnet{depth}"}, depth) for depth in (18, 34, 50, 101, 152)],
    *[({"family": f"densenet{depth}"}, depth) for depth in (121, 161, 169, 201)],
    ({"family": "densenet264"}, 265),  # its published name is one short: 1 + 2 · (6 + 12 + 64 + 48) + 3 + 1
    *[({"family": f"vgg{depth}"}, depth) for depth in (11, 13, 16, 19)],
    ({"family": "vgg16c_bn"}, 16),
    ({"family": "vgg", "depth": 16, "head": "fc"}, 16),
    ({"family": "vgg", "depth": 16, "head": "gap"}, 14),  # one linear layer where the paper has three
]


@pytest.fixture(params=SMALL.values(), ids=SMALL.keys(), scope="module")
def net(request: pytest.FixtureRequest) -> Net:
    torch.manual_seed(0)
    return build(**request.param, num_classes=5, image_size=32)


def outputs_in_order(net: nn.Module, x: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """Each module that ran, when it was done, with its output."""
    ran: list[tuple[str, torch.Tensor]] = []
    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, path=path: ran.append((path, output)))
        for path, module in net.named_modules()
    ]
    try:
        with torch.no_grad():
            net(x)
    finally:
        for handle in handles:
            handle.remove()
    return ran


def test_order_of_places_is_the_order_of_execution(net: Net) -> None:
    paths = [place.path for place in net.places]
    ran = [path for path, _ in outputs_in_order(net, torch.randn(2, 3, 32, 32)) if path in set(paths)]
    assert ran == paths  # each of them once, too


def test_every_layer_norm_and_activation_is_a_place(net: Net) -> None:
    kinds = {
        "conv": nn.Conv2d,
        "linear": nn.Linear,
        "norm": nn.BatchNorm2d,
        "activation": nn.ReLU,
        "pool": (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
    }
    for kind, types in kinds.items():
        expected = {path for path, module in net.named_modules() if isinstance(module, types)}
        assert {place.path for place in net.places if place.kind == kind} == expected


def test_nothing_works_in_place(net: Net) -> None:
    assert not any(getattr(module, "inplace", False) for module in net.modules())


def test_stages_are_the_resolutions(net: Net) -> None:
    outputs = dict(outputs_in_order(net, torch.randn(2, 3, 32, 32)))
    size_of_stage: dict[int, int] = {}
    for place in net.places:
        if place.path.startswith("head") and place.kind in ("pool", "linear", "activation"):
            continue  # the global average and what follows have no resolution of their own
        size = outputs[place.path].shape[-1]
        assert size_of_stage.setdefault(place.stage, size) == size, place
    stages = sorted(size_of_stage)
    assert stages == list(range(1, len(stages) + 1))
    assert all(size_of_stage[stage] > size_of_stage[stage + 1] for stage in stages[:-1])


def test_depth_rises_one_by_one(net: Net) -> None:
    layers = [p.depth for p in net.places if p.kind in ("conv", "linear") and ".shortcut." not in p.path]
    assert layers == list(range(1, len(layers) + 1))
    depths = {place.path: place.depth for place in net.places}
    for place in net.places:
        if ".shortcut." in place.path:  # as deep as the branch beside it ends
            convolutions = [path for path in depths if path.startswith(f"{place.block}.branch.conv")]
            assert place.depth == depths[convolutions[-1]]
        if place.kind == "block":
            inside = [other.depth for other in net.places if other.path.startswith(f"{place.path}.")]
            assert place.depth == max(inside)


@pytest.mark.parametrize(("options", "depth"), DEPTHS, ids=lambda value: str(value))
def test_last_depth_is_the_depth_of_the_paper(options: dict, depth: int) -> None:
    with torch.device("meta"):
        assert build(**options).places[-1].depth == depth


def test_norms_and_activations_take_the_depth_of_their_layer() -> None:
    def depths(options: dict) -> dict[str, int]:
        return {place.path: place.depth for place in build(**options).places}

    after = depths({"family": "residual", "depth": 8, "shortcut": "B"})
    assert after["stem.norm"] == after["stem.activation"] == after["stem.conv"] == 1
    assert after["stage2.block1.branch.norm1"] == after["stage2.block1.branch.conv1"] == 4
    assert after["stage2.block1.activation"] == after["stage2.block1"] == 5
    assert after["stage2.block1.shortcut.norm"] == after["stage2.block1.shortcut.conv"] == 5
    assert after["head.pool"] == 7
    before = depths({"family": "residual", "depth": 8, "shortcut": "B", "preactivation": True})
    assert before["stem.activation"] == 1
    assert before["stage2.block1.preactivation.norm"] == before["stage2.block1.branch.conv1"] == 4
    assert before["stage2.block1.branch.activation2"] == before["stage2.block1.branch.conv2"] == 5
    assert before["head.norm"] == before["head.classifier"] == 8
    dense = depths({"family": "dense", "depth": 10})
    assert dense["block1.layer1.norm1"] == dense["block1.layer1.conv1"] == 2
    assert dense["transition1.activation"] == dense["transition1.conv"] == dense["transition1.pool"] == 4


def test_blocks_are_named() -> None:
    places = {place.path: place for place in build("residual", depth=8, shortcut="B").places}
    assert places["stem.conv"].block == places["head.classifier"].block == ""
    for path in ("branch.conv2", "shortcut.conv", "activation"):
        assert places[f"stage3.block1.{path}"].block == "stage3.block1"
    assert places["stage3.block1"] == ("stage3.block1", "block", 7, 3, "stage3.block1")
    dense = {place.path: place.block for place in build("dense", depth=10).places}
    assert dense["block2.layer2.conv1"] == "block2"
    assert dense["transition2.conv"] == ""


def test_stage_counts() -> None:
    def convolutions(family: str, **options: object) -> list[int]:
        with torch.device("meta"):
            stages = [p.stage for p in build(family, **options).places if p.kind == "conv" and "shortcut" not in p.path]
        return [stages.count(stage) for stage in range(1, max(stages) + 1)]

    assert convolutions("residual", depth=20) == [7, 6, 6]
    assert convolutions("resnet34") == [1, 6, 8, 12, 6]
    assert convolutions("resnet50") == [1, 10, 12, 18, 8]  # a stage's first 1×1 still sees the size before
    assert convolutions("densenet121") == [1, 13, 25, 49, 32]
    assert convolutions("vgg16") == [2, 2, 3, 3, 3]


def test_copies_and_pickles(net: Net) -> None:
    x = torch.randn(2, 3, 32, 32)
    net.eval()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.places == net.places
        assert list(other.state_dict()) == list(net.state_dict())
        assert torch.equal(other(x), net(x))
    net.train()


def test_every_parameter_gets_a_gradient(net: Net) -> None:
    net.zero_grad()
    net(torch.randn(2, 3, 32, 32)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
