"""Through how many blocks does the gradient of a residual net come?

    table = path_gradients(model, images, labels)
    effective_path_length(table), decay(table)

Veit, Wilber, Belongie 2016 (arXiv 1605.06431, §3 and §4.3, Fig. 6): a net of n residual blocks is the sum of 2ⁿ paths,
each going through some branches and past the others, so lengths are Binomial(n, ½). A path's gradient g_k, k its
length, is what arrives at the first block's input when the backward pass goes through the chosen k branches and
along the shortcuts of the other n − k blocks; the forward pass is the whole net's. Its norm falls like r^k, and what
paths of one length carry together, C(n, k) · E‖g_k‖, peaks far below n/2: the effective path length is the mean of that
distribution, n · r/(1 + r) if the fall is exactly geometric (n = 54, r = 0.27: 11.48).

Beside the paper's sampled mean stands the norm of the exact sum over all paths of a length, by the recursion
G_k ← Sᵀ G_k + Bᵀ G_{k−1} over the blocks (S the shortcut's Jacobian, B the branch's): gradients of different paths also
cancel. The G_k add up to the net's gradient.

Batch norm: the gradient is that of the batch's mean loss, not of an example. So with `train` it passes through the
batch's statistics, as in training, and the G_k add up to what the optimizer would get; else running ones are used.

Unit: loss per unit of the first block's input; L is the mean cross-entropy, the norm is over the whole batch.
Invariances: the distribution over lengths does not change with the scale of the loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labapp.config import LabError
from labapp.diagnostics.measuring.batch_statistics import batch_statistics
from labapp.diagnostics.measuring.chains import Chain, Unit, run_units, taken_apart
from labapp.diagnostics.measuring.conditions import require_classes, require_labelled
from labapp.diagnostics.measuring.splits import through

COLUMNS = ("length", "paths", "probability", "gradient_norm", "deviation", "weight", "sum_norm", "reason")


def path_length_distribution(blocks: int) -> pd.DataFrame:
    """Length 0 … n, paths (how many have it), probability (their share): Binomial(n, ½).

    54 blocks: mean 27, standard deviation 3.674; 5 to 17 blocks have 0.454 % of the paths, 19 to 35 have 98.0 %.
    """
    if blocks < 0:
        raise LabError(f"a net has at least 0 blocks, not {blocks}")
    paths = [math.comb(blocks, length) for length in range(blocks + 1)]
    shares = [count / 2**blocks for count in paths]
    return pd.DataFrame({"length": range(blocks + 1), "paths": np.array(paths, float), "probability": shares})


def path_weights(norms: np.ndarray | list[float]) -> np.ndarray:
    """The share of the gradient that paths of each length carry: C(n, k) · ‖g_k‖, scaled to sum 1.

    Args:
        norms: ‖g_k‖ for k = 0 … n.
    """
    norms = np.asarray(norms, float)
    paths = path_length_distribution(len(norms) - 1)["probability"].to_numpy()
    total = (paths * norms).sum()
    return paths * norms / total if total > 0 and np.isfinite(total) else np.full(len(norms), math.nan)


def effective_path_length(table: pd.DataFrame) -> float:
    """The mean length of the paths that the gradient comes through; NaN if no gradient comes."""
    return float((table["length"] * table["weight"]).sum(skipna=False))


def decay(table: pd.DataFrame) -> float:
    """r, the factor by which a path's gradient falls for each block that it goes through instead of past.

    Least squares of log ‖g_k‖ on k, weighted by the number of paths; NaN for fewer than two lengths with a gradient.
    """
    used = table[(table["gradient_norm"] > 0) & np.isfinite(table["gradient_norm"])]
    if len(used) < 2:
        return math.nan
    k, log, weight = used["length"], np.log(used["gradient_norm"]), used["probability"]
    k = k - np.average(k, weights=weight)
    return float(np.exp((weight * k * log).sum() / (weight * k * k).sum()))


def path_gradients(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    samples: int = 4,
    seed: int = 0,
    train: bool = False,
    progress: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    r"""Gradients by the length of the path they come along.

    Args:
        model: A residual net, the lab's (both forms), torchvision's or timm's.
        images: (N, C, H, W), one batch; 32 are enough, and the time grows with N and the blocks' number squared.
        labels: (N,).
        samples: Random paths of each length; no more draws than there are paths of it.
        seed: Of the paths; torch's and numpy's own random numbers are not used.
        train: Batch norm with the batch's statistics, as at the time of training (for nets that are not trained yet).
        progress: Told the share that is done.

    Returns:
        One row a length: length, paths, probability, gradient_norm (mean over the sampled paths), deviation (between
        them), weight (share of the gradient, as `path_weights`), sum_norm (of the exact sum over all such paths),
            reason (why there are no weights, else "").

    Raises:
        LabError: If the net has no residual blocks.

    Method:
        Meaning: Through how many of its blocks a residual net's gradient really comes.
        Formula: Share of length k: $\binom{n}{k} \, E\lVert g_k \rVert$, of paths through k branches and past n − k;
            its mean is the effective length.
        Source: Veit, Wilber & Belongie 2016 (arXiv 1605.06431), §4.3 and Fig. 6.
        Batch norm: Running statistics; before training the gradient passes through those of the batch, as training
            takes it.
        Sampling: At most 16 test images, random paths of each length of one seed; the exact sum over all paths of a
            length stands beside.
        Fails: Gradients of different paths cancel, which the paper's mean of norms leaves out; the sum of a length
            shows it.
    """
    images, labels = require_labelled(images, labels)
    if samples < 1:
        raise LabError(f"samples must be at least 1, not {samples}")
    random = np.random.default_rng(seed)
    with taken_apart(model, images) as chain:
        if chain.family != "residual":
            raise LabError(
                f"a {chain.family} net has no shortcuts and so a single path, through all of it; "
                "path lengths speak of residual nets"
                if chain.family != "dense"
                else "a dense net concatenates, so its paths are no sum; path lengths speak of residual nets"
            )
        with batch_statistics(model, train):
            links, gradient = _links(chain, images, labels)
            start = gradient.norm().item()
            gradient = gradient / start if start > 0 else gradient  # so that r^k stays in the range of float32
            blocks = [link for link in links if link.branch]
            sums = _summed(links, gradient)
            rows = []
            for length in range(len(blocks) + 1):
                norms = []
                for _ in range(min(samples, math.comb(len(blocks), length))):
                    chosen = set(random.permutation(len(blocks))[:length].tolist())
                    norms.append(start * _along(links, gradient, chosen).norm().item())
                deviation = float(np.std(norms, ddof=1)) if len(norms) > 1 else math.nan
                rows.append((float(np.mean(norms)), deviation, start * sums[length].norm().item()))
                if progress:
                    progress((length + 1) / (len(blocks) + 1))
    table = path_length_distribution(len(blocks))
    table[["gradient_norm", "deviation", "sum_norm"]] = rows
    table["weight"] = path_weights(table["gradient_norm"].to_numpy())
    table["reason"] = NOTHING if table["weight"].isna().any() else ""
    return table[list(COLUMNS)]


NOTHING = "the gradient at the first block is zero or not finite, so there is nothing to share out"
Vjp = Callable[[Tensor], Tensor]


class _Link(NamedTuple):
    """How one unit passes a gradient back: past its branch, and through it."""

    past: Vjp
    branch: Vjp | None = None


def _links(chain: Chain, images: Tensor, labels: Tensor) -> tuple[list[_Link], Tensor]:
    """Links from the first block to the last, and the gradient at the last one's output."""
    places = chain.blocks
    x = images
    with torch.no_grad():
        x = run_units(chain.units[: places[0]], x)
    links = []
    for unit in chain.units[places[0] : places[-1] + 1]:
        link, x = _link(unit, x)
        links.append(link)
    x = x.detach().requires_grad_()
    scores = run_units(chain.units[places[-1] + 1 :], x)
    require_classes(scores, labels)
    (gradient,) = torch.autograd.grad(F.cross_entropy(scores, labels), x)
    return links, gradient


def _link(unit: Unit, x: Tensor) -> tuple[_Link, Tensor]:
    x = x.detach().requires_grad_()
    if not unit.parts:
        after = unit.run(x)
        return _Link(_vjp(after, x)), after.detach()
    shared = through(unit.parts.shared, x)
    branch, shortcut = through(unit.parts.branch, shared), through(unit.parts.shortcut, shared)
    total = (branch + shortcut).detach().requires_grad_()
    after = through(unit.parts.activation, total)
    activation, past, along = _vjp(after, total), _vjp(shortcut, x), _vjp(branch, x)
    return _Link(lambda g: past(activation(g)), lambda g: along(activation(g))), after.detach()


def _vjp(y: Tensor, x: Tensor) -> Vjp:
    if y is x:  # an identity
        return lambda g: g
    return lambda g: torch.autograd.grad(y, x, g, retain_graph=True)[0]


def _along(links: list[_Link], gradient: Tensor, chosen: set[int]) -> Tensor:
    """The gradient of one path, which goes through the branches of the chosen blocks."""
    number = sum(link.branch is not None for link in links)
    for link in reversed(links):
        number -= link.branch is not None
        gradient = link.branch(gradient) if link.branch and number in chosen else link.past(gradient)
    return gradient


def _summed(links: list[_Link], gradient: Tensor) -> list[Tensor]:
    """The sums of the gradients of all paths of each length."""
    sums = [gradient]
    for link in reversed(links):
        past = [link.past(g) for g in sums]
        if link.branch:
            through_branch = [link.branch(g) for g in sums]
            sums = [past[0], *(a + b for a, b in zip(past[1:], through_branch[:-1], strict=True)), through_branch[-1]]
        else:
            sums = past
    return sums
