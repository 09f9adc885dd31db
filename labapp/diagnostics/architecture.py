"""What follows from a net's architecture alone?

    architecture(build("vgg16"))            # one row a layer
    share_of_linear_layers(net)             # VGG-16: 0.89 of all weights

A multiply-add is one product and one sum of a weight with what comes from the image, for one image, wherever it is
done: in a convolution, a linear layer, the projections of an attention. Nothing else is counted, as in the papers; so
the products of queries, keys and values with each other are missing. `torch.utils.flop_counter` counts those too, as
two operations each, and adds up all calls of a module, where here every call is a row. One image passes through the
net to learn the shapes; on `torch.device("meta")` that costs nothing.
"""

import math
from collections import Counter
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from labapp.config import LabError
from labapp.diagnostics.measuring.inlet import inlet
from labapp.diagnostics.measuring.outputs import device_of
from labapp.diagnostics.measuring.products import Products
from labapp.diagnostics.measuring.tensors import first_tensor
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.diagnostics.receptive_field import Field, Fields
from labapp.recording.hooks import Hooks, tensors_in
from labapp.recording.layout import channel_axis, channels_second
from labapp.recording.places import WHOLE, ExecutionOrder, Spot, find_layers

LINEAR = (nn.Linear, nn.MultiheadAttention)


def architecture(net: nn.Module, image_size: int, *, in_channels: int = 3) -> pd.DataFrame:
    r"""Every layer of a net, in the order of execution.

    Columns: layer, kind, depth, stage, block, shape (of the output, channels first: C, H, W), parameters (the layer's
    own; of a block all inside), multiply_adds (likewise; each run of a block by itself), receptive_field and jump
    (pixels, see `labapp.diagnostics.receptive_field`). Rows of kind "other" hold what belongs to no layer:
    parameters, and the products of modules that use weights without calling a layer, such as an attention. So all rows
    without blocks add up to the net.

    Args:
        net: Any net, on any device.
        image_size: Pixels a side.
        in_channels: Channels of an image.

    Raises:
        LabError: If the net does not take such an image, has no layers, or hooks do not fire in it.

    Method:
        Meaning: What each layer holds (parameters), computes (multiply-adds), makes (shape) and sees (receptive field).
        Formula: Multiply-adds of a convolution: $C_\text{out} H W \cdot C_\text{in} k^2 / \text{groups}$, for one
            image.
        Source: He et al. 2015 (arXiv 1512.03385), Tables 1 and 6; Araujo, Norris & Sim 2019, *Computing Receptive
            Fields of Convolutional Neural Networks*, for the receptive field.
        Batch norm: Its parameters are counted, its arithmetic is not, as in the papers.
        Sampling: None: no image but one made-up image to learn the shapes from.
        Fails: Products of queries, keys and values with each other are not counted, and time on a machine does not
            follow from multiply-adds alone.
    """
    spots = find_layers(net)
    dtype = inlet(net, image_size).dtype
    images = torch.ones(1, in_channels, image_size, image_size, device=device_of(net), dtype=dtype)
    with undisturbed(net), Hooks() as hooks:
        given = images.requires_grad_().clone()  # with a graph, which tells where channels lie
        with Fields(given) as fields:
            watch = _Watch(spots, fields)
            for path, module in net.named_modules():
                hooks.before(module, partial(watch.enter, path))
                hooks.after(module, partial(watch.leave, path), always=True)
            with Products(net, watch.multiplied):
                _run(net, given)
    rows = watch.rows + _others(net, spots, watch)
    if not rows:
        raise LabError(f"no layer of this {type(net).__name__} runs, so there is none to list")
    return pd.DataFrame(rows)


class _Watch:
    """What the modules of a net do, one row a call of a layer."""

    def __init__(self, spots: list[Spot], fields: Fields) -> None:
        self.spots = {"" if spot.path == WHOLE else spot.path: spot for spot in spots}
        self.fields = fields
        self.rows: list[dict[str, Any]] = []
        self.calls: dict[str, int] = {}
        self.own: Counter[str] = Counter()  # multiply-adds of modules that have no row yet, without those inside
        self._running: list[tuple[str, list[int]]] = []  # path; its own products, and all
        self._order = ExecutionOrder()
        self._axes: dict[Any, int] = {}

    def enter(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module begins."""
        self._running.append((path, [0, 0]))

    def multiplied(self, count: int) -> None:
        """Products are computed."""
        if self._running:
            self._running[-1][1][0] += count
        else:
            self.own[""] += count
        for _, counts in self._running:
            counts[1] += count

    def leave(self, path: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """A module has returned, or raised."""
        _, (own, whole) = self._running.pop()
        spot, made = self.spots.get(path), next(tensors_in(output), None)
        if spot is None or made is None:
            self.own[path] += own
            return
        call = self.calls[path] = self.calls.get(path, 0) + 1
        axis = channel_axis(module, made, self._axes) if made.dim() else 0
        if axis is not None and made.grad_fn is not None:
            self._axes[made.grad_fn] = axis
        block = spot.kind == "block"
        if block:
            self.own[path] += own
        depth, stage = self._order.after(spot.kind, call, tuple(made.shape), axis)
        field = self.fields.of(made) or Field(math.nan, math.nan)
        shape = (made if axis is None or made.dim() < 2 else channels_second(made, axis)).shape
        self.rows.append(
            {
                "layer": spot.path if call == 1 else f"{spot.path}#{call}",
                "kind": spot.kind,
                "depth": spot.depth or depth,
                "stage": spot.stage or stage,
                "block": spot.block,
                "shape": tuple(shape[1:]),
                "parameters": sum(p.numel() for p in module.parameters(recurse=block)) if call == 1 else 0,
                "multiply_adds": whole if block else own,
                "receptive_field": field.size,
                "jump": field.jump,
            }
        )


def share_of_linear_layers(net: nn.Module) -> float:
    """Parameters of all linear layers over all parameters; 0.93 to 0.86 in the VGG nets of 2014.

    An attention's projections are linear layers, whether it calls them or not.
    """
    total = sum(p.numel() for p in net.parameters())
    if not total:
        raise LabError("this net has no parameters")
    weights = {id(p): p.numel() for m in net.modules() if isinstance(m, LINEAR) for p in m.parameters(recurse=False)}
    return sum(weights.values()) / total


def _run(net: nn.Module, images: Tensor) -> Tensor:
    try:
        return first_tensor(net(images))
    except RuntimeError as error:
        size = "×".join(map(str, images.shape[1:]))
        raise LabError(f"this net does not take an image of {size}: {str(error).splitlines()[0]}") from error


def _others(net: nn.Module, spots: list[Spot], watch: _Watch) -> list[dict[str, Any]]:
    """Parameters outside all listed layers, and products of other modules; one row a module that has some."""
    layers = [spot.module for spot in spots if spot.path in watch.calls and spot.kind != "block"]
    counted = {id(p) for module in layers for p in module.parameters(recurse=False)}
    rows = []
    for path, module in net.named_modules():
        own = [p.numel() for p in module.parameters(recurse=False) if id(p) not in counted]
        if own or watch.own[path]:
            place = {"layer": path, "kind": "other", "depth": 0, "stage": 0, "block": "", "shape": ()}
            numbers = {"parameters": sum(own), "multiply_adds": watch.own[path]}
            rows.append(place | numbers | {"receptive_field": math.nan, "jump": math.nan})
    return rows
