"""Where do torchvision's image sets come from?

From their files under the data folder; if they are not there, from their authors' servers, by torchvision's own code,
which also checks the checksums. Without files and without a network: one sentence with the two ways out.
"""

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from labapp.config import READING, LabError, first_line, is_read_only

TIMEOUT = 30  # seconds without a byte


class Source(NamedTuple):
    """A set of torchvision: what it is called there, the files it is made of, how it names a split."""

    dataset: str
    files: str
    by_split: bool  # split="train"; otherwise train=True


SOURCES = {
    "cifar10": Source("CIFAR10", "cifar-10-python.tar.gz", by_split=False),
    "cifar100": Source("CIFAR100", "cifar-100-python.tar.gz", by_split=False),
    "mnist": Source("MNIST", "the four *-ubyte.gz files into MNIST/raw", by_split=False),
    "fashion-mnist": Source("FashionMNIST", "the four *-ubyte.gz files into FashionMNIST/raw", by_split=False),
    "svhn": Source("SVHN", "train_32x32.mat and test_32x32.mat", by_split=True),
    "stl10": Source("STL10", "stl10_binary.tar.gz", by_split=True),
}


class LabelledImages(NamedTuple):
    """One split of a set, in memory."""

    images: Tensor  # uint8 (N, C, H, W)
    labels: Tensor  # int64 (N,)
    classes: tuple[str, ...]


def fetch(name: str, split: str, data: Path) -> LabelledImages:
    """One split of a set from its files under `data`, which are downloaded if they are not there."""
    from torchvision import datasets

    source = SOURCES[name]
    make: Callable[..., Any] = getattr(datasets, source.dataset)
    which = {"split": split} if source.by_split else {"train": split == "train"}
    try:
        found = make(data, **which, download=False)
    except Exception:  # files that are missing, have another checksum, end too early or hold a pickle: of many kinds
        if is_read_only():
            raise LabError(
                f"{name} is not complete in {data.absolute()}, and {READING}, so it is not fetched"
            ) from None
        try:
            with _patient_network(), contextlib.redirect_stdout(sys.stderr):
                found = make(data, **which, download=True)
        except Exception as error:
            reason = first_line(error).split(". ")[0].rstrip(".")
            raise LabError(
                f"{name} is not complete in {data.absolute()} and could not be downloaded ({reason}); connect "
                f"to the internet and run this again, or put {source.files} into that folder"
            ) from error
    images, labels = torch.as_tensor(found.data), getattr(found, "targets", None)
    if images.ndim == 3:  # MNIST: (N, H, W)
        images = images[:, None]
    elif images.shape[-1] == 3:  # CIFAR: (N, H, W, C)
        images = images.permute(0, 3, 1, 2)
    labels = torch.as_tensor(found.labels if labels is None else labels).long()
    digits = tuple("0123456789")  # what SVHN leaves unsaid and MNIST says as "0 - zero"
    classes = digits if name == "mnist" else tuple(getattr(found, "classes", digits))
    return LabelledImages(images.contiguous(), labels, classes)


@contextlib.contextmanager
def _patient_network() -> Iterator[None]:
    """End a download that stands still for TIMEOUT seconds; torchvision itself would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
