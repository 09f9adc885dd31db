"""How should a gradient's size change from layer to layer, before training has begun?

Mean-field theory answers for wide nets with random weights. Three words are used throughout:

* the *gain* of a layer or block is the factor by which the expected **squared** norm of the gradient grows on its way
  through it, towards the input;
* a *profile* holds gradient **norms** (roots of squares) at consecutive outputs, the first layer's first, divided by
  the last one's; so `profile[0]` is the ratio first over last that the lab measures;
* the *weight gain* of an initialisation is fan-in × Var(w), for layers with as many inputs as outputs.

    plain_profile(50, init="lecun")[0]              # 3.0e-08: a ReLU net with N(0, 1/n) vanishes
    plain_profile(18, norm="batch")[0]              # 26: with batch normalisation it explodes
    residual_profile((3, 3, 3))[0]                  # 10: with shortcuts it grows like a power of the depth

Which assumptions are shared: infinitely wide layers, weights independent of the gradient that comes back through them,
and no border (a border costs what `zero_padding_share` says). A real net of width 16 ends 20 to 35 % off after 20 to
110 layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from labapp.config import LabError, listed, nearest

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


def _normal_cdf(x: Array) -> Array:
    return 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))


def _gelu_slope(x: Array) -> Array:
    return _normal_cdf(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


ACTIVATIONS: dict[str, tuple[Function, Function]] = {  # each with its derivative
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(float)),
    "leaky_relu": (lambda x: np.where(x > 0, x, LEAK * x), lambda x: np.where(x > 0, 1.0, LEAK)),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": (_sigmoid, lambda x: _sigmoid(x) * (1 - _sigmoid(x))),
    "gelu": (lambda x: x * _normal_cdf(x), _gelu_slope),
}
INITIALISATIONS = ("he", "glorot", "lecun", "default", "orthogonal")


# One layer ------------------------------------------------------------------------------------------------------------


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


# Whole nets -----------------------------------------------------------------------------------------------------------


def plain_profile(
    layers: int,
    norm: str = "none",
    activation: str = "relu",
    init: str = "he",
    batch: int | None = None,
    *,
    variance: float = 1.0,
) -> Array:
    """Gradient norms at the outputs of layers + 1 consecutive plain layers, over the last one's.

    Without a norm the signal's size is followed layer by layer, as it need not have settled: with N(0, 1/n) and tanh 20
    layers give 0.190 and 50 give 0.120. With PyTorch's default a ReLU net of 20 layers gives 6^−10 = 1.7e-8.

    Args:
        layers: Steps between the first and the last output.
        norm: As in `plain_gain`; likewise activation, init and batch.
        activation: See there.
        init: See there.
        batch: See there.
        variance: Mean square of the first layer's output, for nets without a norm.
    """
    if layers < 0:
        raise LabError(f"layers must not be negative, here {layers}")
    homogeneous = activation in ("relu", "leaky_relu")
    if norm != "none" or homogeneous:
        gains = np.full(layers, plain_gain(norm, activation, init, batch))
    else:
        gain = weight_gain(init, activation)
        gains = np.empty(layers)
        for layer in range(layers):
            _, square, slope = activation_moments(activation, variance)
            gains[layer], variance = gain * slope, gain * square
    return _from_gains(gains)


def residual_gain(blocks: int) -> float:
    """The gain of residual blocks without a norm: 2^blocks, with He's initialisation.

    A branch of any number of ReLU layers keeps the gradient's square, and what comes through it is uncorrelated with
    what comes along the shortcut, so each block doubles it (Hanin & Rolnick 2018, §3; Zhang 2019, *Fixup*, §2).
    """
    return 2.0**blocks


def preactivation_profile(blocks: int, variance: float = 1.0) -> Array:
    """Gradient norms at the inputs of pre-activation blocks with batch norm, and at the last one's output.

    Each branch of two layers adds 1 − 1/π to the variance v of the stream, and what it sends back is divided by v: the
    gain of block l is 1 + κ/v_l with v_l = v_1 + (l − 1)/κ and κ = π/(π − 1). So the growth is a power of the depth,
    12.15 after 18 blocks with v_1 = 1.
    (Derived as Yang & Schoenholz 2017 do for nets without a norm, with `plain_gain` for the branch's inner layer.)

    Args:
        blocks: Blocks of one stage.
        variance: Over the batch, of the stream at the first block's input.
    """
    v = variance + np.arange(blocks) / KAPPA
    return _from_gains(1 + KAPPA / v)


def residual_profile(stages: Sequence[int], *, first_variance: float | None = None) -> Array:
    """Gradient norms at the convolutions' outputs of a CIFAR residual net with batch norm, over the last one's.

    Original form (activation after the addition), He's initialisation, shortcut A. Batch norm makes a branch's output a
    fresh standard normal z, independent between examples, so a unit of the stream does a random walk that zero
    reflects, x ← max(0, x + z): Lindley's recursion, Var(x) ≈ (1 − 2/π) l. The squared gradient at a unit is a function
    of where the walk stands, g(x) = E[1(x + z > 0) g′(x + z)] + κ E[1 g′] / Var(x): the shortcut's part, which lasts as
    long as the walk stays above zero, and the branch's. Both are computed here on a grid. (Derived here; compare Yang &
    Schoenholz 2017. At a new stage half of the channels start anew from zero and a quarter of the positions is kept.)

    Args:
        stages: Blocks in each stage: (3, 3, 3) is ResNet-20.
        first_variance: Variance of the first convolution's output; by default what He's fan-out form makes of
            three standardised colours where the stage has 16 channels, 27 · 2/144 = 0.375.

    Returns:
        1 + 2·blocks numbers, in the order of execution: the stem's, then two a block.
    """
    if not stages or min(stages) < 1:
        raise LabError(f"every stage needs at least one block, not {tuple(stages)}")
    first_variance = 0.375 if first_variance is None else first_variance
    walk = _Walk(sum(stages))
    # forward: where the stream's units stand before each block
    density, before = walk.start(), []
    sizes, opens = [], []  # elements of the stream, relative to the first stage; does the block open a stage?
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            before.append(density)
            sizes.append(2.0**-stage)  # twice the channels, a quarter of the positions
            opens.append(stage > 0 and block == 0)
            stepped = walk.step(density)
            density = (stepped + walk.step(walk.at_zero())) / 2 if opens[-1] else stepped
    # backward: the squared gradient at a unit, given where it stands
    gradient, squares = np.ones_like(density), []
    for block in range(len(before) - 1, -1, -1):
        at_sum = walk.expected(gradient)
        mean = float(before[block] @ at_sum)
        if opens[block]:
            mean = (mean + float(at_sum[0])) / 2
        convolution2 = sizes[block] * mean * KAPPA
        through = convolution2 / walk.variance(before[block])  # at the branch's input
        fan = 1.0 if opens[block] else 2.0  # fan-in × Var(w) of the first convolution: half the inputs, half of He's 2
        squares += [convolution2, through / fan]
        entering = sizes[block - 1] if block else sizes[0]
        gradient = at_sum * (0.25 if opens[block] else 1.0) + through / entering
    active = walk.start()
    active[0] -= 0.5  # the half that the stem's ReLU set to zero passes nothing back
    squares.append(sizes[0] * float(active @ gradient) / first_variance)
    profile = np.sqrt(np.array(squares[::-1]))
    return profile / profile[-1]


class _Walk:
    """A random walk with standard normal steps that zero reflects, as a density on a grid."""

    def __init__(self, steps: int, spacing: float = 0.05) -> None:
        self.x = np.arange(0, 8 + 5 * math.sqrt(steps + 1), spacing)
        self.reach = round(6 / spacing)
        kernel = np.exp(-((np.arange(-self.reach, self.reach + 1) * spacing) ** 2) / 2)
        self.kernel = kernel / kernel.sum()

    def start(self) -> Array:
        """The ReLU of a standard normal."""
        return self.step(self.at_zero())

    def at_zero(self) -> Array:
        density = np.zeros_like(self.x)
        density[0] = 1.0
        return density

    def step(self, density: Array) -> Array:
        """Where max(0, x + z) stands."""
        wide = np.convolve(density, self.kernel)
        moved = wide[self.reach : self.reach + len(self.x)].copy()
        moved[0] += wide[: self.reach].sum()
        return moved

    def expected(self, value: Array) -> Array:
        """E[1(x + z > 0) value(x + z)] for each x; the cell at zero counts half."""
        wide = np.concatenate([np.zeros(self.reach), value, np.full(self.reach, value[-1])])
        wide[self.reach] *= 0.5
        return np.convolve(wide, self.kernel, "valid")

    def variance(self, density: Array) -> float:
        mean = density @ self.x
        return float(density @ self.x**2 - mean**2)


# Two examples ---------------------------------------------------------------------------------------------------------


def relu_correlation(rho: float) -> float:
    """Uncentred correlation of two examples behind a ReLU whose inputs have correlation ρ (Cho & Saul 2009, n = 1).

    κ₁(ρ) = (√(1 − ρ²) + (π − arccos ρ) ρ) / π.
    """
    return (math.sqrt(1 - rho**2) + (math.pi - math.acos(rho)) * rho) / math.pi


def gradient_cosine(layers: int, correlation: float = 0.0) -> float:
    """Cosine of the gradients that two examples send to the input of a ReLU net: how far it is shattered.

    The gradients of one layer agree where both examples are active, a share κ₀(ρ) = (π − arccos ρ)/π (Cho & Saul 2009,
    n = 0), so the cosine is Π κ₀(ρ_l) with ρ_{l+1} = κ₁(ρ_l). From orthogonal examples 0.105 after 5 layers and 0.0337
    after 10: like L⁻³, not 2^−L as where batch norm keeps examples apart (Balduzzi 2017, Thm 1 and 2).

    Args:
        layers: ReLU layers between input and output.
        correlation: Of the two examples; 0 for orthogonal ones.
    """
    cosine = 1.0
    for _ in range(layers):
        cosine *= (math.pi - math.acos(correlation)) / math.pi
        correlation = min(1.0, relu_correlation(correlation))
    return cosine


# Weights --------------------------------------------------------------------------------------------------------------


def mean_absolute_weight(fan: int, gain: float = 2.0) -> float:
    """E|w| = √(2·gain/(π·fan)) for w ~ N(0, gain/fan): 0.1086 in a 3×3 layer of DenseNet-40 (k = 12, fan-out 108)."""
    return math.sqrt(2 * gain / (math.pi * fan))


def _from_gains(gains: Array) -> Array:
    """Norms from gains, the first layer's first; the last is 1."""
    return np.sqrt(np.append(np.cumprod(gains[::-1])[::-1], 1.0))


def _check(what: str, name: str, allowed: Sequence[str] | dict) -> None:
    if name not in allowed:
        raise LabError(
            f"theory knows no {what} '{name}'; it knows {listed(list(allowed))}{nearest(name, list(allowed))}"
        )
