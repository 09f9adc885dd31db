"""Which layers stand between two convolutions?

`LayerFactory` holds the choices that all families share, so that a family's file says only what is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from labapp.nets.net import PreActivated

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
}


@dataclass(frozen=True)
class LayerFactory:
    """Makes a family's convolutions, normalisations and activations; a fresh module for every use, never in place."""

    norm_kind: str = "batch"
    activation_kind: str = "relu"
    padding_mode: Literal["zeros", "circular"] = "zeros"

    def conv(self, inputs: int, outputs: int, size: int, stride: int = 1, *, bias: bool | None = None) -> nn.Conv2d:
        """A convolution that keeps the image's size (up to its stride); without a norm behind it, it has a bias."""
        return nn.Conv2d(
            inputs,
            outputs,
            size,
            stride,
            padding=size // 2,
            padding_mode=self.padding_mode,
            bias=self.norm_kind == "none" if bias is None else bias,
        )

    def stem_pool(self) -> dict[str, nn.Module | None]:
        """The ImageNet forms' maximum over 3×3, as parts of a sequence; circular like the convolutions, or over −∞."""
        if self.padding_mode == "circular":
            return {"pad": nn.CircularPad2d(1), "pool": nn.MaxPool2d(3, stride=2)}
        return {"pool": nn.MaxPool2d(3, stride=2, padding=1)}

    def norm(self, channels: int) -> nn.Module | None:
        """A normalisation over images (N, C, H, W), or None."""
        if self.norm_kind == "batch":
            return nn.BatchNorm2d(channels)
        if self.norm_kind == "layer":
            return nn.GroupNorm(1, channels)
        if self.norm_kind == "group":
            return nn.GroupNorm(groups(channels), channels)
        return None

    def activation(self) -> nn.Module:
        """A fresh activation."""
        return ACTIVATIONS[self.activation_kind]()


def groups(channels: int) -> int:
    """How many groups a group norm makes: 32 (Wu & He 2018), fewer where a group would hold a single channel."""
    return next(number for number in range(min(32, max(channels // 2, 1)), 0, -1) if channels % number == 0)


def sequential(**parts: nn.Module | None) -> nn.Sequential:
    """The named parts one after the other; a None is left out."""
    return _fill(nn.Sequential(), parts)


def preactivated(**parts: nn.Module | None) -> nn.Sequential:
    """The same for a sequence whose norms and activations stand before the layer they feed."""
    return _fill(PreActivated(), parts)


def _fill(sequence: nn.Sequential, parts: dict[str, nn.Module | None]) -> nn.Sequential:
    for name, part in parts.items():
        if part is not None:
            sequence.add_module(name, part)
    return sequence
