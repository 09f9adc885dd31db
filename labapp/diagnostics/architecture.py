"""What follows from a net's architecture alone?

    architecture(build("vgg16"))            # one row a layer
    share_of_linear_layers(net)             # VGG-16: 0.89 of all weights

A multiply-add is one product and one sum in a convolution or linear layer, for one image. Nothing else is counted, as
in the papers; so the products inside an attention are missing. `torch.utils.flop_counter` counts the same, as two
operations each, but adds up all calls of a module, where here every call is a row. One image passes through the net to
learn the shapes; on `torch.device("meta")` that costs nothing.
"""

import math
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from labapp.config import LabError
from labapp.diagnostics.measuring.outputs import device_of
from labapp.diagnostics.measuring.tensors import first_tensor
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.diagnostics.receptive_field import Field, Fields
from labapp.recording.hooks import Hooks, tensors_in
from labapp.recording.layout import channel_axis
from labapp.recording.places import ExecutionOrder, Spot, find_layers


def architecture(net: nn.Module, image_size: int, *, in_channels: int = 3) -> pd.DataFrame:
    """Every layer of a net, in the order of execution.

    Columns: layer, kind, depth, stage, block, shape (C, H, W of the output), parameters (the layer's own; of a block
    all inside), multiply_adds (likewise), receptive_field and jump (pixels, see `labapp.diagnostics.receptive_field`).
    Rows of kind "other" hold parameters that belong to no layer, so that all rows without blocks add up to the net.

    Args:
        net: Any net, on any device.
        image_size: Pixels a side.
        in_channels: Channels of an image.

    Raises:
        LabError: If the net does not take such an image.
    """
    rows: list[dict[str, Any]] = []
    calls: dict[str, int] = {}
    order = ExecutionOrder()
    spots = find_layers(net)
    images = torch.ones(1, in_channels, image_size, image_size, device=device_of(net), dtype=_dtype(net))

    def note(fields: Fields, spot: Spot, module: nn.Module, args: tuple, output: Any) -> None:
        made = next(tensors_in(output), None)
        if made is None:
            return
        call = calls[spot.path] = calls.get(spot.path, 0) + 1
        shape = tuple(made.shape)
        depth, stage = order.after(spot.kind, call, shape, channel_axis(module, made))
        field = fields.of(made) or Field(math.nan, math.nan)
        counted = sum(p.numel() for p in module.parameters(recurse=spot.kind == "block")) if call == 1 else 0
        rows.append(
            {
                "layer": spot.path if call == 1 else f"{spot.path}#{call}",
                "kind": spot.kind,
                "depth": spot.depth or depth,
                "stage": spot.stage or stage,
                "block": spot.block,
                "shape": shape[1:],
                "parameters": counted,
                "multiply_adds": multiply_adds(module, first_tensor(args), made) if args else 0,
                "receptive_field": field.size,
                "jump": field.jump,
            }
        )

    with undisturbed(net), torch.no_grad(), Hooks() as hooks, Fields(images) as fields:
        for spot in spots:
            hooks.after(spot.module, partial(note, fields, spot))
        _run(net, images)
    table = pd.DataFrame(rows + _others(net, spots, calls))
    for index in table.index[table.kind == "block"]:
        inside = table.layer.str.startswith(f"{table.layer[index]}.") & (table.kind != "block")
        table.loc[index, "multiply_adds"] = table.multiply_adds[inside].sum()
    return table


def multiply_adds(module: nn.Module, given: Tensor, output: Tensor) -> int:
    """Multiply-adds that made an output (N, …) of a convolution or linear layer; 0 for anything else."""
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        return given.numel() * module.weight[0].numel()
    if isinstance(module, nn.modules.conv._ConvNd):
        return output.numel() * module.weight[0].numel()
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    return 0


def share_of_linear_layers(net: nn.Module) -> float:
    """Parameters of all linear layers over all parameters; 0.93 to 0.86 in the VGG nets of 2014."""
    total = sum(p.numel() for p in net.parameters())
    if not total:
        raise LabError("this net has no parameters")
    linear = {id(p): p.numel() for m in net.modules() if isinstance(m, nn.Linear) for p in m.parameters(recurse=False)}
    return sum(linear.values()) / total


def _run(net: nn.Module, images: Tensor) -> Tensor:
    try:
        return first_tensor(net(images))
    except RuntimeError as error:
        size = "×".join(map(str, images.shape[1:]))
        raise LabError(f"this net does not take an image of {size}: {str(error).splitlines()[0]}") from error


def _others(net: nn.Module, spots: list[Spot], calls: dict[str, int]) -> list[dict[str, Any]]:
    """Parameters outside all listed layers, one row a module that holds some."""
    layers = [spot.module for spot in spots if spot.path in calls and spot.kind != "block"]
    counted = {id(p) for module in layers for p in module.parameters(recurse=False)}
    rows = []
    for path, module in net.named_modules():
        own = [p.numel() for p in module.parameters(recurse=False) if id(p) not in counted]
        if own:
            place = {"layer": path, "kind": "other", "depth": 0, "stage": 0, "block": "", "shape": ()}
            numbers = {"parameters": sum(own), "multiply_adds": 0, "receptive_field": math.nan, "jump": math.nan}
            rows.append(place | numbers)
    return rows


def _dtype(net: nn.Module) -> torch.dtype:
    return next((p.dtype for p in net.parameters() if p.is_floating_point()), torch.float32)
