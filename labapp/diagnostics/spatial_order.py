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

from labapp.config import LabError
from labapp.diagnostics.measuring.interval import mean_interval
from labapp.diagnostics.measuring.measured import labels_of
from labapp.diagnostics.measuring.outputs import device_of
from labapp.diagnostics.measuring.tensors import first_tensor
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.recording.hooks import Hooks, tensors_in
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
    """Accuracy and change of the output when the positions of the last feature map are permuted.

    Args:
        model: Any net from images to class scores.
        images: (N, C, H, W).
        labels: (N,) classes; without them no accuracy.
        repeats: Permutations, each used for all images.
        batch_size: Images at a time.
        seed: Of the permutations.

    Raises:
        LabError: If labels do not fit, or the net has no map with more than one position.
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
        name, module, (height, width) = _last_map(model, images[:1].to(device))
        plain = outputs()
        permuted = []
        for _ in range(repeats):
            order = _moving(height * width, draw).to(device)
            with Hooks() as hooks:
                hooks.after(module, _permute(order))
                permuted.append(outputs())
    if not bool(torch.isfinite(plain).all()):
        nothing = (math.nan,) * 6
        return SpatialOrder(name, height * width, repeats, *nothing, "the net's outputs are not finite")
    changed = torch.stack(permuted)  # (repeats, N, classes)
    sizes = plain.norm(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
    change = float(((changed - plain).norm(dim=2) / sizes).mean())
    moved = float((changed.argmax(2) != plain.argmax(1)).double().mean())
    note = "the head does not see positions" if change < ROUNDING else ""
    if classes is None:
        missing = (math.nan,) * 4
        return SpatialOrder(name, height * width, repeats, *missing, change, moved, note or "no labels, so no accuracy")
    right = mean_interval((changed.argmax(2) == classes).double().mean(0))  # of each image, over permutations
    accuracy = float((plain.argmax(1) == classes).double().mean())
    note = "; ".join(filter(None, (note, right.reason)))
    return SpatialOrder(name, height * width, repeats, accuracy, *right[:3], change, moved, note)


def _moving(positions: int, draw: torch.Generator) -> Tensor:
    """A random permutation that moves something."""
    while True:
        order = torch.randperm(positions, generator=draw)
        if bool((order != torch.arange(positions)).any()):
            return order


def _permute(order: Tensor) -> Any:
    """A hook whose return value takes the place of the output."""

    def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        return output.flatten(2)[:, :, order].view(output.shape)

    return hook


def _last_map(model: nn.Module, image: Tensor) -> tuple[str, nn.Module, tuple[int, int]]:
    """The last place whose output is a map with more than one position, and the map's size."""
    found: list[tuple[str, nn.Module, tuple[int, int]]] = []
    with Hooks() as hooks:
        for spot in find_layers(model):

            def note(module: nn.Module, args: tuple, output: Any, path: str = spot.path) -> None:
                made = output if isinstance(output, Tensor) else None
                if made is not None and made.dim() == 4 and made.shape[2] * made.shape[3] > 1:
                    found.append((path, module, (made.shape[2], made.shape[3])))

            hooks.after(spot.module, note)
        model(image)
    if not found:
        raise LabError("this net has no feature map with more than one position for such images; take larger ones")
    return found[-1]


def accepted_sizes(model: nn.Module, sizes: Iterable[int], *, in_channels: int = 3) -> pd.DataFrame:
    """Which image sizes a net takes.

    Columns: size (pixels a side), accepted, positions (of the last feature map; 0 if it has one or none), note (why
    not). One row a size.
    """
    parameter = next(model.parameters(), torch.empty(0))
    rows = []
    for size in sizes:
        if size < 1:
            raise LabError(f"an image size must be at least 1 pixel, not {size}")
        image = torch.zeros(1, in_channels, size, size, device=parameter.device, dtype=parameter.dtype)
        positions: list[int] = []

        def note(module: nn.Module, args: tuple, output: Any, positions: list[int] = positions) -> None:
            made = next(tensors_in(output), None)
            if made is not None and made.dim() == 4:
                positions.append(made.shape[2] * made.shape[3])

        with undisturbed(model), torch.no_grad(), Hooks() as hooks:
            for spot in find_layers(model):
                hooks.after(spot.module, note)
            try:
                model(image)
                reason = ""
            except (RuntimeError, ValueError, AssertionError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        last = next((number for number in reversed(positions) if number > 1), 0)
        rows.append({"size": size, "accepted": not reason, "positions": 0 if reason else last, "note": reason})
    return pd.DataFrame(rows)
