"""In which order do images come, and what is drawn at random for them?

Every draw has a generator of its own, made anew from the experiment's seed, the draw's name and its number: the order
of epoch 3 depends on nothing but ("order", 3), the shifts and mirrors of step 70 on ("augmentation", 70). So nets of
different size see the same images in the same order, and a training can be taken up in the middle.
"""

import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from labapp.config import LabError
from labapp.imagesets import ImageSet, MemorySet

LabelledBatch = tuple[Tensor, Tensor]  # images (B, C, H, W), labels (B,)
READERS = min(4, os.cpu_count() or 1)  # threads that read files


def seed_of(seed: int, name: str, number: int = 0) -> int:
    """The seed of one draw, 63 bits; draws of different names or numbers are independent."""
    words = np.random.SeedSequence([seed, number, *name.encode()]).generate_state(2, np.uint32)
    return int(words[0]) << 31 ^ int(words[1])


def generator(seed: int, name: str, number: int = 0) -> torch.Generator:
    """A generator for one draw, seeded by `seed_of`."""
    return torch.Generator().manual_seed(seed_of(seed, name, number))


def order(count: int, batch_size: int, seed: int, first: int = 0) -> Iterator[Tensor]:
    """The indices (B,) of each step's images, without end: a new permutation every epoch, whole batches only.

    Args:
        count: Images of the set.
        batch_size: Images of a step.
        seed: The experiment's.
        first: The step to begin with.
    """
    if batch_size > count:
        raise LabError(f"a batch of {batch_size} is more than the {count} training images; take a smaller batch_size")
    whole = count - count % batch_size
    epoch, past = divmod(first, whole // batch_size)
    epochs = (torch.randperm(count, generator=generator(seed, "order", number)) for number in itertools.count(epoch))
    steps = (indices for shuffled in epochs for indices in shuffled[:whole].split(batch_size))
    return itertools.islice(steps, past, None)


def batches(
    images: ImageSet, batch_size: int, seed: int, share: tuple[int, int] = (0, 1), first: int = 0
) -> Iterator[LabelledBatch]:
    """Batches for training, without end.

    Args:
        images: A training set, augmented or not.
        batch_size: Images of a step, over all processes.
        seed: The experiment's.
        share: (rank, number of processes); together they see what one process would.
        first: The step to begin with.
    """
    rank, processes = share
    mine = (indices[rank::processes] for indices in order(len(images), batch_size, seed, first))
    drawn = itertools.count(first * processes + rank, processes)
    chance = (generator(seed, "augmentation", number) for number in drawn)
    taken = zip(_pixels(images, mine), chance, strict=False)
    return ((images.prepare(pixels, generator), labels) for (pixels, labels), generator in taken)


def in_turn(images: ImageSet, limit: int | None = None, batch_size: int = 250) -> Iterator[LabelledBatch]:
    """All images, or the first `limit`, once, in the order of the set and never augmented."""
    count = min(len(images), limit or len(images))
    for pixels, labels in _pixels(images, iter(torch.arange(count).split(batch_size))):
        yield images.normalise(pixels), labels


def _pixels(images: ImageSet, wanted: Iterator[Tensor]) -> Iterator[LabelledBatch]:
    """Pixels and labels of the wanted images: from memory when asked for, or from files some batches ahead."""
    if isinstance(images, MemorySet):
        return ((images.pixels(indices), images.labels[indices]) for indices in wanted)
    return _read_ahead(images, wanted)


def _read_ahead(images: ImageSet, wanted: Iterator[Tensor]) -> Iterator[LabelledBatch]:
    """Read files while the net is learning.

    By threads, where DataLoader would take processes: Pillow lets go of the interpreter's lock while it decodes, and
    threads start at once, need no pickling and draw no seeds.
    """
    with ThreadPoolExecutor(READERS, thread_name_prefix="labapp-reader") as pool:
        ahead = ((pool.submit(images.pixels, indices), images.labels[indices]) for indices in wanted)
        waiting = deque(itertools.islice(ahead, 2 * READERS))
        try:
            while waiting:
                pixels, labels = waiting.popleft()
                yield pixels.result(), labels
                waiting.extend(itertools.islice(ahead, 1))
        finally:
            for pixels, _ in waiting:
                pixels.cancel()
