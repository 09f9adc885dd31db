"""Does it matter to a net where things stand in its last feature map?

The positions of the last map before the classifier are permuted, all channels alike, and the net's head reads the
result. A head that averages first (global average pooling: Lin, Chen, Yan 2014, *Network in Network*, arXiv 1312.4400,
§3.2) cannot tell; a linear layer on the flattened map (VGG) can.

`accuracy` and `decisions_changed` are shares of images; `output_change` is the mean of ‖f(x) − f_π(x)‖ / ‖f(x)‖ over
images and permutations, without unit. Invariant to the choice of positions only if the head is; then 0 up to rounding.

    accepted_sizes(net, (16, 32, 64))       # and which image sizes does the net take at all?
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from labapp.config import LabError, first_line
from labapp.diagnostics.measuring.interval import mean_interval
from labapp.diagnostics.measuring.layouts import channel_axes, untold
from labapp.diagnostics.measuring.measured import labels_of
from labapp.diagnostics.measuring.outputs import device_of
from labapp.diagnostics.measuring.tensors import first_tensor
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.recording.hooks import Hooks
from labapp.recording.layout import channels_second
from labapp.recording.places import find_layers

ROUNDING = 1e-3  # a change of the output below this share of it is one of summing in another order


class SpatialOrder(NamedTuple):
    """What permuting positions does. NaN stands for what could not be measured; `note` says why."""

    layer: str  # the map that was permuted: the last one with more than one position
    positions: int
    repeats: int
    accuracy: float
    accuracy_permuted: float
    low: float  # 95 % interval of accuracy_permuted, for the images: of a mean, since each image has a share
    high: float
    output_change: float
    decisions_changed: float
    note: str = ""


def spatial_order(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    repeats: int = 5,
    batch_size: int = 128,
    seed: int = 0,
) -> SpatialOrder:
    r"""Accuracy and change of the output when the positions of the last feature map are permuted.

    Args:
        model: Any net from images to class scores.
        images: (N, C, H, W).
        labels: (N,) classes; without them no accuracy.
        repeats: Permutations, each used for all images.
        batch_size: Images at a time.
        seed: Of the permutations.

    Raises:
        LabError: If labels do not fit, or the net has no map with more than one position.

    Method:
        Meaning: Whether the net's decision depends on where things stand in its last feature map.
        Formula: Mean of $\lVert f(x) - f_\pi(x) \rVert / \lVert f(x) \rVert$, and the share of decisions that change,
            when the positions of the last map are permuted.
        Source: Lin, Chen & Yan 2014 (arXiv 1312.4400), §3.2.
        Batch norm: Running statistics; images do not mix.
        Sampling: Test images and random permutations of one seed.
        Fails: Looks at the last map alone: a net with global average pooling gives 0 however much its convolutions read
            positions.
    """
    if repeats < 1:
        raise LabError(f"repeats must be at least 1, not {repeats}")
    if images.dim() != 4 or not len(images):
        raise LabError(f"images have the shape {tuple(images.shape)}; give (N, C, H, W) with at least one image")
    classes = None if labels is None else labels_of(labels, len(images))
    device = device_of(model)
    draw = torch.Generator().manual_seed(seed)

    def outputs() -> Tensor:
        return torch.cat([first_tensor(model(part.to(device))).cpu().double() for part in images.split(batch_size)])

    with undisturbed(model), torch.no_grad():
        last = _last_map(model, images[:1].to(device))
        name, positions, *_ = last
        plain = outputs()
        permuted = []
        for _ in range(repeats):
            order = _moving(positions, draw).to(device)
            with Hooks() as hooks:
                hooks.after(model.get_submodule(name.partition("#")[0]), _permute(order, last))
                permuted.append(outputs())
    if not bool(torch.isfinite(plain).all()):
        nothing = (math.nan,) * 6
        return SpatialOrder(name, positions, repeats, *nothing, "the net's outputs are not finite")
    changed = torch.stack(permuted)  # (repeats, N, classes)
    sizes = plain.norm(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
    change = float(((changed - plain).norm(dim=2) / sizes).mean())
    moved = float((changed.argmax(2) != plain.argmax(1)).double().mean())
    note = "the head does not see positions" if change < ROUNDING else ""
    if classes is None:
        missing = (math.nan,) * 4
        return SpatialOrder(name, positions, repeats, *missing, change, moved, note or "no labels, so no accuracy")
    right = mean_interval((changed.argmax(2) == classes).double().mean(0))  # of each image, over permutations
    accuracy = float((plain.argmax(1) == classes).double().mean())
    note = "; ".join(filter(None, (note, right.reason)))
    return SpatialOrder(name, positions, repeats, accuracy, *right[:3], change, moved, note)


def _moving(positions: int, draw: torch.Generator) -> Tensor:
    """A random permutation that moves something."""
    while True:
        order = torch.randperm(positions, generator=draw)
        if bool((order != torch.arange(positions)).any()):
            return order


class _LastMap(NamedTuple):
    """The last output of a net that is a map with more than one position."""

    layer: str
    positions: int
    axis: int  # of its channels
    calls: int  # of the module in one forward
    call: int  # the one that made this map


def _permute(order: Tensor, last: _LastMap) -> Any:
    """A hook whose return value takes the place of the output of that one call in each forward."""
    calls = 0

    def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        nonlocal calls
        calls += 1
        if (calls - 1) % last.calls + 1 != last.call:
            return None
        maps = channels_second(output, last.axis)
        return maps.flatten(2)[:, :, order].view(maps.shape).movedim(1, last.axis)

    return hook


def _last_map(model: nn.Module, image: Tensor) -> _LastMap:
    shapes: dict[str, tuple[int, ...]] = {}
    axes = channel_axes(model, image, [spot.path for spot in find_layers(model)], shapes)
    for name, shape in reversed(shapes.items()):
        axis = axes[name]
        if len(shape) == 4 and axis is None:
            raise LabError(untold(name, shape))
        positions = math.prod(shape) // shape[axis] if axis is not None and len(shape) == 4 else 1
        if axis is not None and positions > 1:
            path, _, call = name.partition("#")
            calls = sum(other.partition("#")[0] == path for other in shapes)
            return _LastMap(name, positions, axis, calls, int(call or 1))
    raise LabError("this net has no feature map with more than one position for such images; take larger ones")


def accepted_sizes(model: nn.Module, sizes: Iterable[int], *, in_channels: int = 3) -> pd.DataFrame:
    """Which image sizes a net takes.

    Columns: size (pixels a side), accepted, positions (of the last feature map; 0 if it has one or none), note (why
    not). One row a size.

    Method:
        Meaning: Which image sizes the net takes without an error.
        Formula: One made-up image a size is passed through the net.
        Source: Lin, Chen & Yan 2014, *Network in Network* (arXiv 1312.4400), §3.2: average pooling takes any size.
        Batch norm: Running statistics, which do not matter to the question.
        Sampling: The sizes asked for, one image of zeros each.
        Fails: That a size is taken does not say that the net knows anything at that size.
    """
    parameter = next(model.parameters(), torch.empty(0))
    rows = []
    for size in sizes:
        if size < 1:
            raise LabError(f"an image size must be at least 1 pixel, not {size}")
        image = torch.zeros(1, in_channels, size, size, device=parameter.device, dtype=parameter.dtype)
        positions, reason = 0, ""
        with undisturbed(model), torch.no_grad():
            try:
                positions = _last_map(model, image).positions
            except LabError:  # it is taken, and no map of it has more than one position
                pass
            except (RuntimeError, ValueError, AssertionError) as error:
                reason = first_line(error)
        rows.append({"size": size, "accepted": not reason, "positions": positions, "note": reason})
    return pd.DataFrame(rows)
