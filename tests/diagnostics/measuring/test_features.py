import pytest
import torch
from torch import nn
from torchvision import models

from labapp.config import LabError
from labapp.diagnostics.measuring.features import batches, collect, last_features, pooled
from labapp.diagnostics.measuring.outputs import OutputReader, representations
from labapp.nets import build


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return build("residual", depth=14, width=4, image_size=16)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(10, 3, 16, 16, generator=torch.Generator().manual_seed(1))


class Twice(nn.Module):
    """Calls one activation twice, overwrites in place, and never calls `idle`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 5, 3)
        self.relu = nn.ReLU(inplace=True)
        self.idle = nn.Linear(5, 5)
        self.classifier = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.second(self.relu(self.first(x))))
        return self.classifier(x.mean((2, 3)))


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


def test_features_are_those_of_a_forward_pass_by_hand(net: nn.Module, images: torch.Tensor):
    found = collect(net, images, batch_size=4)
    net.eval()
    with torch.no_grad():
        x = net.stem(images)
        by_hand = {}
        for stage in ("stage1", "stage2", "stage3"):
            for name, block in net.get_submodule(stage).named_children():
                x = block(x)
                by_hand[f"{stage}.{name}"] = x.mean((2, 3))
        outputs = net(images)
    net.train()
    assert [place.layer for place in found.positions] == list(by_hand)
    for name, expected in by_hand.items():
        torch.testing.assert_close(found.by_layer[name], expected)
    torch.testing.assert_close(found.outputs, outputs)
    assert found.positions[-1].depth == 13
    assert found.positions[-1].relative_depth == 12 / 13
    assert [place.stage for place in found.positions] == [1, 1, 2, 2, 3, 3]


def test_unpooled_features_keep_every_value(net: nn.Module, images: torch.Tensor):
    flat = collect(net, images, layers="stage3.block2", pool=False).by_layer["stage3.block2"]
    assert flat.shape == (10, 16 * 4 * 4)
    means = collect(net, images, layers="stage3.block2").by_layer["stage3.block2"]
    torch.testing.assert_close(flat.view(10, 16, 16).mean(2), means)


def test_nothing_is_left_behind_also_after_an_exception(net: nn.Module, images: torch.Tensor):
    net.train()
    net.stage2.eval()
    modes = [module.training for module in net.modules()]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    noise = torch.get_rng_state()
    collect(net, images)
    last_features(net, images)
    with pytest.raises(RuntimeError, match="channels"):
        collect(net, torch.zeros(4, 5, 16, 16))
    assert hooks_of(net) == 0
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), noise)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert torch.is_grad_enabled()
    net.train()


def test_a_module_that_runs_twice_has_two_names_and_one_that_never_runs_is_silent():
    torch.manual_seed(0)
    model, x = Twice(), torch.randn(6, 3, 8, 8)
    found = collect(model, x, layers=["relu", "first", "idle"], pool=False)
    assert [place.layer for place in found.positions] == ["first", "relu", "relu#2"]
    assert [place.depth for place in found.positions] == [1, 1, 2]
    assert [place.layer for place in found.silent] == ["idle"]
    before = model.first(x).flatten(1).detach()  # the values before relu wrote over them
    torch.testing.assert_close(found.by_layer["first"], before)
    torch.testing.assert_close(found.by_layer["relu"], before.relu())


def test_what_enters_the_last_linear_layer_makes_the_outputs(images: torch.Tensor):
    torch.manual_seed(0)
    for model in (build("vgg", depth=11, width=2, head="fc", image_size=16, init="default"), models.resnet18()):
        last = last_features(model, images, batch_size=3)
        layer = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        assert torch.equal(last.weight, layer.weight)
        torch.testing.assert_close(nn.functional.linear(last.features, last.weight, layer.bias.detach()), last.outputs)
    with pytest.raises(LabError, match="no linear layer"):
        last_features(nn.Sequential(nn.Conv2d(3, 1, 3)), images)


def test_what_stands_for_the_layers_of_each_family():
    blocks = representations(build("residual", depth=56))
    assert len(blocks) == 27
    assert blocks[0] == "stage1.block1"
    assert representations(build("plain", depth=8)) == ["stage1.block1", "stage2.block1", "stage3.block1"]
    dense = representations(build("dense", depth=13, growth_rate=4))
    assert dense[:3] == ["stem.conv", "block1.layer1.conv1", "block1.layer2.conv1"]
    assert len(dense) == 12
    assert representations(build("vgg", depth=11, width=4))[0] == "stage1.activation1"
    assert representations(models.resnet18())[-1] == "layer4.1"
    assert representations(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))) == ["0", "1"]
    with pytest.raises(LabError, match="nothing to compare"):
        representations(nn.Identity())


def test_depth_and_stage_of_a_net_from_elsewhere(images: torch.Tensor):
    positions = collect(models.resnet18(), images[:2].repeat(1, 1, 4, 4)).positions
    assert [place.layer for place in positions][:2] == ["layer1.0", "layer1.1"]
    assert [place.depth for place in positions][:2] == [3, 5]
    assert [place.stage for place in positions] == [2, 2, 3, 3, 4, 4, 5, 5]


def test_batches_come_from_tensors_and_loaders(images: torch.Tensor):
    labels = torch.zeros(10, dtype=torch.long)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=4)
    for given in (images, loader, [images], [(images, labels)], [{"images": images, "labels": labels}]):
        assert torch.equal(torch.cat(list(batches(given, 3))), images)
    with pytest.raises(LabError, match="at least one image"):
        list(batches(images[:0], 3))
    with pytest.raises(LabError, match="no tensor"):
        list(batches([labels], 3))


def test_no_images_and_unknown_layers_are_one_sentence(net: nn.Module, images: torch.Tensor):
    for function in (collect, last_features):
        with pytest.raises(LabError, match="no images"):
            function(net, [])
    with pytest.raises(LabError, match=r"stage1\.block1"):
        collect(net, images, layers="stage1.blok1")


def test_pooling_averages_positions_wherever_they_stand():
    maps = torch.arange(24.0).view(1, 2, 3, 4)
    assert torch.equal(pooled(maps), maps.mean((2, 3)))
    tokens = torch.arange(12.0).view(1, 3, 4)
    assert torch.equal(pooled(tokens, 2), tokens.mean(1))
    assert pooled(torch.zeros(3, 5)).shape == (3, 5)


def test_layers_that_come_and_go_are_refused(images: torch.Tensor):
    class Moody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            y = self.conv(x)
            return self.conv(x) if self.calls > 1 else y

    with pytest.raises(LabError, match="some images only"):
        collect(Moody(), images, layers="conv", batch_size=5)


def test_a_reader_removes_its_own_hooks_only(net: nn.Module, images: torch.Tensor):
    heard = []
    handle = net.stem.register_forward_hook(lambda *_: heard.append(1))
    with OutputReader(net, "block") as reader, torch.no_grad():
        reader.read(images, lambda index, output: None)
    assert hooks_of(net) == 1
    assert heard == [1, 1]  # once to learn where channels lie
    handle.remove()
