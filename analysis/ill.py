"""What makes a net ill on purpose, for a diagnosis to be held against, and which nets are?

What an experiment can say by itself stands in the sweep: an initialisation that vanishes, a rate that is too high. Here
is what none of its options makes, each done to a net of the lab or to its optimizer, once and for all who need it:
`analysis.calibration` does it to small nets, and a few larger ones can be trained as nets of somebody's own, by
`labapp train --net analysis.ill:NAME`:

* `frozen_…`: the convolutions of the second stage never change, as where somebody forgot to thaw them;
* `dead_…`: behind one norm in the middle of the net every rectifier is shut, since that norm's shift is −5 standard
  deviations;
* `cut_…`: the shortcut of one block in the middle of the net hands on nothing.

    labapp sweep analysis/sweeps/diagnosis/ill.yaml --trust analysis.ill
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from labapp.nets import build

WIDTH = 8
SHUT = -5.0  # standard deviations by which a norm shifts: a rectifier behind it opens for one value in three million


class Scaled(nn.Module):
    """Times a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return self.factor * x


def freeze(modules: Iterable[nn.Module]) -> None:
    """No gradient for their weights."""
    for module in modules:
        module.requires_grad_(False)


def shut(modules: Iterable[nn.Module]) -> None:
    """A bias of −5, in front of rectifiers."""
    for module in modules:
        nn.init.constant_(module.get_parameter("bias"), SHUT)


def weaken_shortcuts(blocks: Iterable[Any], factor: float) -> None:
    """Shortcuts that carry this share of their input."""
    for block in blocks:
        block.shortcut = nn.Sequential(block.shortcut, Scaled(factor))


def weaken_branches(blocks: Iterable[Any], factor: float) -> None:
    """Branches that add this share of what they compute."""
    for block in blocks:
        block.branch.add_module("scaled", Scaled(factor))


def stand_still(modules: Iterable[nn.Module], optimizer: torch.optim.Optimizer) -> None:
    """Gradients for all weights, but a group of its own, marked as still, for those of these modules."""
    own = {parameter for module in modules for parameter in module.parameters()}
    group = optimizer.param_groups[0]
    optimizer.add_param_group({"params": [], **{k: v for k, v in group.items() if k != "params"}, "still": True})
    optimizer.param_groups[1]["params"] = [p for p in group["params"] if p in own]
    group["params"] = [p for p in group["params"] if p not in own]


def climb(optimizer: torch.optim.Optimizer) -> None:
    """The wrong sign: steps up the gradient."""
    for group in optimizer.param_groups:
        group["maximize"] = True


def below(net: nn.Module, path: str, kind: type[nn.Module], named: str = "") -> list[nn.Module]:
    """The modules of a kind in a part of a net; with `named`, those whose name in it has this in it."""
    part = net.get_submodule(path).named_modules()
    return [module for name, module in part if isinstance(module, kind) and named in name]


def blocks(net: nn.Module) -> list[nn.Module]:
    """The residual blocks."""
    return [module for module in net.modules() if hasattr(module, "shortcut") and hasattr(module, "branch")]


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
    freeze(below(net, "stage2", nn.Conv2d))
    return net


def _dead(net: nn.Module) -> nn.Module:
    shut([net.get_submodule("stage2.block2.branch.norm1")])
    return net


def _cut(net: nn.Module, depth: int) -> nn.Module:
    weaken_shortcuts([net.get_submodule(f"stage2.block{(depth - 2) // 12 + 1}")], 0.0)
    return net
