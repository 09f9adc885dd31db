"""What is a set of labelled images, in memory or in files?

A batch becomes float32 when it is taken: divided by 255 and normalised by channel with the set's mean and standard
deviation, then, if the set is augmented, cropped at random after padding and mirrored where a mirror image still shows
the same thing.
"""

import os
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from labapp.config import LabError
from labapp.imagesets.augmentation import MIRRORED, augment
from labapp.imagesets.downloads import LabelledImages

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # whatever the name says; EPS would run a program
MOST_PIXELS = 50_000_000  # of a file, 150 MB in memory


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

    def label_maps(self, indices: Tensor) -> Tensor:
        """Which class each pixel shows, int64 (B, H, W): 1 + the label where the labelled thing is, 0 elsewhere.

        Raises:
            LabError: If the set does not know where things are, or is augmented, since that moves images alone.
        """
        if self.augmented:
            raise LabError("augmented images are shifted and mirrored, their masks are not; load them without augment")
        masks = [self.mask(index) for index in indices.tolist()]
        known = [mask for mask in masks if mask is not None]
        if len(known) < len(masks):
            raise LabError(
                f"{self.name} does not know where in an image its class is seen, so pixels have no classes; "
                "cluttered-digits does"
            )
        here = torch.from_numpy(np.array(known, bool).reshape(-1, self.image_size, self.image_size))
        return here * (1 + self.labels[indices])[:, None, None]

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels as float32, by channel minus the training set's mean and over its standard deviation."""
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std

    def prepare(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Pixels as the net sees them: normalised and, if the set is augmented, shifted and mirrored by `generator`."""
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

    def __init__(self, name: str, given: LabelledImages, masks: NDArray[np.bool_] | None = None) -> None:
        super().__init__(name, given.labels, given.classes, tuple(given.images.shape[1:3]))  # type: ignore[arg-type]
        self.images = given.images
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
    """Image files, one folder a class, read when asked for; shorter side scaled to `size`, centre-cropped."""

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
        _stay_inside(self.files, folder.parent)
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
            with Image.open(file, formats=FORMATS) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                image = opened.convert("RGB")
        except Image.DecompressionBombError:
            raise LabError(
                f"{file} has more than {MOST_PIXELS // 10**6} million pixels; make it smaller or remove it"
            ) from None
        except (OSError, SyntaxError, ValueError) as error:  # what decoders of broken files raise
            raise LabError(f"{file} is no image that can be read; remove it or replace it") from error
        size = self.image_size
        return functional.pil_to_tensor(functional.center_crop(functional.resize(image, [size]), [size, size]))


def _stay_inside(files: list[str], folder: Path) -> None:
    """Refuse files that are links to somewhere else; a folder as a whole may be a link."""
    inside = folder.resolve()
    links = [file for file in files if Path(file).is_symlink()]
    for place in {*links, *(os.path.dirname(file) for file in files)}:  # noqa: PTH120 - a set of 100,000 is common
        if not (there := Path(place).resolve()).is_relative_to(inside):
            raise LabError(f"{place} is a link to {there}, out of the image folder {folder}; copy what it links to")
