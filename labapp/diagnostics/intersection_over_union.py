r"""How much of what shows a class, or is said to, is both?

With n_ij pixels of class i that are taken for class j, the intersection over union of class i is

    n_ii / (Σ_j n_ij + Σ_j n_ji − n_ii)

counted over all images together, and *mean IoU* its mean over classes: Long, Shelhamer & Darrell 2015, *Fully
Convolutional Networks* (arXiv 1411.4038), §5 ("mean IU").

From 0 to 1; unchanged when classes change names, images their order or all pixels are doubled. Of two classes of which
one is rare, a constant prediction has many pixels right and a mean IoU of at most a half: hence IoU, not accuracy.

Method:
    Meaning: How well a net says of each pixel what it shows.
    Formula: $n_{ii} \,/\, (\sum_j n_{ij} + \sum_j n_{ji} - n_{ii})$ of class i, n_ij pixels of class i taken for j; its
        mean over classes.
    Source: Long, Shelhamer & Darrell 2015, *Fully Convolutional Networks* (arXiv 1411.4038), §5.
    Batch norm: In evaluation mode, with running statistics.
    Sampling: All pixels of all test images of the run, together; a mean of the images' own values would be another.
    Fails: A constant prediction scores its class's share of the pixels over the number of classes, which is what a net
        must beat; classes are weighted alike, however rare.
    Command: python -m analysis.segmenting --out runs
"""

import torch
from torch import Tensor

from labapp.config import LabError


def confusion(predicted: Tensor, target: Tensor, classes: int) -> Tensor:
    """How many pixels of each class are taken for which, int64 (classes, classes): row the true one, column the other.

    Args:
        predicted: Classes, integers of any shape, such as (N, H, W).
        target: The true ones, of the same shape.
        classes: How many there are.

    Raises:
        LabError: If the shapes differ, or a class is none.
    """
    if predicted.shape != target.shape:
        raise LabError(
            f"{tuple(predicted.shape)} predictions cannot be compared with {tuple(target.shape)} targets; give one "
            "class a pixel, such as logits.argmax(1)"
        )
    for name, given in (("predictions", predicted), ("targets", target)):
        if given.is_floating_point() or (given.numel() and not 0 <= int(given.min()) <= int(given.max()) < classes):
            raise LabError(f"{name} must be whole numbers from 0 to {classes - 1}, one of {classes} classes each")
    pairs = target.flatten().long() * classes + predicted.flatten().long()
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def intersection_over_union(counts: Tensor) -> Tensor:
    """IoU of each class from `confusion`, float64 (classes,); NaN of a class that no pixel shows or is taken for."""
    both = counts.diagonal().double()
    either = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return (both / either).where(either > 0, torch.nan)


def mean_iou(counts: Tensor) -> float:
    """The mean over the classes that are seen or said; NaN where there is none."""
    return float(intersection_over_union(counts).nanmean())
