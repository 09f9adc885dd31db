"""What is one measured value, its interval, and the reason where there is none?"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from labapp.config import LabError

ROUNDING = 8  # times the dtype's eps: features that differ by less, relatively, do not differ


class Measured(NamedTuple):
    """A value with its 95 % interval. NaN stands for what could not be measured, and `note` says why."""

    value: float
    low: float = math.nan
    high: float = math.nan
    note: str = ""

    def __float__(self) -> float:
        return self.value


def missing(why: str) -> Measured:
    """No value, and the reason."""
    return Measured(math.nan, note=why)


def usable(features: Tensor, least: int) -> tuple[Tensor, str]:
    """Features as a matrix (N, D) in float64, and what keeps them from being measured, "" if nothing does.

    Args:
        features: (N, …) one row an image; further dimensions are laid flat.
        least: Images that the quantity needs.

    Raises:
        LabError: If these are no features at all.
    """
    if features.dim() < 2 or not features.shape[0]:
        raise LabError(
            f"features have the shape {tuple(features.shape)}; give one row an image and one column a feature"
        )
    rows = features.detach().flatten(1).double()
    broken = int((~torch.isfinite(rows).all(1)).sum())
    if broken:
        return rows, f"{broken} of {len(rows)} images have features that are not finite"
    if len(rows) < least:
        return rows, f"{len(rows)} images; this needs at least {least}"
    if constant(features.detach().flatten(1)):
        silent = bool((rows == 0).all())
        return rows, "the layer is silent: all its features are 0" if silent else "all images have the same features"
    return rows, ""


def constant(rows: Tensor) -> bool:
    """Whether rows (N, D) differ by no more than the rounding of their dtype."""
    wide = rows.double()
    spread = (wide - wide.mean(0)).square().sum()
    return bool(spread <= (ROUNDING * torch.finfo(rows.dtype).eps) ** 2 * wide.square().sum())


def labels_of(labels: Tensor, images: int) -> Tensor:
    """Labels as (N,) whole numbers.

    Raises:
        LabError: If they do not fit the images.
    """
    if labels.dim() != 1 or len(labels) != images:
        raise LabError(f"{images} images have labels of the shape {tuple(labels.shape)}; give one class an image")
    if labels.is_floating_point():
        raise LabError("labels are floating-point numbers; give the numbers of the classes as integers")
    return labels.detach().cpu().long()
