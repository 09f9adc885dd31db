"""Wide nets in float64, one layer a function, and the gradients at their outputs."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Step = Callable[[Tensor, torch.Generator], Tensor]


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def gradient_norms(step: Step, layers: int, *, width: int, batch: int, seed: int) -> np.ndarray:
    """Norms at `layers` + 1 consecutive outputs; the first is standard normal, and so is the gradient at the last."""
    generator = draws(seed)
    outputs = [normal(generator, batch, width).requires_grad_()]
    for _ in range(layers):
        outputs.append(step(outputs[-1], generator))
    loss = (outputs[-1] * normal(generator, batch, width)).sum()
    return np.array([float(gradient.norm()) for gradient in torch.autograd.grad(loss, outputs)])


def dense(activation: Callable[[Tensor], Tensor], gain: float, *, batch_norm: bool = False) -> Step:
    """Activation, then weights N(0, gain/n)."""

    def step(h: Tensor, generator: torch.Generator) -> Tensor:
        if batch_norm:
            h = F.batch_norm(h, None, None, training=True, eps=1e-12)
        width = h.shape[1]
        return activation(h) @ normal(generator, width, width) * (gain / width) ** 0.5

    return step


def root_mean_square(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def ratios(step: Step, layers: int, *, width: int = 256, batch: int = 8, seeds: int = 8) -> list[float]:
    measured = [gradient_norms(step, layers, width=width, batch=batch, seed=seed) for seed in range(seeds)]
    return [norms[0] / norms[-1] for norms in measured]
