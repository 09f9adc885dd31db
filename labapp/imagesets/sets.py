"""Which images does a net learn from, and where in them is the thing to see?

    train, test = load("cluttered-digits"), load("cluttered-digits", split="test")
    images, labels = train.batch(torch.tensor([0, 1, 2]))  # float32 (3, 3, 24, 24), int64 (3,)
    test.mask(0)  # where the digit is, bool (24, 24); None where a set does not know

`cluttered-digits` (clutter.py) and `digits` need no files. torchvision's sets are looked for under the data folder and
downloaded there on their first use (downloads.py); `folder` is the user's own: <data>/train/<class>/*.png and
<data>/test/<class>/*.png.

Every set but `folder` is held in memory as bytes. A batch becomes float32 when it is taken: divided by 255 and
normalised by channel with the mean and standard deviation *measured on the whole training set* (`folder`: on 1,000 of
its images), then, if `augment` was asked for, cropped at random after padding and mirrored where a mirror image still
shows the same thing.
"""

import functools
import os
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from labapp.config import IMAGESETS, Experiment, LabError, listed, nearest
from labapp.imagesets.clutter import canvases, digits, enlarge
from labapp.imagesets.downloads import Pictures, fetch

CANVASES = {"train": 5000, "test": 1000}  # of cluttered-digits
DIGITS = tuple("0123456789")
MIRRORED = ("cifar10", "cifar100", "fashion-mnist", "stl10", "folder")  # a mirrored digit is another sign, or none
MEASURED = 1000  # images of a folder on which its mean and deviation are measured


class ImageSet(Dataset[tuple[Tensor, int]], ABC):
    """Images with labels. `mean` and `std` are per channel, of images scaled to 0 … 1."""

    def __init__(self, name: str, labels: Tensor, classes: tuple[str, ...], shape: tuple[int, int]) -> None:
        self.name = name
        self.labels = labels
        self.classes = classes
        self.num_classes = len(classes)
        self.channels, self.image_size = shape
        self.augmented = False
        self.mean, self.std = (0.0,) * self.channels, (1.0,) * self.channels

    @abstractmethod
    def pixels(self, indices: Tensor) -> Tensor:
        """The images as they are, uint8 (B, C, H, W)."""

    @abstractmethod
    def keep(self, indices: Tensor) -> None:
        """Forget all images but these."""

    def mask(self, index: int) -> NDArray[np.bool_] | None:
        """Where the labelled thing is, (H, W); None where the set does not know."""
        return None

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels as float32 with the training set's mean at 0 and its deviation at 1, by channel."""
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std

    def prepare(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What the net sees of these pixels: normalised and, if the set is, augmented by `generator`."""
        images = self.normalise(pixels)
        if not self.augmented:
            return images
        return augment(images, mirror=self.name in MIRRORED, generator=generator)

    def batch(self, indices: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Images as the net sees them, float32 (B, C, H, W), and labels, int64 (B,)."""
        return self.prepare(self.pixels(indices), generator), self.labels[indices]

    def raw(self, index: int) -> NDArray[np.uint8]:
        """One image to show, uint8 (H, W, 3)."""
        pixels = self.pixels(torch.tensor([index]))[0]
        return pixels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        images, labels = self.batch(torch.tensor([index]))
        return images[0], int(labels[0])


class MemorySet(ImageSet):
    """Images held in memory, as bytes."""

    def __init__(self, name: str, pictures: Pictures, masks: NDArray[np.bool_] | None = None) -> None:
        super().__init__(name, pictures.labels, pictures.classes, tuple(pictures.images.shape[1:3]))  # type: ignore[arg-type]
        self.images = pictures.images
        self.masks = masks  # (N, H, W)

    def pixels(self, indices: Tensor) -> Tensor:
        """The images as they are, uint8 (B, C, H, W)."""
        return self.images[indices]

    def keep(self, indices: Tensor) -> None:
        """Forget all images but these."""
        self.images, self.labels = self.images[indices], self.labels[indices]
        self.masks = None if self.masks is None else self.masks[indices.numpy()]

    def mask(self, index: int) -> NDArray[np.bool_] | None:
        """Where the digit is, (H, W); None where the set does not know."""
        return None if self.masks is None else self.masks[index]

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All images, normalised and never augmented, float32 (N, C, H, W), and their labels."""
        return self.normalise(self.images), self.labels


class FolderSet(ImageSet):
    """Image files, one folder a class, read when asked for: shorter side to `size` pixels, then the middle square."""

    def __init__(self, folder: Path, size: int) -> None:
        from torchvision.datasets import ImageFolder

        try:
            found = ImageFolder(str(folder))
        except (OSError, RuntimeError) as error:  # FileNotFoundError: no class folder, or one without an image
            raise LabError(
                f"no images by class under {folder.absolute()}; an image folder holds train/<class>/*.png and "
                "test/<class>/*.png"
            ) from error
        self.files = [path for path, _ in found.samples]
        super().__init__("folder", torch.tensor(found.targets), tuple(found.classes), (3, size))

    def pixels(self, indices: Tensor) -> Tensor:
        """The images as they are, uint8 (B, C, H, W), read from their files."""
        return torch.stack([self._read(self.files[index]) for index in indices.tolist()])

    def keep(self, indices: Tensor) -> None:
        """Forget all images but these."""
        self.files, self.labels = [self.files[index] for index in indices.tolist()], self.labels[indices]

    def _read(self, file: str) -> Tensor:
        from PIL import Image
        from torchvision.transforms.v2 import functional

        try:
            with Image.open(file) as opened:
                image = opened.convert("RGB")
        except OSError as error:
            raise LabError(f"{file} is no image that can be read; remove it or replace it") from error
        size = self.image_size
        return functional.pil_to_tensor(functional.center_crop(functional.resize(image, [size]), [size, size]))


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
    return load(
        experiment.imageset,
        split=split,
        data=experiment.data or "data",
        image_size=experiment.image_size,
        augment=bool(experiment.augment) and split == "train",
        limit=experiment.train_images if split == "train" else experiment.test_images,
    )


def augment(images: Tensor, *, mirror: bool, generator: torch.Generator | None = None) -> Tensor:
    """Each image (B, C, H, W) shifted by up to a pad of 4 (an eighth of larger ones) and, one in two, mirrored.

    He et al. 2015, §4.2: a crop from the zero-padded image or its mirror image. Zero is the mean of normalised images.
    """
    count, _, height, width = images.shape
    pad = max(4, width // 8)
    top, left = torch.randint(0, 2 * pad + 1, (2, count, 1), generator=generator)
    rows, columns = top + torch.arange(height), left + torch.arange(width)  # (B, H), (B, W)
    if mirror:
        turned = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(turned, columns.flip(1), columns)
    padded = F.pad(images, (pad, pad, pad, pad)).permute(0, 2, 3, 1)
    which = torch.arange(count)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def _open(split: str, name: str, data: str, size: int | None, seed: int) -> ImageSet:
    if name == "folder":
        return _folder(split, Path(data), size or 32)
    return MemorySet(name, *_pictures(split, name, data, size, seed))


def _folder(split: str, data: Path, size: int) -> FolderSet:
    images = FolderSet(data / split, size)
    if split == "test" and images.classes != (known := FolderSet(data / "train", size).classes):
        raise LabError(
            f"the folders under {data / split} are {listed(images.classes)}, those under {data / 'train'} are "
            f"{listed(known)}; both need the same classes"
        )
    return images


@functools.lru_cache(maxsize=4)  # both splits of two sets; CIFAR-10 takes 184 MB
def _pictures(
    split: str, name: str, data: str, size: int | None, seed: int
) -> tuple[Pictures, NDArray[np.bool_] | None]:
    if name == "cluttered-digits":
        made = canvases(split, CANVASES[split], size=size or 24, seed=seed)
        images = torch.from_numpy(made.images).permute(0, 3, 1, 2).contiguous()
        return Pictures(images, torch.from_numpy(made.labels), DIGITS), made.masks
    if name == "digits":
        ink, labels = digits(split)
        images = torch.from_numpy(enlarge(ink, size or 16).astype(np.uint8))[:, None]
        return Pictures(images, torch.from_numpy(labels), DIGITS), None
    pictures = fetch(name, split, Path(data))
    if size is not None and size != pictures.images.shape[-1]:
        from torchvision.transforms.v2 import functional

        pictures = pictures._replace(images=functional.resize(pictures.images, [size, size], antialias=True))
    return pictures, None


@functools.lru_cache(maxsize=16)
def _measure(name: str, data: str, size: int | None, seed: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation by channel of the training images scaled to 0 … 1: counted grey levels, so exact."""
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
