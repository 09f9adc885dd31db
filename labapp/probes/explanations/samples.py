"""Which image is asked about, and what is known of it?

An image of a run's test set brings its label and, in `cluttered-digits`, the mask of the digit; a user's picture brings
neither. Both are pictures here, uint8 (H, W, 3), so that nets of different image size can be asked about the same one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from labapp.config import Experiment, LabError
from labapp.imagesets import ImageSet, load_for
from labapp.probes.pictures import read_picture, square
from labapp.store import Run

LARGEST = 512  # pixels a side that are kept of a user's picture; more than the nets read


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture to ask about.

    Attributes:
        name: "image 3", or the file's name.
        picture: (H, W, 3), square.
        label: Its class, where it is known.
        mask: Where the labelled thing is, (H, W), where it is known.
    """

    name: str
    picture: NDArray[np.uint8]
    label: int | None = None
    mask: NDArray[np.bool_] | None = field(default=None)


def from_set(source: Run | Experiment, index: int) -> Sample:
    """One image of the test set that a run was measured on."""
    images = test_set(source)
    if not 0 <= index < len(images):
        raise LabError(f"there is no image {index}: the test set of {images.name} has {len(images)}, from 0 on")
    return Sample(f"image {index}", images.raw(index), int(images.labels[index]), images.mask(index))


def from_picture(picture: NDArray[np.uint8], name: str = "picture") -> Sample:
    """A user's picture (H, W, 3); its middle is asked about."""
    return Sample(name, square(picture, min(*picture.shape[:2], LARGEST)))


def from_file(source: str | Path | BinaryIO) -> Sample:
    """A user's file.

    Raises:
        LabError: If it is no picture, broken, too small or too large.
    """
    name = Path(str(source if isinstance(source, str | Path) else getattr(source, "name", "picture"))).name
    return from_picture(read_picture(source), name)


def strip(source: Run | Experiment, indices: list[int]) -> list[Sample]:
    """Several images of a test set, to choose from; those that it does not have are left out."""
    images = test_set(source)
    return [from_set(source, index) for index in indices if 0 <= index < len(images)]


def test_set(source: Run | Experiment) -> ImageSet:
    """The images an experiment is measured on."""
    return load_for(source if isinstance(source, Experiment) else source.experiment, "test")
