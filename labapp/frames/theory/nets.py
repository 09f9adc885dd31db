"""How large are gradients at the layers of a whole net, before training?"""

from __future__ import annotations

import numpy as np

from labapp.config import LabError
from labapp.frames.theory.gains import KAPPA, Array, activation_moments, plain_gain, weight_gain


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


def dense_profile(layers: int, inputs: int, growth_rate: int, *, bottleneck: bool = False) -> Array:
    """Gradient norms at the maps that the layers of one dense block add, over the last one's.

    He's fan-out initialisation, batch norm, ReLU. Layer s reads C_s = inputs + (s − 1) k channels, all standardised, so
    each gets the same part of what a later layer sends back, and divides it by the variance of its own maps, C_s/(κk)
    with κ = π/(π − 1). What comes from behind the block reaches all maps alike, e each. So the squares obey
    g_s = κk/C_s · (e + g_{s+1} + … + g_L), which grows like (C_L/C_s)^κ: a power of the depth, as in residual nets, for
    every layer has a direct way to the end. With bottlenecks all maps have one variance, and
    g_s = g_{s+1} (1 + κ²k/C_{s+1}). (Derived here.)

    Args:
        layers: L of the block.
        inputs: Channels of the block's input.
        growth_rate: k, channels that a layer adds.
        bottleneck: Whether a 1×1 convolution to 4k channels comes before the 3×3 one.
    """
    if layers < 1 or inputs < 1 or growth_rate < 1:
        raise LabError("a dense block has one layer, one input channel and a growth rate of 1 at least")
    channels = inputs + growth_rate * np.arange(layers)
    if bottleneck:
        return _from_gains(1 + KAPPA**2 * growth_rate / channels[1:])
    growth = np.cumprod(1 + KAPPA * growth_rate / channels[:0:-1])[::-1]
    ahead = np.append(growth, 1.0)  # e + g_{s+1} + … + g_L, over e
    return np.sqrt(ahead * channels[-1] / channels)


def _from_gains(gains: Array) -> Array:
    """Norms from gains, the first layer's first; the last is 1."""
    return np.sqrt(np.append(np.cumprod(gains[::-1])[::-1], 1.0))
