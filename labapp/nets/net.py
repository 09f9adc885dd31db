"""Which modules of a net can be recorded, in the order in which they run?

A `Net` is a sequence of named parts that knows its places. They are read off the module tree, by two rules that every
family keeps: children are registered in the order in which they run (a block's branch before its shortcut), and
each module runs once.

Three conventions make nets of different families comparable:

* `depth` counts the layers with weights, 1 … L, as the papers do. A projection on a shortcut is not counted there
  (ResNet-20 with projections is still ResNet-20); it takes the depth of the branch layer whose output it is added to.
  A normalisation or activation shares the depth of the layer that it follows, in pre-activation form of the layer that
  it feeds; a pooling that of the layer before it; a block that of its last layer.
* `stage` counts spatial resolutions of the *output*, from 1: every stride begins a new one. So in a bottleneck that
  halves the image the first 1×1 convolution still belongs to the stage before. The global average and whatever follows
  stay in the last stage.
* `block` is the path of the residual, plain or dense block around a place, its own path for a block, else empty.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

ACTIVATION_TYPES = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.LeakyReLU)
POOL_TYPES = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


class Place(NamedTuple):
    """One module of a net whose output is worth recording."""

    path: str
    kind: str  # conv | linear | norm | activation | block | pool
    depth: int
    stage: int
    block: str


class Block(nn.Module):
    """A module that counts as one block; subclasses define what it computes."""


class PreActivated(nn.Sequential):
    """A sequence in which normalisation and activation stand before the layer they feed."""


class Net(nn.Sequential):
    """A sequence of named parts, with the `places` that can be recorded.

    >>> net = build("residual", depth=20)
    >>> net.places[0]
    Place(path='stem.conv', kind='conv', depth=1, stage=1, block='')
    """

    def __init__(self, parts: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.places = listening_places(self)

    def residual_blocks(self) -> list[nn.Module]:
        """The blocks with a shortcut, in order; empty for the families without."""
        return [module for module in self.modules() if isinstance(module, Block) and hasattr(module, "shortcut")]


def listening_places(net: nn.Module) -> list[Place]:
    """All places of a net whose children are registered in the order in which they run."""
    places: list[Place] = []
    depth, stage = 0, 1

    def visit(module: nn.Module, path: str, block: str, feeds: bool, beside: bool) -> None:
        nonlocal depth, stage
        kind = _kind(module)
        block = path if kind == "block" else block
        feeds = feeds or isinstance(module, PreActivated)
        if not beside:  # a shortcut runs beside its branch, which has already counted the layers and the stride
            depth += kind in ("conv", "linear")
            stage += bool(places) and _stride(module) > 1  # the first layer's output is stage 1
        for name, child in module.named_children():
            visit(child, f"{path}.{name}" if path else name, block, feeds, beside or name == "shortcut")
        if kind:
            ahead = feeds and not beside and kind in ("norm", "activation")
            places.append(Place(path, kind, depth + ahead, stage, block))

    visit(net, "", "", feeds=False, beside=False)
    return places


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        return "conv"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
        return "norm"
    if isinstance(module, ACTIVATION_TYPES):
        return "activation"
    if isinstance(module, POOL_TYPES):
        return "pool"
    return "block" if isinstance(module, Block) else ""


def _stride(module: nn.Module) -> int:
    if not isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        return 1
    return module.stride if isinstance(module.stride, int) else module.stride[0]
