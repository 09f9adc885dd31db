"""How many multiply-adds and parameters has the net of an experiment, and how many places are recorded in it?"""

from __future__ import annotations

import torch

from labapp.config import Experiment, LabError
from labapp.diagnostics.architecture import architecture
from labapp.imagesets import load_for
from labapp.imagesets.loading import MADE
from labapp.nets.ordered import net_for


def size_of(experiment: Experiment, images: tuple[int, int, int] | None = None) -> tuple[int, int, int]:
    """Multiply-adds of one image, parameters, and places. No weight is made.

    Args:
        experiment: What would be trained.
        images: Their pixels a side, channels and classes; looked up where they need no file.

    Raises:
        LabError: If the images are not known, or the net does not take them.
    """
    if images is None:
        if experiment.imageset not in MADE:
            raise LabError(f"the size of the images of {experiment.imageset} is not known before they are there")
        there = load_for(experiment, "test")
        images = there.image_size, there.channels, there.num_classes
    size, channels, classes = images
    with torch.device("meta"):
        net = net_for(experiment, num_classes=classes, image_size=size, in_channels=channels)
    table = architecture(net, size, in_channels=channels)
    own = table[table["kind"] != "block"]
    places = int(table["kind"].isin(["conv", "linear", "norm", "block"]).sum())
    return int(own["multiply_adds"].sum()), int(own["parameters"].sum()), places
