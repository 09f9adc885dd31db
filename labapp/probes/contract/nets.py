"""About which nets is a diagnostic asked that is put to the test?"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from labapp.config import Experiment
from labapp.diagnostics.measuring.batch_statistics import settle
from labapp.nets.ordered import net_for
from labapp.probes.given import ProbeImages, probe_images

IMAGES = 8  # at most: what is promised does not hang on more
CLASSES = 10
ILL = "a net whose weights are NaN"
SMALL = (
    Experiment(family="plain", depth=14, width=4, imageset="digits"),
    Experiment(family="residual", depth=14, width=4, preactivation=True, imageset="digits"),
    Experiment(family="dense", depth=13, growth_rate=4, imageset="digits"),
    Experiment(family="vgg", depth=11, width=4, imageset="digits"),
)


def images(experiment: Experiment, most: int, split: str = "test") -> ProbeImages:
    """Probe images of an experiment, one at least."""
    return probe_images(experiment, split, min(most, IMAGES) or 1)


def untrained(experiment: Experiment) -> nn.Module:
    """The net of an experiment with first weights, the same ones each time; its batch norms have seen nothing."""
    seen = images(experiment, 1).images
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        net = net_for(experiment, num_classes=CLASSES, image_size=seen.shape[2], in_channels=seen.shape[1])
    return net.eval()


def trained(experiment: Experiment) -> nn.Module:
    """The same with running statistics, as a trained net has them."""
    return settle(untrained(experiment), images(experiment, IMAGES).images)


def ill(experiment: Experiment) -> nn.Module:
    """The same after a training that ended in NaN."""
    net = trained(experiment)
    with torch.no_grad():
        next(net.parameters()).fill_(math.nan)
    return net


def odd(experiment: Experiment) -> dict[str, nn.Module]:
    """Nets of other makers that a diagnostic may refuse, by what they are called in a sentence."""
    return {
        "a net that answers with a dictionary": Spoken(trained(experiment)).eval(),
        "a net without layers": Bare().eval(),
    }


class Spoken(nn.Module):
    """A net that answers with a dictionary."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Scores of images (N, C, H, W), under a name."""
        return {"scores": self.net(images)}


class Bare(nn.Module):
    """A net without layers."""

    def forward(self, images: Tensor) -> Tensor:
        """Pixels of images (N, C, H, W) as scores (N, CLASSES)."""
        return images.flatten(1)[:, :CLASSES]
