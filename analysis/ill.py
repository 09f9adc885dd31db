"""Which nets are ill on purpose, for a diagnosis to be held against?

What an experiment can say by itself stands in the sweep: an initialisation that vanishes, a rate that is too high. Here
are the lab's nets with what none of its options makes, each a callable for `labapp train --net analysis.ill:NAME`:

* `frozen_…`: the convolutions of the second stage never change, as where somebody forgot to thaw them;
* `dead_…`: behind one norm in the middle of the net every rectifier is shut, since that norm's shift is −5 standard
  deviations;
* `cut_…`: the shortcut of one block in the middle of the net hands on nothing.

    labapp sweep analysis/sweeps/quick/ill.yaml --trust analysis.ill
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labapp.nets import build

WIDTH = 8
SHUT = -5.0  # standard deviations by which a norm shifts: a rectifier behind it opens for one value in three million


class NoShortcut(nn.Module):
    """Zeros in place of a shortcut's output."""

    def __init__(self, shortcut: nn.Module) -> None:
        super().__init__()
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """As the shortcut, times zero."""
        return self.shortcut(x) * 0


def frozen_plain20(num_classes: int) -> nn.Module:
    """plain-20 whose second stage is frozen."""
    return _frozen(_net("plain", num_classes))


def frozen_residual20(num_classes: int) -> nn.Module:
    """residual-20 whose second stage is frozen."""
    return _frozen(_net("residual", num_classes))


def dead_plain20(num_classes: int) -> nn.Module:
    """plain-20 with a dead layer in the middle of its second stage."""
    return _dead(_net("plain", num_classes))


def dead_residual20(num_classes: int) -> nn.Module:
    """residual-20 with a dead layer in a branch in the middle of its second stage."""
    return _dead(_net("residual", num_classes))


def cut_residual20(num_classes: int) -> nn.Module:
    """residual-20 without the shortcut in the middle of its second stage."""
    return _cut(_net("residual", num_classes), 20)


def cut_residual56(num_classes: int) -> nn.Module:
    """residual-56 without the shortcut in the middle of its second stage."""
    return _cut(_net("residual", num_classes, 56), 56)


def _net(family: str, num_classes: int, depth: int = 20) -> nn.Module:
    return build(family, depth=depth, width=WIDTH, num_classes=num_classes, image_size=24, in_channels=3)


def _frozen(net: nn.Module) -> nn.Module:
    for name, module in net.named_modules():
        if name.startswith("stage2") and isinstance(module, nn.Conv2d):
            module.requires_grad_(False)
    return net


def _dead(net: nn.Module) -> nn.Module:
    with torch.no_grad():
        net.get_submodule("stage2.block2.branch.norm1").bias.fill_(SHUT)
    return net


def _cut(net: nn.Module, depth: int) -> nn.Module:
    block = net.get_submodule(f"stage2.block{(depth - 2) // 12 + 1}")
    block.shortcut = NoShortcut(block.shortcut)
    return net
