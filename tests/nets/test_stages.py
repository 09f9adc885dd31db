import copy
import pickle

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from labapp.config import LabError
from labapp.nets import build
from labapp.nets.net import Net
from labapp.nets.stages import stages

FOUR = ["conv2_x", "conv3_x", "conv4_x", "conv5_x"]
NETS = {
    "residual": (lambda: build("residual", depth=8, width=4), FOUR[:3], [4, 8, 16], [1, 2, 4]),
    "plain, before": (lambda: build("plain", depth=8, width=4, preactivation=True), FOUR[:3], [4, 8, 16], [1, 2, 4]),
    "dense": (lambda: build("dense", depth=10, growth_rate=4), FOUR[:3], [24, 32, 40], [1, 2, 4]),
    "vgg": (lambda: build("vgg", depth=11, width=4, head="fc"), FOUR, [8, 16, 32, 32], [2, 4, 8, 16]),
    "vgg, imagenet": (lambda: build("vgg11", width=4), FOUR, [8, 16, 32, 32], [2, 4, 8, 16]),
    "bottleneck": (lambda: build("resnet50", width=4), FOUR, [16, 32, 64, 128], [4, 8, 16, 32]),
    "torchvision resnet": (models.resnet18, FOUR, [64, 128, 256, 512], [4, 8, 16, 32]),
    "torchvision densenet": (
        lambda: models.DenseNet(growth_rate=4, num_init_features=8, block_config=(2, 2, 2, 2)),
        FOUR,
        [16, 16, 16, 16],
        [4, 8, 16, 32],
    ),
    "torchvision vgg": (lambda: models.vgg11_bn(num_classes=5), FOUR, [128, 256, 512, 512], [2, 4, 8, 16]),
}


@pytest.fixture(params=[name for name in NETS if name != "torchvision vgg"])
def case(request: pytest.FixtureRequest):
    torch.manual_seed(0)
    maker, *expected = NETS[request.param]
    return (maker().eval(), *expected)


def test_maps_have_their_names_and_shapes_and_logits_are_the_nets(case):
    net, names, channels, strides = case
    images = torch.randn(2, 3, 32, 32)
    backbone = stages(net)
    assert backbone.channels == dict(zip(names, channels, strict=True))
    assert backbone.strides == dict(zip(names, strides, strict=True))
    made = backbone(images)
    assert list(made) == [*names, "logits"]
    for name, count, stride in zip(names, channels, strides, strict=True):
        assert made[name].shape == (2, count, 32 // stride, 32 // stride)
    torch.testing.assert_close(made["logits"], net(images))
    assert list(stages(net, logits=False)(images)) == names


def test_full_size_shapes_of_the_papers():
    with torch.device("meta"):
        made = stages(build("resnet50").eval())(torch.ones(1, 3, 224, 224))
        assert [tuple(m.shape[1:]) for m in made.values()][:4] == [
            (256, 56, 56),
            (512, 28, 28),
            (1024, 14, 14),
            (2048, 7, 7),
        ]
        vgg = stages(models.vgg11_bn())
    assert (list(vgg.channels.values()), list(vgg.strides.values())) == (NETS["torchvision vgg"][2:])


def test_making_one_changes_nothing_and_it_is_the_same_net():
    net = build("residual", depth=8, width=4).train()
    state = copy.deepcopy(net.state_dict())
    noise = torch.get_rng_state()
    backbone = stages(net)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), noise)
    assert net.training
    assert {id(p) for p in backbone.parameters()} == {id(p) for p in net.parameters()}


def test_it_trains_pickles_and_copies():
    backbone = stages(build("vgg", depth=11, width=2, head="gap"))
    for twin in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        made = twin(torch.randn(2, 3, 32, 32))
        sum(m.square().mean() for m in made.values()).backward()
        assert all(p.grad is not None for p in twin.parameters())


def test_places_are_those_of_the_net_and_fire():
    backbone = stages(build("residual", depth=8, width=4), logits=False)
    modules = dict(backbone.named_modules())
    assert all(place.path in modules for place in backbone.places)
    assert all(place.block in ("", *modules) for place in backbone.places)
    assert not any("head" in place.path for place in backbone.places)
    fired = []
    for place in backbone.places:
        modules[place.path].register_forward_hook(lambda *_, path=place.path: fired.append(path))
    backbone(torch.randn(2, 3, 16, 16))
    assert fired == [place.path for place in backbone.places]


def test_other_nets_are_refused():
    with pytest.raises(LabError, match="not of Linear"):
        stages(nn.Linear(3, 3))


class Gated(models.ResNet):
    """A ResNet whose forward gates a map in between; open gates change nothing."""

    def __init__(self, gated: bool = True) -> None:
        super().__init__(models.resnet.BasicBlock, [1] * 4, 10)
        self.gated = gated
        self.gate = nn.Conv2d(128, 1, 1)

    def _forward_impl(self, x):
        x = self.layer2(self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x))))))
        x = x * self.gate(x).sigmoid() if self.gated else x
        return self.fc(self.avgpool(self.layer4(self.layer3(x))).flatten(1))


class Doubled(models.VGG):
    def forward(self, x):
        return 2 * super().forward(x)


def doubled():
    return Doubled(models.vgg11().features, 10)


def instance():
    net = models.resnet18()
    net.forward = lambda x: models.ResNet.forward(net, x) + 1
    return net


def lab():
    class Scaled(Net):
        def forward(self, x):
            return 2 * super().forward(x)

    net = build("residual", depth=8, width=4)
    net.__class__ = Scaled
    return net


@pytest.mark.parametrize("make", [Gated, doubled, instance, lab])
def test_a_forward_that_does_more_than_the_stages_is_refused(make):
    torch.manual_seed(0)
    with pytest.raises(LabError, match="does something besides running the stages of a"):
        stages(make())
    with torch.device("meta"), pytest.raises(LabError, match="does something besides"):
        stages(make())


def test_a_forward_of_its_own_that_runs_the_stages_is_not():
    torch.manual_seed(0)
    net = Gated(gated=False).train()
    state, noise = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    backbone = stages(net)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), noise)
    assert net.training
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(backbone.eval()(images)["logits"], net(images))


def test_maps_are_those_that_torchvisions_extractor_takes_out():
    """By tracing the net, which knows nothing of stages; of torchvision's nets by the names that their papers' have."""
    papers = {
        "torchvision resnet": [f"layer{number}" for number in range(1, 5)],
        "torchvision densenet": [f"features.denseblock{number}" for number in range(1, 5)],
        "residual": [f"stage{number}" for number in range(1, 4)],
        "bottleneck": [f"stage{number}" for number in range(2, 6)],
        "dense": [f"block{number}" for number in range(1, 4)],
        "vgg": [f"stage{number}.activation{2 - (number == 2)}" for number in range(2, 6)],
    }
    for name, paths in papers.items():
        torch.manual_seed(0)
        maker, names, *_ = NETS[name]
        net = maker().eval()
        images = torch.randn(2, 3, 32, 32)
        expected = create_feature_extractor(net, dict(zip(paths, names, strict=True)))(images)
        found = stages(net, logits=False)(images)
        assert list(found) == list(expected)
        assert all(torch.equal(found[key], expected[key]) for key in expected), name


def test_maps_of_torchvisions_vgg_are_those_before_its_poolings():
    with torch.device("meta"):  # its linear layers have 100 million weights
        net = models.vgg11_bn(num_classes=5)
    torch.manual_seed(0)
    net.features = models.vgg.make_layers(models.vgg.cfgs["A"], batch_norm=True)
    net.eval()
    paths = {"features.6": "conv2_x", "features.13": "conv3_x", "features.20": "conv4_x", "features.27": "conv5_x"}
    images = torch.randn(1, 3, 32, 32)
    expected = create_feature_extractor(net, paths)(images)
    found = stages(net, logits=False)(images)
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
