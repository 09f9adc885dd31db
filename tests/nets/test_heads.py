"""Are the logits of pixels those of the paper's head, and does a record name the maps and levels as they are?"""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from labapp.config import LabError
from labapp.nets import build
from labapp.nets.heads import segmenter
from labapp.recording import Recorder, every

NETS = {
    "residual": lambda: build("residual", depth=8, width=4),
    "plain, before": lambda: build("plain", depth=8, width=4, preactivation=True),
    "dense": lambda: build("dense", depth=10, growth_rate=4),
    "vgg": lambda: build("vgg", depth=11, width=4, head="fc"),
    "imagenet": lambda: build("resnet18", width=4),
    "torchvision resnet": models.resnet18,
    "torchvision densenet": lambda: models.DenseNet(growth_rate=4, num_init_features=8, block_config=(2, 2, 2, 2)),
}


@pytest.fixture(params=NETS)
def net(request):
    torch.manual_seed(0)
    return segmenter(NETS[request.param](), classes=5, channels=6).eval()


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_every_pixel_has_logits_whatever_the_strides_leave_over(net, size):
    assert net(torch.randn(2, 3, *size)).shape == (2, 5, *size)


def test_logits_are_those_of_the_definition_written_out(net):
    net = net.double()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    levels = [*net.pyramid(images).values()]
    summed = 0
    for number, x in enumerate(levels):
        for step in range(max(1, number)):  # one without doubling at the finest level
            conv, norm = (net.get_submodule(f"head.ways.{number}.{step}.{part}") for part in ("conv", "norm"))
            x = F.conv2d(x, conv.weight, padding=1)
            grouped = x.unflatten(1, (norm.num_groups, -1))
            mean = grouped.mean((2, 3, 4), keepdim=True)
            spread = grouped.var((2, 3, 4), keepdim=True, unbiased=False) + norm.eps
            x = ((grouped - mean) / spread.sqrt()).flatten(1, 2)
            x = (x * norm.weight[:, None, None] + norm.bias[:, None, None]).clamp(min=0)
            if number:
                x = F.interpolate(x, scale_factor=2, mode="bilinear")
        summed = summed + x
    weight, bias = net.head.classifier.weight[:, :, 0, 0], net.head.classifier.bias
    logits = torch.einsum("nchw,kc->nkhw", summed, weight) + bias[:, None, None]
    expected = F.interpolate(logits, scale_factor=32 // logits.shape[-1], mode="bilinear")
    torch.testing.assert_close(net(images), expected)


def test_maps_and_levels_are_what_the_named_modules_give(net):
    images, seen = torch.randn(2, 3, 32, 32), {}
    modules = dict(net.named_modules())
    for name, path in net.sources.items():
        modules[path].register_forward_hook(lambda *given, name=name: seen.update({name: given[2]}))
    maps = net.pyramid.body(images)
    expected = maps | net.pyramid.of(maps)
    assert list(net.sources) == list(expected)
    for name, made in expected.items():
        assert torch.equal(seen[name], made), name


@pytest.mark.parametrize("name", [name for name in NETS if "torchvision" not in name])
def test_places_are_in_the_order_of_execution(name):
    net = segmenter(NETS[name](), classes=5, channels=6)
    modules, fired = dict(net.named_modules()), []
    for place in net.places:
        modules[place.path].register_forward_hook(lambda *_, path=place.path: fired.append(path))
    net(torch.randn(2, 3, 32, 32))
    assert fired == [place.path for place in net.places]
    depths = [place.depth for place in net.places if place.path.startswith("head")]
    assert depths == sorted(depths)
    assert all(place.stage >= 1 for place in net.places)


def test_a_net_of_torchvisions_has_its_places_found_by_structure():
    net = NETS["torchvision densenet"]()
    assert not hasattr(segmenter(net, classes=5, channels=6), "places")


def test_the_recorded_gradient_of_a_map_is_autograds():
    torch.manual_seed(0)
    net = segmenter(build("residual", depth=8, width=4), classes=5, channels=6)
    twin = copy.deepcopy(net)
    images, targets = torch.randn(4, 3, 16, 16), torch.randint(0, 5, (4, 16, 16))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    with Recorder(net, optimizer, when=every(1)) as recorder, recorder.step():
        F.cross_entropy(net(images), targets).backward()
        optimizer.step()
    table = recorder.table().set_index("layer")
    maps = twin.pyramid.body(images)
    levels = twin.pyramid.of(maps)
    loss = F.cross_entropy(twin.head([*levels.values()], (16, 16)), targets)
    tensors = maps | levels
    for name, gradient in zip(tensors, torch.autograd.grad(loss, [*tensors.values()]), strict=True):
        recorded = table.output_grad_norm[net.sources[name]]
        assert recorded == pytest.approx(float(gradient.norm()), rel=1e-4), name  # float32 sums in two orders


def test_it_learns_which_pixels_are_which():
    torch.manual_seed(0)
    net = segmenter(build("residual", depth=8, width=4), classes=3, channels=8)
    targets = torch.zeros(8, 16, 16, dtype=torch.long)
    targets[:4, 2:9, 2:9], targets[4:, 6:14, 6:14] = 1, 2
    images = torch.randn(8, 3, 16, 16) * 0.3 + targets[:, None]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), targets)
        loss.backward()
        optimizer.step()
    shares = targets.flatten().bincount() / targets.numel()
    constant = -float((shares * shares.log()).sum())  # the least loss of one prediction for all pixels
    assert loss.item() < constant / 3


@pytest.mark.parametrize(
    ("size", "sentence"),
    [((16, 64), "images of 16 pixels a side have no conv5_x, of which one position is 32"), ((31, 31), "of 31 pixels")],
)
def test_images_smaller_than_a_stride_are_one_sentence(size, sentence):
    with pytest.raises(LabError, match=sentence):
        segmenter(build("resnet18", width=4), classes=5)(torch.randn(1, 3, *size))


def test_other_mistakes_are_one_sentence():
    with pytest.raises(LabError, match="stages are known"):
        segmenter(nn.Linear(3, 3), classes=5)
    with pytest.raises(LabError, match="classes must be at least 1"):
        segmenter(build("residual", depth=8), classes=0)
    with pytest.raises(LabError, match="channels must be at least 1"):
        segmenter(build("residual", depth=8), classes=2, channels=0)
