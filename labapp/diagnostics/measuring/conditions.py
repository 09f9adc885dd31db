"""Can anything be measured on this net with these images?

A diagnostic says in one sentence why not, and never answers with a wrong number.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from labapp.config import LabError


def require_finite_weights(model: nn.Module) -> None:
    """Refuse a net whose training ended in NaN or infinity."""
    for path, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise LabError(
                f"'{path}' of this net holds NaN or infinity; nothing can be measured on it, take another step"
            )


def require_images(images: object, *, at_least: int = 1) -> Tensor:
    """Images (N, C, H, W) with N ≥ `at_least`; anything else is refused."""
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        raise LabError(f"images are normalised floats (N, C, H, W), not {_what(images)}")
    if len(images) < at_least:
        raise LabError(f"this needs {at_least} images at least, not {len(images)}")
    if not torch.isfinite(images).all():
        raise LabError("the images hold NaN or infinity; give normalised ones")
    return images


def require_labelled(images: object, labels: object, *, at_least: int = 1) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) and their classes (N,) with N ≥ `at_least`; anything else is refused."""
    images = require_images(images, at_least=at_least)
    if not isinstance(labels, Tensor) or labels.shape != (len(images),) or labels.is_floating_point():
        raise LabError(f"labels are one class an image, integers ({len(images)},), not {_what(labels)}")
    return images, labels


def _what(given: object) -> str:
    return f"{given.dtype} {tuple(given.shape)}" if isinstance(given, Tensor) else f"a {type(given).__name__}"


def require_classes(scores: object, labels: Tensor) -> None:
    """Refuse labels that the net has no score for."""
    if not isinstance(scores, Tensor) or scores.ndim != 2:
        what = tuple(scores.shape) if isinstance(scores, Tensor) else _what(scores)
        raise LabError(f"the net returns {what}, not class scores (N, classes)")
    if int(labels.min()) < 0 or int(labels.max()) >= scores.shape[1]:
        raise LabError(
            f"the net has {scores.shape[1]} classes, but the labels run from {labels.min()} to {labels.max()}"
        )


def images_mix(model: nn.Module) -> str:
    """Why one image's scores depend on the others that it is shown with, in a sentence; "" where they do not."""
    for path, module in model.named_modules():
        if isinstance(module, _NormBase) and not isinstance(module, _InstanceNorm) and module.running_mean is None:
            return f"the batch norm '{path}' keeps no running statistics, so an image's scores depend on the others"
    return ""


def labelled_batches(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The images, `size` at a time."""
    yield from zip(images.split(size), labels.split(size), strict=True)
