"""Does the diagnostic keep the lab's contract, and is its number right?"""

import torch
from labapp_density import density
from torch import nn

from labapp.probes.contract import check


def test_density_keeps_the_contract() -> None:
    """On nets of every family, and on some that it cannot know."""
    check("density")


def test_one_channel_of_four_and_all_of_them() -> None:
    """By hand: (3/4)² over 5/4 is 9/20."""
    net = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    images = torch.ones(3, 1, 1, 1)
    for weights, share in (([1.0, 0, 0, 0], 1 / 4), ([1.0, 1, 1, 1], 1.0), ([2.0, 1, 0, 0], 9 / 20)):
        net[0].weight.data = torch.tensor(weights).view(4, 1, 1, 1)
        assert density(net, images)["value"][0] == share
