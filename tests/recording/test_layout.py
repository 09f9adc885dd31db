"""Which axis holds the channels: of blocks of all makers, whatever stands between them and their last layer."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models
from torchvision.models.swin_transformer import SwinTransformer

from labapp.recording import Recorder
from labapp.recording.layout import channel_axis
from labapp.recording.places import find_blocks


class Apply(nn.Module):
    """A part of a net that does what a function says."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x):
        return self.function(x, *self.parts)


def last(x):
    return x.permute(0, 2, 3, 1)


CASES = {  # what was done to the output of a convolution, (N, 6, 5, 5), and where its channels are then
    "activation": (lambda x: x.relu(), 1),
    "in place": (lambda x: (x * 1).relu_(), 1),
    "residual": (lambda x: x + x.sigmoid() * x.mean((2, 3), keepdim=True), 1),
    "gate by a parameter": (lambda x, n: x * n.weight[:6, 0].view(6, 1, 1), 1),
    "permuted": (last, 3),
    "permuted and back": (lambda x: last(x).relu().permute(0, 3, 1, 2), 1),
    "transposed": (lambda x: x.transpose(1, -1), 3),
    "movedim": (lambda x: x.movedim(1, 2), 2),
    "channels second in memory only": (lambda x: x.contiguous(memory_format=torch.channels_last), 1),
    "rolled": (lambda x: torch.roll(last(x), (1, 1), (1, 2)), 3),
    "padded": (lambda x: F.pad(last(x), (0, 0, 1, 1)), 3),
    "tokens": (lambda x: x.flatten(2).transpose(1, 2), 2),
    "tokens and back": (lambda x: x.flatten(2).transpose(1, 2).transpose(1, 2).reshape(2, 6, 5, 5), 1),
    "one more token": (lambda x: torch.cat([x.flatten(2).transpose(1, 2), torch.zeros(2, 1, 6)], 1), 2),
    "windows": (lambda x: last(F.pad(x, (0, 1, 0, 1))).view(2, 2, 3, 2, 3, 6).transpose(2, 3), 5),
    "concatenated": (lambda x: torch.cat([last(x), last(x)], -1), 3),
    "sliced": (lambda x: last(x)[:, ::2, 1:], 3),
    "chunk": (lambda x: last(x).chunk(2, -1)[1], 3),
    "one row": (lambda x: last(x)[:, 0], 2),
    "averaged": (lambda x: last(x).mean(1), 2),
    "stacked": (lambda x: last(x).unsqueeze(1), 4),
    "squeezed": (lambda x: last(x).unsqueeze(1).squeeze(1), 3),
    "resized": (lambda x: F.interpolate(x, scale_factor=2), 1),
    "linear": (lambda x, n: F.linear(last(x), n.weight[:, :6]), 3),
    "layer norm": (lambda x: F.layer_norm(last(x), (6,)), 3),
    "layer norm second": (lambda x: F.layer_norm(last(x), (6,)).permute(0, 3, 1, 2), 1),
    "shuffled": (lambda x: x.view(2, 3, 2, 5, 5).transpose(1, 2).reshape(2, 6, 5, 5), 1),
    "split and joined": (lambda x: last(x).reshape(2, 5, 5, 2, 3).relu().flatten(3), 3),
    "a batch of one": (lambda x: x[:1].unsqueeze(0).squeeze(0), 1),
    "added to a slice in place": (lambda x: x.repeat(1, 2, 1, 1)[:, :6].add_(x), 1),
    "pooled to a vector": (lambda x: x.mean((2, 3)), 1),
}


@pytest.mark.parametrize("name", CASES)
def test_the_axis_follows_what_was_done(name):
    function, axis = CASES[name]
    part = Apply(lambda x, conv, linear: function(conv(x), linear) if function.__code__.co_argcount > 1 else
                 function(conv(x)), nn.Conv2d(3, 6, 1), nn.Linear(7, 9))  # fmt: skip
    assert channel_axis(part, part(torch.randn(2, 3, 5, 5))) == axis


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.flatten(1).view(2, 5, 30),  # channels and positions in one axis
        lambda x: x.flatten(2) @ x.flatten(2).mT,  # of a product nobody knows
        lambda x: x.detach(),
        lambda x: (x * 1).permute(0, 2, 3, 1)[:, 1:].add_(1),  # the graph says no more which view it was
        lambda x: last(x)[..., :5] + x[:, :5],  # two answers
    ],
    ids=["mixed", "product", "no graph", "permuted view in place", "contradiction"],
)
def test_what_cannot_be_told_is_not_guessed(function):
    part = Apply(lambda x, conv: function(conv(x)), nn.Conv2d(3, 6, 1))
    assert channel_axis(part, part(torch.randn(2, 3, 5, 5))) is None


def swin():
    return SwinTransformer([4, 4], 12, [1, 2], [2, 2], [3, 3], num_classes=5)


def convnext():
    return models.convnext.ConvNeXt(
        [models.convnext.CNBlockConfig(8, 12, 2), models.convnext.CNBlockConfig(12, None, 2)]
    )


def timm(name, **options):
    import timm

    return timm.create_model(name, num_classes=5, **options)


@pytest.mark.parametrize(
    ("make", "axis"),
    [
        (swin, 3),
        (convnext, 1),
        (lambda: models.resnet18(num_classes=5), 1),
        (lambda: timm("resnet10t"), 1),
        (lambda: models.shufflenet_v2_x0_5(num_classes=5), 1),
        (lambda: timm("ghostnet_050"), 1),
        (lambda: timm("vit_tiny_patch16_224", img_size=48, depth=2), 2),
        (lambda: timm("poolformer_s12"), 1),
        (lambda: timm("swin_tiny_patch4_window7_224", img_size=56, depths=(1, 2), embed_dim=12, num_heads=(1, 2)), 3),
    ],
    ids=["swin", "convnext", "resnet", "resnet of timm", "shufflenet", "ghostnet", "vit", "poolformer", "swin of timm"],
)
def test_every_block_of_other_makers(make, axis):
    torch.manual_seed(0)
    net = make().eval()
    found = {}
    for path in find_blocks(net):
        net.get_submodule(path).register_forward_hook(
            lambda module, args, output, path=path: found.update({path: channel_axis(module, output)})
        )
    size = 56 if "Swin" in type(net).__name__ else 48
    net(torch.randn(1, 3, size, size))
    assert set(found.values()) == {axis}
    assert len(found) > 1


class Lit(nn.Module):
    """A block with channels last, of which two never have a positive value."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        for layer in (self.first, self.second):
            layer.weight.data[:2] = 0
            layer.bias.data[:2] = -1

    def forward(self, x):
        return (self.first(x) + self.second(x)).relu()


def test_the_recorder_marks_the_channels_of_a_block_wherever_they_stand():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 1), Apply(last), Lit(), Lit(), nn.Flatten(), nn.Linear(6 * 25, 2))
    images = torch.randn(64, 3, 5, 5)
    with Recorder(net, layers=["2", "3"]) as recorder, recorder.step():
        net(images).sum().backward()
    outputs = [net[:3](images), net[:4](images)]
    dead = [int((output.flatten(0, 2) <= 0).all(0).sum()) for output in outputs]
    assert min(dead) >= 2
    assert recorder.table().dead_channels.tolist() == dead
