"""How much of a block's gradient comes along the shortcuts, and how near is its Jacobian to zero in any direction?

    table = gradient_split(model, images, labels)          # per block and example: eq. (4) and (5) taken apart
    block_singular_values(model, images)                   # extreme singular values of 1 + ∂F/∂x

He, Zhang, Ren, Sun 2016, *Identity Mappings in Deep Residual Networks* (arXiv 1603.05027). Where the shortcut and what
follows the addition are identities, as between the blocks of one stage of a pre-activation net,

    (4)   x_L = x_l + Σ F(x_i)            i from l to L − 1
    (5)   ∂E/∂x_l = ∂E/∂x_L · (1 + ∂/∂x_l Σ F(x_i)) = ∂E/∂x_L + the branches' part

with E the loss of one example. Both sides of both equations are computed on their own. The *share* of the shortcut is
⟨∂E/∂x_L, ∂E/∂x_l⟩ / ‖∂E/∂x_l‖², so that both parts' shares add up to 1; it passes 1 where the branches work against it.
The paper argues that the bracket is unlikely to be −1 + 1 = 0 for all examples of a batch: how near it comes in any
direction is the smallest singular value of the Jacobian 1 + ∂ΣF/∂x_l of one example.

Batch norm: gradients and Jacobians are those of one example, so its statistics are constants: the running ones, and
where a norm keeps none, those of the images, held fixed.

Unit: shares and singular values have none. Invariances: shares do not change with the scale of the loss; a block
whose branch is zero has share 1 and singular values 1.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labapp.config import LabError, listed, nearest
from labapp.diagnostics.measuring.batch_statistics import held_statistics
from labapp.diagnostics.measuring.chains import Chain, run_units, taken_apart
from labapp.diagnostics.measuring.conditions import (
    require_classes,
    require_images,
    require_labelled,
)
from labapp.diagnostics.measuring.splits import Modules
from labapp.diagnostics.singular_values import extreme_singular_values

COLUMNS = (
    "stage",
    "block",
    "blocks_to_end",
    "example",
    "shortcut_share",
    "shortcut_norm",
    "branch_norm",
    "cosine",
    "forward_error",
    "backward_error",
    "reason",
)
NOTHING = "no gradient of this example reaches the block's input"
SPANS = ("block", "stage")


def gradient_split(model: nn.Module, images: Tensor, labels: Tensor) -> pd.DataFrame:
    r"""∂E/∂x_l of each block and example, divided into what the shortcuts and what the branches bring.

    Args:
        model: A pre-activation residual net.
        images: (N, C, H, W), normalised; evaluation mode, so each example's gradient is its own.
        labels: (N,).

    Returns:
        One row a block and example: stage (counted from 1: runs of blocks with identity shortcuts), block (whose input
        x_l is), blocks_to_end (L − l), example, shortcut_share, shortcut_norm (‖∂E/∂x_L‖ / ‖∂E/∂x_l‖), branch_norm (the
        branches' part / ‖∂E/∂x_l‖), cosine (between the two parts), forward_error (of eq. 4: largest difference over
        largest |x_L|), backward_error (of eq. 5: norm of the difference / ‖∂E/∂x_l‖), reason (why shares
        are NaN: no gradient comes; else "").

    Raises:
        LabError: If the net has no two identities in a row.

    Method:
        Meaning: How much of a block's gradient comes along the shortcuts, and how much through the branches.
        Formula: $\frac{\partial E}{\partial x_l} = \frac{\partial E}{\partial x_L} + \ldots$; share of the shortcut:
            $\dfrac{\langle \partial E / \partial x_L, \, \partial E / \partial x_l \rangle}{\lVert \partial E /
            \partial x_l \rVert^2}$.
        Source: He, Zhang, Ren & Sun 2016 (arXiv 1603.05027), eq. (4) and (5).
        Batch norm: Statistics are constants, so that each example's gradient is its own: running ones, or held ones
            where there are none.
        Sampling: At most 32 test images, one row an image and block.
        Fails: The equations hold where shortcut and what follows the sum are identities: nets with preactivation,
            inside a stage. A share passes 1 where branches work against the shortcut.
    """
    images, labels = require_labelled(images, labels)
    rows: list[tuple[Any, ...]] = []
    with taken_apart(model, images) as chain, held_statistics(model, images):
        runs = _identity_runs(chain)
        (*streams, scores), branches = chain.traced(images.clone().requires_grad_())
        require_classes(scores, labels)
        loss = F.cross_entropy(scores, labels, reduction="sum")  # a sum, so that no example divides another's gradient
        gradients = torch.autograd.grad(loss, streams, retain_graph=True)
        for stage, (first, last) in enumerate(runs, start=1):
            for at in range(first, last + 1):
                added = sum((branches[i] for i in range(at, last + 1)), torch.zeros_like(streams[at]))
                (by_branches,) = torch.autograd.grad(added, streams[at], gradients[last + 1], retain_graph=True)
                measured = zip(
                    *_split(gradients[at], gradients[last + 1], by_branches),
                    _forward_error(streams[at], added, streams[last + 1]),
                    strict=True,
                )
                for example, (share, along, across, cosine, backward, forward) in enumerate(measured):
                    where = (stage, chain.units[at].path, last + 1 - at, example)
                    reason = NOTHING if math.isnan(share) else ""
                    rows.append((*where, share, along, across, cosine, forward, backward, reason))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def block_singular_values(
    model: nn.Module, images: Tensor, *, span: str = "block", steps: int = 32, seed: int = 0
) -> pd.DataFrame:
    r"""The extreme singular values of the Jacobian of each block, or from each block to the end of its stage.

    Args:
        model: A residual or plain net; blocks that change the shape are left out.
        images: (N, C, H, W), normalised; the Jacobian is that of one example in evaluation mode.
        span: block (1 + ∂F/∂x of one block) or stage (∂x_L/∂x_l, the bracket of eq. 5 in a pre-activation net).
        steps: Of the Lanczos process, see `labapp.diagnostics.singular_values`.
        seed: Of its starting vectors.

    Returns:
        One row a block and example: block, blocks (that the Jacobian spans), example, largest, smallest (an upper bound
        that falls with `steps`), largest_error, smallest_error (some singular value lies so near).

    Method:
        Meaning: How near a block's Jacobian comes to losing a direction of the gradient.
        Formula: Largest and smallest singular value of $1 + \partial F / \partial x$ of one image.
        Source: He et al. 2016 (arXiv 1603.05027), after eq. (5); Golub & Kahan 1965 for the bidiagonalisation.
        Batch norm: Statistics are constants: running ones, or held ones where there are none.
        Sampling: Two test images; the starting vectors of the process are of one seed.
        Fails: The smallest is an upper bound, which comes down slowly; each value has an error within which some
            singular value lies.
    """
    if span not in SPANS:
        raise LabError(f"unknown span '{span}'; there are {listed(SPANS)}{nearest(span, SPANS)}")
    images = require_images(images)
    rows: list[tuple[Any, ...]] = []
    with taken_apart(model, images) as chain, held_statistics(model, images):
        if chain.family not in ("residual", "plain"):
            raise LabError(f"a {chain.family} net has no blocks with a square Jacobian; take a residual or a plain net")
        with torch.no_grad():
            inputs, _ = chain.traced(images)
        square = [
            unit.kind in ("residual", "plain") and before.shape == after.shape
            for unit, (before, after) in zip(chain.units, pairwise(inputs), strict=True)
        ]
        for at, unit in enumerate(chain.units):
            if not square[at]:
                continue
            last = at
            while span == "stage" and last + 1 < len(square) and square[last + 1]:
                last += 1
            found = extreme_singular_values(
                partial(run_units, chain.units[at : last + 1]), inputs[at], steps=steps, seed=seed
            )
            rows += [
                (unit.path, last + 1 - at, example, *values)
                for example, values in enumerate(zip(*(column.tolist() for column in found), strict=True))
            ]
    if not rows:
        raise LabError("every block of this net changes the shape of what it reads, so no Jacobian is square")
    columns = ["block", "blocks", "example", "largest", "smallest", "largest_error", "smallest_error"]
    return pd.DataFrame(rows, columns=columns)


def _identity(modules: Modules) -> bool:
    return all(isinstance(module, nn.Identity) for module in modules)


def _identity_runs(chain: Chain) -> list[tuple[int, int]]:
    """First and last unit of each run of blocks whose shortcut, and what is around it, is an identity."""
    if chain.family != "residual":
        raise LabError(
            f"equations (4) and (5) of He 2016 speak of residual nets with preactivation; a {chain.family} net has no "
            "shortcut to take apart"
        )
    runs: list[tuple[int, int]] = []
    for at, unit in enumerate(chain.units):
        if not unit.parts or not all(map(_identity, (unit.parts.shared, unit.parts.shortcut, unit.parts.activation))):
            continue
        if runs and runs[-1][1] == at - 1:
            runs[-1] = (runs[-1][0], at)
        else:
            runs.append((at, at))
    if not runs:
        raise LabError(
            "equations (4) and (5) of He 2016 hold where nothing follows the addition; this net has an activation "
            "there or a projection on every shortcut: build it with preactivation=True, or take path_gradients"
        )
    return runs


def _split(whole: Tensor, shortcut: Tensor, branch: Tensor) -> tuple[list[float], ...]:
    """For each example: share, norms and cosine of the parts, and what is missing between them and the whole."""
    g, s, b = (tensor.double().flatten(1) for tensor in (whole, shortcut, branch))
    size = g.norm(dim=1)
    nan = torch.full_like(size, torch.nan)
    size = torch.where(size > 0, size, nan)
    share = (s * g).sum(1) / size**2
    cosine = (s * b).sum(1) / torch.where(s.norm(dim=1) * b.norm(dim=1) > 0, s.norm(dim=1) * b.norm(dim=1), nan)
    columns = (share, s.norm(dim=1) / size, b.norm(dim=1) / size, cosine, (g - s - b).norm(dim=1) / size)
    return tuple(column.tolist() for column in columns)


def _forward_error(start: Tensor, added: Tensor, end: Tensor) -> list[float]:
    difference = (end - start - added).detach().double().flatten(1).abs().amax(1)
    return (difference / end.detach().double().flatten(1).abs().amax(1)).tolist()
