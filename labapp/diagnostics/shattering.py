"""How similar are the gradients of two examples, layer by layer?

    gradient_cosine(model, images)                     # layer, depth, cosine between examples
    gradient_autocorrelation(model, image, other)      # layer, depth, lag: along a line of inputs

Balduzzi et al. 2017, *The Shattered Gradients Problem* (arXiv 1702.08591): in a deep plain net the gradient as a
function of the input comes to look like white noise, in a residual net much more slowly. With s_i a class score of
example i and g_i = ∂s_i/∂h_l(i) its gradient at the output h_l of a layer (all channels and positions as one vector):

* cosine between examples: the mean over pairs i ≠ j of ⟨g_i, g_j⟩ / (‖g_i‖ ‖g_j‖). For He's ReLU net on orthogonal
  inputs it is Π κ₀(ρ_l), 0.105 behind 5 layers and 0.0337 behind 10 (`labapp.frames.theory.gradient_cosine`): like L⁻³.
* autocorrelation along a line: for inputs x_t at equal steps from one image to another and g_t centred over t,
  Σ_t ⟨g_t, g_{t+τ}⟩ / Σ_t ‖g_t‖² (their §2, Fig. 2). White noise has 0 from lag 1 on; in a linear net the gradient is
  constant and nothing is left to correlate: NaN.

Batch norm: both speak of the net as a function of one example, so its statistics are constants: the running ones, or
with `train` those of the batch, held fixed (`labapp.diagnostics.measuring.batch_statistics`). Gradients that pass
through the batch's statistics belong to the batch: they sum to zero over it in front of every norm, and a plain net of
8 layers at He's initialisation then has a cosine of 0.03 at its last convolution, where its examples have 0.58. In
Balduzzi's analysis (§3) batch norm is a division by a constant, as here; where figures of nets with batch norm come
from a backward pass in training mode, the coupling of the batch is in them.

Depth 0 is the image itself. Unit: none, between −1 and 1. Invariances: none changes when a score or a layer is scaled,
or when a layer's output is rotated together with the weights behind it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from labapp.config import LabError
from labapp.diagnostics.measuring.batch_statistics import held_statistics
from labapp.diagnostics.measuring.conditions import require_finite_weights, require_images
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.recording.hooks import Hooks
from labapp.recording.places import LayerSelection, choose, find_layers

COSINE_COLUMNS = ("layer", "kind", "depth", "cosine", "deviation", "examples", "reason")
LINE_COLUMNS = ("layer", "kind", "depth", "lag", "distance", "autocorrelation", "points", "reason")
INPUT = "input"


def gradient_cosine(
    model: nn.Module,
    images: Tensor,
    layers: LayerSelection = "conv",
    *,
    target: int = 0,
    train: bool = False,
) -> pd.DataFrame:
    r"""The cosine between the gradients of different examples, at the image and at each layer.

    Args:
        model: Any net from images to class scores.
        images: (N, C, H, W), N ≥ 2.
        layers: A kind (conv, linear, norm, activation, block, pool), a glob on the path, several of these, or
            `predicate(path, module)`.
        target: The class whose score is asked; the same for all examples.
        train: Batch norm with the statistics of these images, held fixed, in place of the running ones.

    Returns:
        One row a layer, the input first: layer, kind, depth, cosine (mean over pairs), deviation (between pairs, NaN
        for one pair), examples (with a gradient), reason (why there is no number, else "").

    Method:
        Meaning: Whether the gradients of two images agree, or look like white noise to each other.
        Formula: Mean over pairs of $\dfrac{\langle g_i, g_j \rangle}{\lVert g_i \rVert \, \lVert g_j \rVert}$, $g_i =
            \partial s_i / \partial h_l(i)$ the gradient of a class score.
        Source: Balduzzi et al. 2017 (arXiv 1702.08591), §2; of He's ReLU net it is Π κ₀(ρ), see the theory.
        Batch norm: Statistics are constants: the running ones, before training those of the images, held fixed. Passing
            through them would couple the images.
        Sampling: At most 32 test images, all pairs; every convolution.
        Fails: Of one class's score; images of a class agree more than others. NaN where fewer than two images have a
            gradient.
    """
    found = _gradients(model, require_images(images, at_least=2), layers, target, train)
    rows = []
    for layer, kind, depth, gradients in found:
        cosine, deviation, examples = mean_cosine(gradients)
        reason = "" if examples >= 2 else "fewer than two examples have a gradient here"
        rows.append((layer, kind, depth, cosine, deviation, examples, reason))
    return pd.DataFrame(rows, columns=list(COSINE_COLUMNS))


def mean_cosine(gradients: Tensor) -> tuple[float, float, int]:
    """Mean and deviation of the cosine over all pairs of rows (N, D), and how many rows are neither zero nor NaN."""
    norms = gradients.norm(dim=1)
    used = gradients[(norms > 0) & torch.isfinite(norms)]
    if len(used) < 2:
        return math.nan, math.nan, len(used)
    unit = used / used.norm(dim=1, keepdim=True)
    cosines = (unit @ unit.T)[*np.triu_indices(len(used), 1)]
    return cosines.mean().item(), cosines.std().item() if len(cosines) > 1 else math.nan, len(used)


def gradient_autocorrelation(
    model: nn.Module,
    image: Tensor,
    other: Tensor,
    layers: LayerSelection = "block",
    *,
    points: int = 128,
    lags: int = 32,
    target: int = 0,
    train: bool = False,
) -> pd.DataFrame:
    r"""The autocorrelation of the gradient along the straight line from one image to another.

    Args:
        model: Any net from images to class scores.
        image: (C, H, W), where the line starts.
        other: (C, H, W), where it ends.
        layers: As in `gradient_cosine`.
        points: Inputs on the line, at equal steps.
        lags: Largest lag, below `points`.
        target: The class whose score is asked.
        train: Batch norm with the statistics of the points, held fixed, in place of the running ones.

    Returns:
        One row a layer and lag: layer, kind, depth, lag (steps), distance (share of the line), autocorrelation, points,
        reason (why there is no number, else "").

    Method:
        Meaning: How fast the gradient changes on the way from one image to another.
        Formula: $\dfrac{\sum_t \langle g_t, g_{t+\tau} \rangle}{\sum_t \lVert g_t \rVert^2}$ of centred gradients at
            equal steps along the line.
        Source: Balduzzi et al. 2017 (arXiv 1702.08591), §2 and Fig. 2.
        Batch norm: Statistics are constants: the running ones, before training those of the points, held fixed.
        Sampling: 64 points between the first two probe images; lags up to 24.
        Fails: One line of one pair of images; in a linear net nothing is left to correlate: NaN.
    """
    if image.shape != other.shape or image.ndim != 3:
        raise LabError(
            f"the line joins two images (C, H, W) of one shape, not {tuple(image.shape)} and {tuple(other.shape)}"
        )
    if not 0 < lags < points:
        raise LabError(f"lags must be from 1 to points − 1 = {points - 1}, not {lags}")
    share = torch.linspace(0, 1, points, dtype=image.dtype, device=image.device)[:, None, None, None]
    line = require_images(image + share * (other - image))
    if torch.equal(image, other):
        raise LabError("the two images are equal, so there is no line between them")
    rows = []
    for layer, kind, depth, gradients in _gradients(model, line, layers, target, train):
        values = autocorrelation(gradients, lags)
        reason = "" if np.isfinite(values).all() else "the gradient does not change along the line, or is not finite"
        rows += [
            (layer, kind, depth, lag, lag / (points - 1), value, points, reason) for lag, value in enumerate(values)
        ]
    return pd.DataFrame(rows, columns=list(LINE_COLUMNS))


def autocorrelation(series: Tensor, lags: int) -> np.ndarray:
    """Of a series of vectors (T, D) at lags 0 … `lags`, (lags + 1,); NaN where the series is constant."""
    if not torch.isfinite(series).all():
        return np.full(lags + 1, math.nan)
    centred = series.double() - series.double().mean(0)
    total = centred.square().sum().item()
    # what rounding leaves of a constant series is no signal
    rounding = torch.finfo(series.dtype).eps * series.double().square().sum().item() ** 0.5
    if total <= (8 * rounding) ** 2:
        return np.full(lags + 1, math.nan)
    return np.array([(centred[: len(centred) - lag] * centred[lag:]).sum().item() / total for lag in range(lags + 1)])


def _gradients(
    model: nn.Module, images: Tensor, layers: LayerSelection, target: int, train: bool
) -> list[tuple[str, str, int, Tensor]]:
    """Layer, kind, depth and gradients (N, D) of the class score, of the input and of each layer that took part."""
    require_finite_weights(model)
    spots = {spot.path: spot for spot in find_layers(model)}
    chosen = choose(list(spots.values()), layers)
    edges: dict[str, GradientEdge] = {}

    def listen(path: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad and len(output) == len(images):
            calls = sum(name.partition("#")[0] == path for name in edges)
            edges[path if not calls else f"{path}#{calls + 1}"] = get_gradient_edge(output)

    with undisturbed(model), held_statistics(model, images, train):
        x = images.clone().requires_grad_()
        with Hooks() as hooks:
            for path in chosen:
                hooks.after(spots[path].module, partial(listen, path))
            scores = model(x.clone())
        if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(images):
            raise LabError("the net does not return class scores (N, classes)")
        if not 0 <= target < scores.shape[1]:
            raise LabError(f"class {target} is out of range: this net has {scores.shape[1]} classes")
        score = scores[:, target].sum()
        if not score.requires_grad:
            raise LabError("no gradient can be taken: the net detaches its scores from the images")
        found = torch.autograd.grad(score, [get_gradient_edge(x), *edges.values()], allow_unused=True)
    names = [INPUT, *edges]
    rows = []
    for number, (name, gradient) in enumerate(zip(names, found, strict=True)):
        if gradient is None:
            continue
        spot = spots.get(name.partition("#")[0])
        depth = 0 if spot is None else spot.depth if spot.depth is not None else number
        rows.append((name, "input" if spot is None else spot.kind, depth, gradient.flatten(1)))
    return rows
