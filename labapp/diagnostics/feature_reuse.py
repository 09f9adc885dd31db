"""Which earlier features does a layer of a dense net really use?

    table = feature_reuse(model)                                    # block, source, target, value, kind
    scaled(table, "column maximum").pivot(...)                      # Huang et al. 2017, Fig. 5

In a dense net (Huang et al. 2017, arXiv 1608.06993, §5 *Feature Reuse* and Fig. 5) layer l reads the concatenation of
all maps before it, so each of its weights w belongs to one source s: to the block's input (s = 0) or to layer s. Cell
(s, l) is the mean, over those weights (channels of s, outputs and taps of l), of

* weights: |w|, as in Fig. 5;
* bn-folded: |w γ/√(σ² + ε)|, with γ and the running σ of the batch norm in front of the layer: per unit of the source;
* activation: |w| · E|a|, with a what arrives from the source, behind norm and activation: in units of l's output;
* gradient: |w · ∂L/∂w|, the first-order change of the mean cross-entropy L without w (Molchanov et al. 2017), in nats;
* ablation, which is no mean: the change of L when l alone no longer sees s (`block_ablation`), in nats.

The last target of a block is the transition or, behind the last block, the classifier. In nets with bottlenecks the
layer that reads the concatenation is the 1×1 convolution. Compare inside a column: targets differ in fan-in and scale.

Invariances: weights and bn-folded do not depend on the images; bn-folded and activation stay as they are when γ and β
are multiplied by c > 0 and w is divided by it; bn-folded is divided by c when a source and its σ are multiplied by it.
At He's initialisation every 3×3 cell is √(4/(π · fan-out)), 0.1086 in DenseNet-40 with k = 12. What Fig. 5 shows is
disputed (github.com/liuzhuang13/DenseNet, issue 53), so compare seeds with `over_seeds`.

A residual net adds instead of concatenating: its weights belong to no single source, but ablation applies to it too.
In a plain net or VGG every layer sees one source, the layer before: one row a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from labapp.config import LabError, listed, nearest
from labapp.diagnostics.block_ablation import block_ablation
from labapp.diagnostics.measuring.chains import chain_of
from labapp.diagnostics.measuring.concatenations import MultiSourceLayer, multi_source_layers
from labapp.diagnostics.measuring.conditions import (
    labelled_batches,
    require_classes,
    require_finite_weights,
    require_images,
    require_labelled,
)
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.recording.hooks import Hooks

WEIGHTINGS = ("weights", "bn-folded", "activation", "gradient", "ablation")
SCALES = ("raw", "column mean", "column maximum", "column min–max")
COLUMNS = ("block", "source", "target", "value", "kind")


def feature_reuse(
    model: nn.Module,
    weighting: str = "weights",
    images: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    batch_size: int = 64,
) -> pd.DataFrame:
    r"""How much each layer of each block uses each source before it.

    Args:
        model: A dense net, the lab's, torchvision's or timm's; for a plain net or VGG see above; a residual net
            with `weighting="ablation"` only.
        weighting: One of `WEIGHTINGS`.
        images: (N, C, H, W), normalised; for activation, gradient and ablation.
        labels: (N,), for gradient and ablation.
        batch_size: Images at a time.

    Returns:
        One row a cell: block (from 1), source (0 the block's input), target (from 1), value, kind of the target (layer,
        transition, classifier). With ablation a residual net is one block, its target's kind is block or classifier.

    Raises:
        LabError: If the net has no such cells, its weights are not finite, or images are needed and missing.

    Method:
        Meaning: Which earlier features a layer really uses: a cell for each source and target of a block.
        Formula: Mean over the weights between s and l of $|w|$, of $|w \gamma / \sqrt{\sigma^2 + \varepsilon}|$, of
            $|w| \, E|a|$ or of $|w \, \partial L / \partial w|$; or the change of L when l alone no longer sees s.
        Source: Huang et al. 2017 (arXiv 1608.06993), §5 and Fig. 5; Molchanov et al. 2017 (arXiv 1611.06440) for the
            gradient.
        Batch norm: Folded in by its running statistics where the weighting says so; of an untrained net those of 128
            probe images are held.
        Sampling: Weights alone for the first two; else test images, the same for every run. Nets with new first weights
            make the null.
        Fails: Columns differ in fan-in and scale, so compare inside one; what Fig. 5 shows is disputed, so look at the
            spread over seeds and at the null. In a residual net no weight belongs to one source: only the ablation
            applies.
    """
    if weighting not in WEIGHTINGS:
        raise LabError(
            f"unknown weighting '{weighting}'; there are {listed(WEIGHTINGS)}{nearest(weighting, WEIGHTINGS)}"
        )
    require_finite_weights(model)
    chain = chain_of(model)
    if weighting == "ablation":
        given = require_labelled(images, labels)
        return block_ablation(model, *given, batch_size=batch_size)
    found = multi_source_layers(chain)
    if not found:
        raise LabError("no layer of this net has weights that belong to one source each, so there is no cell to fill")
    if weighting == "weights":
        importance = [column.weight.detach().abs() for column in found]
    elif weighting == "bn-folded":
        importance = [_folded(column) for column in found]
    elif weighting == "activation":
        importance = _by_activation(model, found, require_images(images), batch_size)
    else:
        importance = _by_gradient(model, found, *require_labelled(images, labels), batch_size)
    rows = [row for column, matrix in zip(found, importance, strict=True) for row in _cells(column, matrix)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _cells(column: MultiSourceLayer, importance: Tensor) -> list[tuple[Any, ...]]:
    """Rows of one column of the triangle; importance (outputs, inputs, …) like the layer's weight."""
    if importance.shape[1] != sum(column.channels):
        raise LabError(
            f"a layer of block {column.block} reads {importance.shape[1]} channels where its sources have "
            f"{sum(column.channels)}; this is no dense block that can be read"
        )
    parts = importance.double().split(column.channels, dim=1)
    return [
        (column.block, column.first + number, column.target, part.mean().item(), column.kind)
        for number, part in enumerate(parts)
    ]


def _folded(column: MultiSourceLayer) -> Tensor:
    weight = column.weight.detach().abs()
    if column.norm is None:
        return weight
    if not isinstance(column.norm, _BatchNorm) or column.norm.running_var is None:
        raise LabError(
            f"bn-folded needs a batch norm with running statistics in front of the layer, not a "
            f"{type(column.norm).__name__}; take weights, activation or gradient"
        )
    scale = 1 / torch.sqrt(column.norm.running_var + column.norm.eps)
    if column.norm.weight is not None:
        scale = scale * column.norm.weight.detach().abs()
    return weight * _along_inputs(scale, weight)


def _along_inputs(values: Tensor, weight: Tensor) -> Tensor:
    """(channels,) → (1, inputs, 1, …), repeated where a map was flattened into a linear layer."""
    repeated = values.repeat_interleave(weight.shape[1] // len(values))
    return repeated.view(1, -1, *[1] * (weight.ndim - 2))


def _by_activation(
    model: nn.Module, found: Sequence[MultiSourceLayer], images: Tensor, batch_size: int
) -> list[Tensor]:
    sums: dict[int, Tensor] = {}

    def listen(number: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = args[0].detach().double().abs()  # (N, C, H, W) or (N, C)
        total = x.sum(0) if x.ndim == 2 else x.mean((2, 3)).sum(0)
        sums[number] = sums.get(number, torch.zeros_like(total)) + total

    with undisturbed(model), Hooks() as hooks, torch.no_grad():
        for number, column in enumerate(found):
            hooks.before(column.layer, partial(listen, number))
        for x in images.split(batch_size):
            model(x)
    return [
        (weight := column.weight.detach().abs().double()) * _along_inputs(sums[number] / len(images), weight)
        for number, column in enumerate(found)
    ]


def _by_gradient(
    model: nn.Module, found: Sequence[MultiSourceLayer], images: Tensor, labels: Tensor, batch_size: int
) -> list[Tensor]:
    weights = [column.weight for column in found]
    frozen = [weight for weight in weights if not weight.requires_grad]
    total = [torch.zeros_like(weight) for weight in weights]
    with undisturbed(model):
        try:
            for weight in frozen:
                weight.requires_grad_(True)
            for x, y in labelled_batches(images, labels, batch_size):
                scores = model(x)
                require_classes(scores, y)
                loss = F.cross_entropy(scores, y, reduction="sum") / len(images)
                for so_far, gradient in zip(total, torch.autograd.grad(loss, weights), strict=True):
                    so_far += gradient
        finally:
            for weight in frozen:
                weight.requires_grad_(False)
    return [(weight.detach() * gradient).abs() for weight, gradient in zip(weights, total, strict=True)]


def scaled(table: pd.DataFrame, scale: str) -> pd.DataFrame:
    """The same table with values on another scale, each column (block, target) for itself.

    Args:
        table: From `feature_reuse`.
        scale: raw; column mean (v / mean − 1: 0 for equal weights; NaN where a value is negative); column maximum (v /
            max, the strongest source is 1); column min–max ((v − min) / (max − min), which also hides how unequal a
            column is; NaN where a column has one source, or equal ones).
    """
    if scale not in SCALES:
        raise LabError(f"unknown scale '{scale}'; there are {listed(SCALES)}{nearest(scale, SCALES)}")
    if scale == "raw":
        return table.copy()
    columns = table.groupby(["block", "target"])["value"]
    if scale == "column mean":
        means = columns.transform("mean").where(columns.transform("min") >= 0)
        return table.assign(value=table["value"] / means.where(means > 0) - 1)
    highest, lowest = columns.transform("max"), columns.transform("min")
    if scale == "column maximum":
        return table.assign(value=table["value"] / highest.where(highest != 0))
    span = highest - lowest
    return table.assign(value=(table["value"] - lowest) / span.where(span != 0))


def over_seeds(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The spread of the cells over runs that agree in all but the seed.

    Returns:
        block, source, target, kind, value (mean), deviation (between runs, n − 1; NaN for one), low, high, seeds.

    Raises:
        LabError: If the tables have different cells.
    """
    if not tables:
        raise LabError("the spread over seeds needs a table at least")
    keys = ["block", "source", "target", "kind"]
    shapes = {tuple(map(tuple, table[keys].to_numpy())) for table in tables}
    if len(shapes) > 1:
        raise LabError("these runs have different nets, so their cells cannot be compared")
    together = pd.concat(list(tables), ignore_index=True)
    cells = together.groupby(keys, sort=False)["value"]
    return cells.agg(value="mean", deviation="std", low="min", high="max", seeds="size").reset_index()
