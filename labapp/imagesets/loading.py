"""Which images does a name stand for?

    train, test = load("cluttered-digits"), load("cluttered-digits", split="test")
    images, labels = train.batch(torch.tensor([0, 1, 2]))  # float32 (3, 3, 24, 24), int64 (3,)
    test.mask(0)  # where the digit is, bool (24, 24); None where a set does not know

`cluttered-digits` (clutter.py) and `digits` need no files. torchvision's sets are looked for under the data folder and
downloaded there on their first use (downloads.py); `folder` is the user's own: <data>/train/<class>/*.png and
<data>/test/<class>/*.png. Every set but `folder` is held in memory as bytes.

Mean and standard deviation are measured on the whole training set (`folder`: on 1,000 of its images).
"""

import functools
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from labapp.config import IMAGESETS, Experiment, LabError, listed, nearest, under_data
from labapp.imagesets.clutter import canvases, digits, enlarge
from labapp.imagesets.downloads import LabelledImages, fetch
from labapp.imagesets.sets import FolderSet, ImageSet, MemorySet

CANVASES = {"train": 5000, "test": 1000}  # of cluttered-digits
MADE = ("cluttered-digits", "digits")  # without files
DIGITS = tuple("0123456789")
MEASURED = 1000  # images of a folder on which its mean and deviation are measured


def load(
    name: str,
    *,
    split: str = "train",
    data: str | os.PathLike[str] = "data",
    image_size: int | None = None,
    augment: bool = False,
    limit: int | None = None,
    seed: int = 0,
    normalise: bool = True,
) -> ImageSet:
    """The images of one split of a set.

    Args:
        name: One of `labapp.config.IMAGESETS`.
        split: "train" or "test".
        data: The folder in which files are looked for and downloaded to.
        image_size: Pixels a side; the set's own when left out (`digits` 16, `folder` 32).
        augment: Crop (pad 4, in proportion above 32 pixels) and mirror at random whenever an image is taken.
        limit: Only so many images, drawn by `seed` without replacement.
        seed: Of the canvases of `cluttered-digits`, and of `limit`. It names a set: a training has a seed of its own.
        normalise: Mean 0 and deviation 1 by channel over the training set; otherwise images keep their range 0 … 1.
    """
    if name not in IMAGESETS:
        raise LabError(f"unknown image set '{name}'; the lab knows {listed(IMAGESETS)}{nearest(name, IMAGESETS)}")
    if split not in CANVASES:
        raise LabError(f"unknown split '{split}'; there are train and test{nearest(split, CANVASES)}")
    if image_size is not None and image_size < 8:
        raise LabError(f"images of {image_size} pixels show nothing; take at least 8")
    where = (name, str(Path(data).absolute()), image_size, seed)
    images = _open(split, *where)
    if normalise:
        images.mean, images.std = _measure(*where)
    images.augmented = augment
    if limit is not None:
        if not 1 <= limit <= len(images):
            raise LabError(f"{name} has {len(images)} {split} images, so {limit} of them cannot be taken")
        generator = torch.Generator().manual_seed(seed)
        images.keep(torch.randperm(len(images), generator=generator)[:limit].sort().values)
    return images


def load_for(experiment: Experiment, split: str) -> ImageSet:
    """The images of one split as an experiment asks for them; only its training images are augmented."""
    if experiment.imageset not in MADE:
        under_data(experiment.data)
    return load(
        experiment.imageset,
        split=split,
        data=experiment.data or "data",
        image_size=experiment.image_size,
        augment=bool(experiment.augment) and split == "train",
        limit=experiment.train_images if split == "train" else experiment.test_images,
    )


def _open(split: str, name: str, data: str, size: int | None, seed: int) -> ImageSet:
    if name == "folder":
        return _folder(split, Path(data), size or 32)
    return MemorySet(name, *_in_memory(split, name, data, size, seed))


def _folder(split: str, data: Path, size: int) -> FolderSet:
    images = FolderSet(data / split, size)
    if split == "test" and images.classes != (known := FolderSet(data / "train", size).classes):
        raise LabError(
            f"the folders under {data / split} are {listed(images.classes)}, those under {data / 'train'} are "
            f"{listed(known)}; both need the same classes"
        )
    return images


@functools.lru_cache(maxsize=4)  # both splits of two sets; CIFAR-10 takes 184 MB
def _in_memory(
    split: str, name: str, data: str, size: int | None, seed: int
) -> tuple[LabelledImages, NDArray[np.bool_] | None]:
    if name == "cluttered-digits":
        made = canvases(split, CANVASES[split], size=size or 24, seed=seed)
        images = torch.from_numpy(made.images).permute(0, 3, 1, 2).contiguous()
        return LabelledImages(images, torch.from_numpy(made.labels), DIGITS), made.masks
    if name == "digits":
        ink, labels = digits(split)
        images = torch.from_numpy(enlarge(ink, size or 16).astype(np.uint8))[:, None]
        return LabelledImages(images, torch.from_numpy(labels), DIGITS), None
    found = fetch(name, split, Path(data))
    if size is not None and size != found.images.shape[-1]:
        from torchvision.transforms.v2 import functional

        found = found._replace(images=functional.resize(found.images, [size, size], antialias=True))
    return found, None


@functools.lru_cache(maxsize=16)
def _measure(name: str, data: str, size: int | None, seed: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation by channel of the training images scaled to 0 … 1, from exact counts of grey levels."""
    images = _open("train", name, data, size, seed)
    step = max(1, len(images) // MEASURED) if name == "folder" else 1
    pixels = images.pixels(torch.arange(0, len(images), step))
    level = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in range(images.channels):
        counts = torch.bincount(pixels[:, channel].flatten(), minlength=256).double()
        share = counts / counts.sum()
        mean.append(float(share @ level))
        std.append(float((share @ (level - mean[-1]) ** 2).sqrt()) or 1.0)  # one grey everywhere: nothing to divide by
    return tuple(mean), tuple(std)
