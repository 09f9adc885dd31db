"""On which net and which images is a quantity measured?

The images are the same for every checkpoint and every run of an image set: drawn from its test images by one seed, and
from its training images where a quantity is defined on those. Never augmented.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labapp.config import Experiment, LabError
from labapp.diagnostics.measuring.batch_statistics import HELD, RUNNING
from labapp.imagesets import ImageSet, load_for
from labapp.imagesets.order import generator

CALIBRATION = 128  # probe images that give an untrained net's batch norms their statistics
SEED = 0  # of the draw of images: a part of the definition of every probe
SAME = ("imageset", "image_size", "data", "test_images")  # of two experiments that are shown the same images


@dataclass(frozen=True, eq=False)
class ProbeImages:
    """Probe images (N, C, H, W), normalised as in training, and their classes (N,)."""

    images: Tensor
    labels: Tensor

    def first(self, count: int) -> ProbeImages:
        """The first of them."""
        return ProbeImages(self.images[:count], self.labels[:count])


@dataclass(frozen=True, eq=False)
class Given:
    """What a quantity is measured on.

    Attributes:
        net: In evaluation mode; a quantity leaves it as it was.
        step: Updates at its checkpoint.
        experiment: Of its run.
        test: Probe images, as many as the quantity wants at most.
        train: The same from the training images.
        classes: How many there are.
        tell: Told the share that is done.
        say: Told what could not be measured, in one sentence.
        batch_norm: Which statistics the net's batch norms use, see `labapp.diagnostics.measuring.batch_statistics`.
        cheap: Whether only what asks for weights alone is to be measured.
    """

    net: nn.Module
    step: int
    experiment: Experiment
    test: ProbeImages
    train: Callable[[], ProbeImages]
    classes: int
    tell: Callable[[float], None]
    say: Callable[[str], None]
    batch_norm: str = RUNNING
    cheap: bool = False

    @property
    def untrained(self) -> bool:
        """Whether running statistics of batch norms say nothing yet, so that those of probe images are used."""
        return self.batch_norm == HELD


def probe_images(experiment: Experiment, split: str, count: int) -> ProbeImages:
    """The first `count` of a split's images, or all, in the order of the probes' own draw."""
    images = _opened(experiment, split)
    chosen = torch.randperm(len(images), generator=generator(SEED, "probe"))[:count]
    return ProbeImages(images.normalise(images.pixels(chosen)), images.labels[chosen])


@functools.lru_cache(maxsize=4)
def _opened(experiment: Experiment, split: str) -> ImageSet:
    return load_for(experiment, split)


def require_same_images(experiment: Experiment, other: Experiment) -> None:
    """Refuse two runs whose nets do not see the same images."""
    for name in SAME:
        here, there = getattr(experiment, name), getattr(other, name)
        if here != there:
            raise LabError(
                f"these runs have different images ({name.replace('_', ' ')} {here} and {there}), so their layers "
                "cannot be compared image by image; take two runs on the same image set"
            )
