"""What are the largest and the smallest singular value of a function's Jacobian at one input?

    largest, smallest, largest_error, smallest_error = extreme_singular_values(block, x)

The singular values of the Jacobian J of y = f(x), without ever forming it: Golub–Kahan–Lanczos bidiagonalisation
(Golub & Kahan 1965; the power iteration on JᵀJ that keeps all its iterates) needs one product J v and one Jᵀ u a step,
both from autograd: Jᵀ u is the backward pass, and since that is linear in u, its own derivative is J v. Vectors are
made orthogonal to all before them. After k steps J V = U B with a small bidiagonal B. B's largest singular value is at
most J's and soon equal to it; its smallest is at least J's and comes down slowly, like 1/k², where singular values lie
dense near 0: read it as an upper bound. Both are exact when k reaches the dimension. With p the left singular vector of
B and β what leads out of it, some singular value of J lies within β |p_k| of each.

Invariances: none of the values changes when inputs or outputs are rotated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from labapp.config import LabError


class Extremes(NamedTuple):
    """Extreme singular values of each example and their errors, (N,), in float64."""

    largest: Tensor
    smallest: Tensor
    largest_error: Tensor
    smallest_error: Tensor


class Jacobian(NamedTuple):
    """J v and Jᵀ u of a function that treats each example of a batch on its own, for all at once: (N, D) to (N, D')."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor]


def jacobian_at(function: Callable[[Tensor], Tensor], x: Tensor) -> Jacobian:
    """The Jacobian of each example of x (N, …); gradients have to be on."""
    x = x.detach().requires_grad_()
    y = function(x)
    u = torch.zeros_like(y, requires_grad=True)
    (backward,) = torch.autograd.grad(y, x, u, create_graph=True)

    def forward(v: Tensor) -> Tensor:
        return torch.autograd.grad(backward, u, v.view_as(x), retain_graph=True)[0].flatten(1)

    def transposed(v: Tensor) -> Tensor:
        return torch.autograd.grad(y, x, v.view_as(y), retain_graph=True)[0].flatten(1)

    return Jacobian(forward, transposed)


def extreme_singular_values(
    function: Callable[[Tensor], Tensor], x: Tensor, *, steps: int = 32, seed: int = 0
) -> Extremes:
    """The extreme singular values of a function's Jacobian at each example.

    Args:
        function: (N, …) to (N, …), each example for itself (evaluation mode).
        x: Inputs (N, …).
        steps: Of the process; at most the dimension of x.
        seed: Of the starting vectors; torch's own random numbers are not used.
    """
    dimension = x[0].numel()
    if steps < 1:
        raise LabError(f"steps must be at least 1, not {steps}")
    steps = min(steps, dimension)
    jacobian = jacobian_at(function, x)
    start = torch.randn(len(x), dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    v = _unit(start.to(x))[0]
    vs: list[Tensor] = [v]
    us: list[Tensor] = []
    alphas, betas = [], []
    for step in range(steps):
        u = jacobian.forward(v)
        u, alpha = _unit(_orthogonal(u, us))
        us.append(u)
        alphas.append(alpha)
        v = jacobian.backward(u)
        v, beta = _unit(_orthogonal(v, vs))
        betas.append(beta if step + 1 < dimension else torch.zeros_like(beta))
        vs.append(v)
    return _of_bidiagonal(torch.stack(alphas, 1).double(), torch.stack(betas, 1).double(), torch.finfo(x.dtype).eps)


def _unit(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, D) scaled to length 1, and their lengths (N,); a row of zeros stays."""
    lengths = vectors.norm(dim=1)
    return vectors / torch.where(lengths > 0, lengths, torch.ones_like(lengths))[:, None], lengths


def _orthogonal(vectors: Tensor, before: list[Tensor]) -> Tensor:
    """Rows without their parts along earlier rows of the same example; twice, which is enough (Giraud 2005)."""
    if before:
        basis = torch.stack(before, 1)  # (N, k, D)
        for _ in range(2):
            along = torch.einsum("nkd,nd->nk", basis, vectors)
            vectors = vectors - torch.einsum("nkd,nk->nd", basis, along)
    return vectors


def _of_bidiagonal(alphas: Tensor, betas: Tensor, eps: float) -> Extremes:
    """From the diagonal (N, k) and what stands right of it (N, k), the last of which leads out of the matrix."""
    found = []
    for diagonal, above in zip(alphas, betas, strict=True):
        # an invariant space ends the process: what follows is rounding
        ended = torch.nonzero(above <= 64 * eps * diagonal.max())
        size = int(ended[0]) + 1 if len(ended) else len(diagonal)
        matrix = torch.diag(diagonal[:size]) + torch.diag(above[: size - 1], 1)
        left, values, _ = torch.linalg.svd(matrix)
        errors = above[size - 1] * left[-1].abs()
        found.append((values[0], values[-1], errors[0], errors[-1]))
    return Extremes(*(torch.stack(column) for column in zip(*found, strict=True)))
