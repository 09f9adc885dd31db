"""In which order do images come, and whence comes the chance in it?

Every draw has a generator of its own, made anew from the experiment's seed, the draw's name and its number: the order
of epoch 3 depends on nothing but ("order", 3), the shifts and mirrors of step 70 on ("augmentation", 70). So nets of
different size see the same images in the same order, and a training can be taken up in the middle.
"""

import itertools
import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from labapp.config import LabError
from labapp.imagesets import ImageSet, MemorySet

Batch = tuple[Tensor, Tensor]  # images (B, C, H, W), labels (B,)


def seed_of(seed: int, name: str, number: int = 0) -> int:
    """The seed of one draw, 63 bits; those of two names or numbers have nothing to do with each other."""
    words = np.random.SeedSequence([seed, number, *name.encode()]).generate_state(2, np.uint32)
    return int(words[0]) << 31 ^ int(words[1])


def generator(seed: int, name: str, number: int = 0) -> torch.Generator:
    """A generator for one draw."""
    return torch.Generator().manual_seed(seed_of(seed, name, number))


def order(count: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Which images each step takes, without end: every epoch a new permutation, its incomplete last batch left out."""
    if batch_size > count:
        raise LabError(f"a batch of {batch_size} is more than the {count} training images; take a smaller batch_size")
    for epoch in itertools.count():
        shuffled = torch.randperm(count, generator=generator(seed, "order", epoch))
        yield from shuffled[: count - count % batch_size].split(batch_size)


def batches(images: ImageSet, batch_size: int, seed: int, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
    """Batches for training, without end.

    Args:
        images: A training set, augmented or not.
        batch_size: Images of a step, over all processes.
        seed: The experiment's.
        share: Which process of how many this is; together they see what one would.
    """
    rank, processes = share
    mine = (indices[rank::processes] for indices in order(len(images), batch_size, seed))
    for step, (pixels, labels) in enumerate(_pixels(images, mine, seed)):
        yield images.prepare(pixels, generator(seed, "augmentation", step * processes + rank)), labels


def in_turn(images: ImageSet, limit: int | None = None, batch_size: int = 250) -> Iterator[Batch]:
    """All images, or the first ones, once, in the order of the set and never augmented."""
    count = min(len(images), limit or len(images))
    for pixels, labels in _pixels(images, iter(torch.arange(count).split(batch_size)), 0):
        yield images.normalise(pixels), labels


def _pixels(images: ImageSet, wanted: Iterator[Tensor], seed: int) -> Iterator[Batch]:
    """The bytes that are wanted: picked out of memory, or read ahead by other processes."""
    if isinstance(images, MemorySet):
        return ((images.pixels(indices), images.labels[indices]) for indices in wanted)
    # The loader draws a seed for its workers, although nothing random happens in them: not from the global generator.
    loader = DataLoader(
        _Files(images),
        sampler=_Wanted(wanted),
        batch_size=None,
        num_workers=min(4, os.cpu_count() or 1),
        generator=generator(seed, "workers"),
    )
    return iter(loader)


class _Files(Dataset[Batch]):
    """A set as DataLoader wants it: an index is a tensor of indices, an item a batch."""

    def __init__(self, images: ImageSet) -> None:
        self.images = images

    def __getitem__(self, indices: Tensor) -> Batch:
        return self.images.pixels(indices), self.images.labels[indices]


class _Wanted:
    """A sampler without a length."""

    def __init__(self, wanted: Iterator[Tensor]) -> None:
        self.wanted = wanted

    def __iter__(self) -> Iterator[Tensor]:
        return self.wanted
