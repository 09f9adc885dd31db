import math

import pytest
import torch
from torch import nn
from torchvision import models

from labapp.config import LabError
from labapp.diagnostics.spatial_order import accepted_sizes, spatial_order
from labapp.nets import build


class Corner(nn.Module):
    """Decides by which quarter of the image is bright: everything it knows is a position."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1, bias=False)
        self.pool = nn.AvgPool2d(4)
        self.classifier = nn.Linear(4, 4, bias=False)
        with torch.no_grad():
            self.conv.weight.fill_(1)
            self.classifier.weight.copy_(torch.eye(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.pool(self.conv(x)).flatten(1))


def corners(images: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(images) % 4
    quarters = torch.eye(4)[labels].view(-1, 1, 2, 2)
    return quarters.repeat_interleave(4, 2).repeat_interleave(4, 3), labels


def test_a_net_of_positions_alone_follows_the_permutation():
    images, labels = corners()
    found = spatial_order(Corner(), images, labels, repeats=200)
    assert (found.layer, found.positions, found.accuracy) == ("pool", 4, 1)
    # The 23 permutations of four that move something leave 20 positions of 23 · 4 in place.
    assert found.accuracy_permuted == pytest.approx(20 / 92, abs=0.05)
    assert found.decisions_changed == pytest.approx(72 / 92, abs=0.05)
    assert found.output_change == pytest.approx(math.sqrt(2) * 72 / 92, abs=0.06)
    assert found.low < found.accuracy_permuted < found.high
    # each image is right after about 20 of 92 permutations, so the mean of 40 is sure; a count of 40 would not be
    assert found.high - found.low < 0.05


@pytest.mark.parametrize(
    "options",
    [
        {"family": "residual", "depth": 8, "width": 4},
        {"family": "residual", "depth": 8, "width": 4, "preactivation": True},
        {"family": "dense", "depth": 10, "growth_rate": 4},
        {"family": "vgg", "depth": 11, "width": 4, "head": "gap"},
    ],
)
def test_an_average_does_not_see_positions(options: dict):
    torch.manual_seed(0)
    images = torch.randn(12, 3, 32, 32)
    found = spatial_order(build(**options), images, torch.arange(12) % 10)
    assert found.positions > 1
    assert found.output_change < 1e-5
    assert found.accuracy_permuted == found.accuracy
    assert found.note == "the head does not see positions"
    few = spatial_order(build(**options), images[:3], torch.arange(3))
    assert few.note.endswith("3 images have a value; an interval needs at least 5")
    assert math.isnan(few.low)


def test_a_linear_layer_on_the_flattened_map_does():
    torch.manual_seed(0)
    net = build("vgg", depth=11, width=4, head="fc")
    found = spatial_order(net, torch.randn(12, 3, 32, 32))
    assert found.layer == "stage5.activation2"
    assert found.output_change > 0.05
    assert math.isnan(found.accuracy)
    assert found.note == "no labels, so no accuracy"


def test_the_net_is_as_it_was():
    torch.manual_seed(0)
    net, images = build("vgg", depth=11, width=4, head="fc"), torch.randn(6, 3, 32, 32)
    noise = torch.get_rng_state()
    first = spatial_order(net, images, torch.arange(6))
    assert spatial_order(net, images, torch.arange(6)) == first
    assert torch.equal(torch.get_rng_state(), noise)
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())


def test_broken_weights_are_nan_with_a_reason():
    net = Corner()
    nn.init.constant_(net.conv.weight, math.nan)
    found = spatial_order(net, *corners())
    assert found.note == "the net's outputs are not finite"
    assert math.isnan(found.output_change)


def test_users_mistakes_are_one_sentence():
    images, labels = corners()
    with pytest.raises(LabError, match="more than one position"):
        spatial_order(nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), images)
    with pytest.raises(LabError, match="repeats"):
        spatial_order(Corner(), images, repeats=0)
    with pytest.raises(LabError, match=r"give \(N, C, H, W\)"):
        spatial_order(Corner(), images[0])
    with pytest.raises(LabError, match="one class an image"):
        spatial_order(Corner(), images, labels[:3])


def test_which_sizes_a_net_takes():
    average = accepted_sizes(build("residual", depth=8, width=4), (1, 8, 31, 64)).set_index("size")
    assert average.accepted.all()
    assert average.positions.tolist() == [0, 4, 64, 256]
    flat = accepted_sizes(build("vgg", depth=11, width=4, head="fc"), (8, 16, 32, 64)).set_index("size")
    assert flat.accepted.to_dict() == {8: False, 16: False, 32: True, 64: False}
    assert "cannot be multiplied" in flat.note[64]
    with torch.device("meta"):
        assert accepted_sizes(models.vgg11(), (64, 224, 320)).accepted.all()  # it averages to 7×7 first
    with pytest.raises(LabError, match="at least 1 pixel"):
        accepted_sizes(Corner(), (0,), in_channels=1)
