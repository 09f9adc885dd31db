"""Which layers of a net are read, and what does each put out in a forward pass?

A layer is called by its module's path, `path#2` for the second call in one forward pass.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from labapp.config import LabError
from labapp.diagnostics.measuring.layouts import channel_axes
from labapp.recording.hooks import Hooks, tensors_in
from labapp.recording.places import ExecutionOrder, LayerSelection, Spot, choose, find_layers, relative_depth

OnOutput = Callable[[int, Tensor], None]


class LayerPosition(NamedTuple):
    """Where a layer stands in its net; the same columns as in the recorder's tables."""

    layer: str
    kind: str
    depth: int
    relative_depth: float
    stage: int
    block: str


def representations(model: nn.Module) -> list[str]:
    """The places that stand for a net's layers: its blocks, without blocks its activations.

    A dense block is a whole stage, so a dense net is read at its convolutions: the new features of each layer.
    """
    spots = find_layers(model)
    blocks = [spot for spot in spots if spot.kind == "block"]
    dense = any(type(spot.module).__name__.lstrip("_") == "DenseBlock" for spot in blocks)
    if blocks and not dense:
        return [spot.path for spot in blocks]
    activations = [spot.path for spot in spots if spot.kind == "activation"]
    if activations and not dense:
        return activations
    weighted = [spot for spot in spots if spot.kind in ("conv", "linear")]
    if not weighted:
        raise LabError("this net has no convolution and no linear layer, so there is nothing to compare")
    return [spot.path for spot in weighted if spot.kind == "conv"] or [spot.path for spot in weighted]


class OutputReader:
    """Passes on the outputs of a net's layers in each forward pass; leaves no hook behind.

    with OutputReader(model, layers) as reader:
        reader.read(images, on_output)         # calls on_output(index of the layer, output) while the net runs
    """

    def __init__(self, model: nn.Module, layers: LayerSelection = None) -> None:
        self.model = model
        self.spots = find_layers(model)
        self.chosen = choose(self.spots, representations(model) if layers is None else layers)
        self.device = device_of(model)
        self.axes: list[int | None] = []  # of each layer's channels; None where it cannot be told
        self._places: list[tuple[str, Spot, int, int]] = []  # name, spot, depth, stage
        self._index: dict[str, int] = {}
        self._calls: dict[str, int] = {}
        self._listened: list[str] = []
        self._layouts: dict[str, int | None] = {}
        self._order, self._forwards = ExecutionOrder(), 0
        self._reading = False  # other passes of the net are none of this reader's
        self._on_output: OnOutput = lambda index, output: None

    def __enter__(self) -> "OutputReader":
        self._hooks = Hooks()
        declared = all(spot.depth is not None for spot in self.spots)
        for spot in self.spots:
            if spot.path in self.chosen or (not declared and spot.kind in ("conv", "linear", "block")):
                self._listened.append(spot.path)
                self._hooks.after(spot.module, partial(self._take, spot))
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.remove()

    def read(self, images: Tensor, on_output: OnOutput) -> Any:
        """One forward pass. Returns the net's output; `on_output` must not keep what it is given."""
        if not self._forwards:
            self._layouts = channel_axes(self.model, images[:1].to(self.device), self._listened)
        self._calls.clear()
        self._on_output = on_output
        self._reading = True
        try:
            output = self.model(images.to(self.device))
        finally:
            self._reading = False
        self._forwards += 1
        return output

    def positions(self) -> list[LayerPosition]:
        """The layers that ran, in the order of execution."""
        last = max([spot.depth or 1 for spot in self.spots] + [self._order.depth], default=1)
        return [
            LayerPosition(name, spot.kind, depth, relative_depth(depth, last), stage, spot.block)
            for name, spot, depth, stage in self._places
        ]

    def silent(self) -> list[LayerPosition]:
        """What was asked for and never ran, in the order of definition; with depth 0 where that is not declared."""
        never = self.chosen - {spot.path for _, spot, _, _ in self._places}
        return [
            LayerPosition(spot.path, spot.kind, spot.depth or 0, math.nan, spot.stage or 0, spot.block)
            for spot in self.spots
            if spot.path in never
        ]

    def _take(self, spot: Spot, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not self._reading:
            return
        call = self._calls[spot.path] = self._calls.get(spot.path, 0) + 1
        found = next(tensors_in(output), None)
        if found is None:
            return
        name = spot.path if call == 1 else f"{spot.path}#{call}"
        axis = self._layouts.get(name)
        depth, stage = 0, 0
        if not self._forwards:
            depth, stage = self._order.after(spot.kind, call, tuple(found.shape), axis)
        if spot.path not in self.chosen or found.dim() < 2:
            return
        if name not in self._index:
            if self._forwards or name not in self._layouts:
                raise LabError(f"{name} runs for some images only, so layers cannot be compared over all of them")
            self._index[name] = len(self._places)
            self._places.append((name, spot, spot.depth or depth, spot.stage or stage))
            self.axes.append(axis)
        self._on_output(self._index[name], found.detach())


def device_of(model: nn.Module) -> torch.device:
    """Where a net's weights lie."""
    first = next(iter(model.parameters()), None)
    return first.device if first is not None else torch.device("cpu")
