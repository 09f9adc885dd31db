r"""How does the loss change around the trained weights, in a random plane of weight space?

    loss_surface(model, images, labels)                # α and β from −1 to 1, 21 each

L(θ + α δ + β η), with δ and η random, so that only a plane is seen of what has millions of dimensions (Li, Xu, Taylor,
Studer, Goldstein 2018, *Visualizing the Loss Landscape of Neural Nets*, arXiv 1712.09913, eq. 1). Each filter of a
direction has the length of the net's own filter (§4), δ_ij ← δ_ij / ‖δ_ij‖ · ‖θ_ij‖: at α = 1 every filter has moved
as far as it is long. Else a net with small weights would look steep and one with large weights flat, though both
compute the same.

As in the authors' code a row of a linear layer is a filter, and biases and what normalisations learn do not move: they
have fewer than two axes, or their module is a norm. All other weights do, by their first axis; one that is computed
from others (weight norm, spectral norm) moves with those. Batch norms keep the running statistics that belong to θ, so
away from it they no longer fit: that is a part of what a plane shows.

Unit: loss in nats, accuracy a share; α and β are shares of each filter's length. Invariances: the surface stays as it
is when a layer of a ReLU net is multiplied by c and the next one divided by it, and when any filter in front of a batch
norm (with its statistics) is multiplied by c, for then its direction is too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvTransposeNd

from labapp.config import LabError
from labapp.diagnostics.measuring.batch_statistics import held_statistics
from labapp.diagnostics.measuring.conditions import (
    labelled_batches,
    require_classes,
    require_finite_weights,
    require_labelled,
)
from labapp.diagnostics.measuring.copies import copied
from labapp.diagnostics.measuring.outputs import device_of
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.recording.places import kind_of

COLUMNS = ("alpha", "beta", "loss", "accuracy", "images", "classes", "seed")
Loss = Callable[[Tensor, Tensor], Tensor]  # scores (N, classes) and labels (N,) to their mean loss


def loss_surface(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    points: int = 21,
    reach: float = 1.0,
    loss: Loss | None = None,
    train: bool = False,
    seed: int = 0,
    batch_size: int = 128,
    progress: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    r"""Loss and accuracy on a square grid around the weights; costs points² forward passes of the images.

    Args:
        model: Any net that gives class scores. A copy of it is moved, the net itself is not.
        images: (N, C, H, W), normalised.
        labels: (N,).
        points: Of each axis; odd, so that the net itself is one.
        reach: α and β go from −reach to reach.
        loss: Of a batch; cross-entropy when left out.
        train: Whether batch norms have the statistics of these images, as before training, when they have gathered
            none; these are held fixed over the plane too.
        seed: Of both directions; torch's own random numbers are not used.
        batch_size: Images at a time.
        progress: Told the share that is done.

    Returns:
        One row a point: alpha, beta, loss (mean, nats), accuracy, images, classes, seed. A loss that is not finite
        stands there as it is.

    Raises:
        LabError: If the net has no weights that could move, or some that are not finite; or for a grid that is none.

    Method:
        Meaning: How the loss changes around the trained weights, in a plane of two random directions whose filters
            are as long as the net's own.
        Formula: $L(\theta + \alpha \delta + \beta \eta)$ with $\delta_{ij} \gets \delta_{ij} / \lVert
            \delta_{ij} \rVert \cdot \lVert \theta_{ij} \rVert$ for filter j of layer i; biases and norms do not move.
        Source: Li et al. 2018 (arXiv 1712.09913), eq. 1 and §4.
        Batch norm: Running statistics of the net itself, which are not made anew at other points of the plane.
        Sampling: 21 × 21 points on at most 64 test images, which are 441 passes forward; two directions of one seed,
            the same draw for every net of one shape.
        Fails: A random plane says little of other directions, and a surface of few images little of all. Away from
            the net running statistics no longer fit: of a net of 56 layers most of the rise at the edges is theirs.
    """
    images, labels = require_labelled(images, labels)
    axis = _axis(points, reach)
    require_finite_weights(model)
    twin = copied(model)
    first, second = filter_directions(twin, seed), filter_directions(twin, seed, number=1)
    device = device_of(twin)
    images, labels = images.to(device), labels.to(device)
    rows = []
    with undisturbed(twin), torch.no_grad(), held_statistics(twin, images, train):
        weights = {name: weight for name, weight in twin.named_parameters() if name in first}
        origin = {name: weight.clone() for name, weight in weights.items()}
        for alpha in axis:
            moved = {name: origin[name] + alpha * direction for name, direction in first.items()}
            for beta in axis:
                for name, weight in weights.items():
                    weight.copy_(torch.add(moved[name], second[name], alpha=beta))
                rows.append([alpha, beta, *_score(twin, images, labels, loss, batch_size), seed])
                if progress:
                    progress(len(rows) / len(axis) ** 2)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def filter_directions(model: nn.Module, seed: int = 0, number: int = 0) -> dict[str, Tensor]:
    """A random direction in which each filter has the length of the net's own, by the names of the weights that move.

    Args:
        model: Any net.
        seed: Of the directions.
        number: Which of them; the draw depends on the shapes of the weights alone.

    Raises:
        LabError: If no weight moves.
    """
    generator = torch.Generator().manual_seed(seed)
    filters = list(_filters(model))
    if not filters:
        raise LabError(
            f"this {type(model).__name__} has no weights that could move: none has two axes or more and is no norm's"
        )
    found = {}
    for draw in range(number + 1):
        for name, weight, groups in filters:
            random = torch.randn(weight.shape, generator=generator)
            if draw == number:
                wide = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
                ours, theirs = _lengths(wide, groups), _lengths(random.to(wide), groups)
                found[name] = random.to(wide) * torch.where(theirs > 0, ours / theirs, 0.0)
    return found


def _filters(model: nn.Module) -> Iterator[tuple[str, Tensor, int]]:
    """The weights that move: name, weight, and of a transposed convolution its groups, else 0."""
    owners = {id(weight): module for module in model.modules() for weight in module.parameters(recurse=False)}
    for name, weight in model.named_parameters():
        module = owners[id(weight)]
        if weight.dim() > 1 and weight.is_floating_point() and kind_of(module) != "norm":
            yield name, weight, module.groups if isinstance(module, _ConvTransposeNd) else 0


def _lengths(weight: Tensor, groups: int) -> Tensor:
    """‖w‖ of the filter that each entry belongs to, to be broadcast; filters lie along the first axis.

    In a transposed convolution, (in, out / groups, …), they lie along the second one of each group.
    """
    if not groups:
        return weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.dim() - 1))
    parts = weight.reshape(groups, -1, weight.shape[1], math.prod(weight.shape[2:]))  # (groups, in, out, taps)
    return parts.norm(dim=(1, 3), keepdim=True).expand_as(parts).reshape(weight.shape)


def _axis(points: int, reach: float) -> list[float]:
    """From −reach over exactly 0 to reach."""
    if points < 3 or points % 2 == 0:
        raise LabError(f"points is an odd number from 3 on, so that the net itself is in the middle, not {points}")
    if not (math.isfinite(reach) and reach > 0):
        raise LabError(f"reach is how far to go in lengths of filters, above 0, not {reach}")
    half = points // 2
    return [float(reach * step / half) for step in np.arange(-half, half + 1)]


def _score(
    model: nn.Module, images: Tensor, labels: Tensor, loss: Loss | None, batch_size: int
) -> tuple[float, float, int, int]:
    """Mean loss, accuracy, images and classes."""
    total = right = 0.0
    classes = 0
    for x, y in labelled_batches(images, labels, batch_size):
        scores = model(x)
        require_classes(scores, y)
        classes = scores.shape[1]
        total += len(x) * float((loss or F.cross_entropy)(scores.double(), y))
        right += (scores.argmax(1) == y).sum().item()
    return total / len(images), right / len(images), len(images), classes
