"""By how much does one layer change the size of the gradient?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from labapp.config import LabError, listed, nearest
from labapp.frames.theory.examples import relu_correlation

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

KAPPA = math.pi / (math.pi - 1)  # 1.467; 1/KAPPA is the variance that is left of N(0, 2) behind a ReLU
LEAK = 0.01  # PyTorch's slope of a leaky ReLU below zero
RECTIFIERS = ("relu", "leaky_relu", "gelu")
NORMS = ("none", "batch", "layer", "group")

_HALF = (np.arange(6000) + 0.5) * 2e-3  # midpoints up to 12, so that the kink at 0 lies between two of them
_Z = np.concatenate([-_HALF[::-1], _HALF])
_DENSITY = np.exp(-(_Z**2) / 2)
_DENSITY /= _DENSITY.sum()


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(x / 2))


def _gelu_slope(x: Array) -> Array:
    return ndtr(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


ACTIVATIONS: dict[str, tuple[Function, Function]] = {  # each with its derivative
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(float)),
    "leaky_relu": (lambda x: np.where(x > 0, x, LEAK * x), lambda x: np.where(x > 0, 1.0, LEAK)),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": (_sigmoid, lambda x: _sigmoid(x) * (1 - _sigmoid(x))),
    "gelu": (lambda x: x * ndtr(x), _gelu_slope),
}
INITIALISATIONS = ("he", "glorot", "lecun", "default", "orthogonal")


def weight_gain(init: str, activation: str = "relu") -> float:
    """Fan-in × Var(w) of an initialisation, in a layer with as many inputs as outputs.

    he 2 (He 2015, *Delving Deep*, eq. 10 and 14), glorot 1 (Glorot 2010, eq. 16), lecun 1 (LeCun 1998), default 1/3
    (PyTorch draws from ±1/√n, whose variance is 1/(3n)), orthogonal 2 for the ReLU kind, else 1 (Saxe 2014).
    """
    _check("activation", activation, ACTIVATIONS)
    if init == "looks-linear":
        raise LabError("a net that looks linear passes gradients unchanged while it does; there is no gain to predict")
    _check("initialisation", init, INITIALISATIONS)
    if init == "orthogonal":
        return 2.0 if activation in RECTIFIERS else 1.0
    return {"he": 2.0, "glorot": 1.0, "lecun": 1.0, "default": 1 / 3}[init]


def activation_moments(activation: str, variance: float = 1.0) -> tuple[float, float, float]:
    """E[φ(z)], E[φ(z)²] and E[φ′(z)²] for z ~ N(0, variance): a midpoint sum, exact to 1e-6."""
    _check("activation", activation, ACTIVATIONS)
    function, slope = ACTIVATIONS[activation]
    x = math.sqrt(variance) * _Z
    value = function(x)
    return float(_DENSITY @ value), float(_DENSITY @ value**2), float(_DENSITY @ slope(x) ** 2)


def plain_gain(
    norm: str = "none", activation: str = "relu", init: str = "he", batch: int | None = None, *, settled: int = 10_000
) -> float:
    """The gain of one layer of a deep plain net, where the signal has settled to its fixed size.

    Without a norm: σ² E[φ′(√q z)²] at the fixed point q = σ² E[φ(√q z)²], with σ² the weight gain (Poole 2016, eq. 3;
    Schoenholz 2017, eq. 9). Behind a layer norm (or a group norm over many channels) E[φ′²] / E[φ²] at q = 1, where the
    weights' scale cancels. Behind a batch norm E[φ′²] / Var(φ): the batch's mean is taken away too, and that makes
    gradients explode (Yang 2019). For a ReLU, in this order: σ²/2, 1, and π/(π − 1) = 1.467.

    Args:
        norm: none, batch, layer or group.
        activation: One of `ACTIVATIONS`.
        init: One of `INITIALISATIONS`; it matters without a norm only.
        batch: Examples a batch (times positions, in a convolution), for ReLU behind a batch norm; None is the limit.
        settled: Layers after which the fixed point counts as reached; tanh approaches it like 1/layer.
    """
    _check("norm", norm, NORMS)
    if batch is not None and (norm, activation) != ("batch", "relu"):
        raise LabError("a finite batch has a closed form for a ReLU behind a batch norm only; leave batch out")
    if norm == "batch" and batch is not None:
        return batch_norm_relu_gain(batch)
    if norm != "none":
        mean, square, slope = activation_moments(activation)
        return slope / (square - mean**2 if norm == "batch" else square)
    gain = weight_gain(init, activation)
    if activation in ("relu", "leaky_relu"):  # homogeneous: the same at every size of the signal
        return gain * activation_moments(activation)[2]
    variance = 1.0
    for _ in range(settled):
        before, variance = variance, gain * activation_moments(activation, variance)[1]
        if abs(before - variance) <= 1e-12 * before:
            break
    return gain * activation_moments(activation, variance)[2]


def batch_norm_relu_gain(batch: int) -> float:
    """The gain of batch norm, ReLU and a random layer, for a batch of B independent examples (Yang 2019, Thm 3.10).

    1.522 at 32, 1.493 at 64, 1.480 at 128, and π/(π − 1) in the limit, whatever the weights' variance. Below B = 4
    the expected gradient is infinite.

    Derivation. Let G = I − 11ᵀ/B, h ~ N(0, λG) the centred pre-activations of one unit, u = h/‖h‖, d the zeros and ones
    of its ReLU and D = diag d. One layer back the squared gradient is multiplied by B/(λ (B − 1)(B − 3)) times
    E tr[(G − uuᵀ) D G D] = E[tr GD − uᵀDu − dᵀGd/B + (uᵀd)²/B], where E[B/‖h‖²] = B/(λ (B − 3)). Two examples have the
    correlation ρ = −1/(B − 1), so λ = (1 − κ₁(ρ))/2, both are active with chance ¼ + arcsin(ρ)/2π, and their
    product behind the ReLU is κ₁(ρ)/2B.
    """
    if batch < 4:
        raise LabError(f"batch normalisation has a finite expected gradient from 4 examples on, not with {batch}")
    rho = -1 / (batch - 1)
    kappa = relu_correlation(rho)
    both = 0.25 + math.asin(rho) / (2 * math.pi)
    pairs = batch * (batch - 1)
    trace_gd = (batch - 1) / 2
    u_d_u = 1 / 2
    d_g_d = batch / 2 - (batch / 2 + pairs * both) / batch
    u_d_squared = 1 / 2 + pairs * kappa / (2 * batch)
    trace = trace_gd - u_d_u - d_g_d / batch + u_d_squared / batch
    variance = (1 - kappa) / 2
    return batch / (variance * (batch - 3) * (batch - 1)) * trace


def linear_gain(inputs: int, std: float) -> float:
    """The gain of a linear layer with weights N(0, std²) and the ReLU before it: inputs · std² / 2.

    Two of VGG's, with the paper's N(0, 0.01²) and 4096 inputs each: 0.2048², so ∂L/∂fc1 is 0.2048 of ∂L/∂logits.
    """
    return inputs * std**2 / 2


def zero_padding_share(size: int, kernel: int = 3) -> float:
    """The mean square that one zero-padded layer keeps on a size × size field, against one without a border.

    An output at the border sums over fewer taps; what is left is the share of taps that fall inside, (1 − 2/(3n))² for
    3×3 on n × n. A 3×3 layer keeps 0.840 on 8×8 and 0.959 on 32×32; the backward pass loses the same.
    """
    if size < 1 or kernel < 1 or not kernel % 2:
        raise LabError(f"a border needs a field of at least 1 and an odd kernel, not {size} and {kernel}")
    reach = kernel // 2
    inside = sum(min(size - 1, at + reach) - max(0, at - reach) + 1 for at in range(size))
    return (inside / (kernel * size)) ** 2


def mean_absolute_weight(fan: int, gain: float = 2.0) -> float:
    """E|w| = √(2·gain/(π·fan)) for w ~ N(0, gain/fan): 0.1086 in a 3×3 layer of DenseNet-40 (k = 12, fan-out 108)."""
    return math.sqrt(2 * gain / (math.pi * fan))


def _check(what: str, name: str, allowed: Iterable[str]) -> None:
    if name not in allowed:
        raise LabError(
            f"theory knows no {what} '{name}'; it knows {listed(list(allowed))}{nearest(name, list(allowed))}"
        )
