"""What are the features of each layer for the same images?

    features = collect(net, images)          # pooled: a layer's channels, averaged over positions
    features.by_layer["stage2.block3"]       # (N, C)

The net is read in evaluation mode and afterwards is as it was before (`labapp.diagnostics.measuring.undisturbed`). A
layer is called by its module's path, `path#2` for the second call in one forward pass.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from labapp.config import LabError
from labapp.diagnostics.measuring.layouts import untold
from labapp.diagnostics.measuring.outputs import LayerPosition, OutputReader, device_of
from labapp.diagnostics.measuring.tensors import first_tensor, wide
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.recording.hooks import Hooks
from labapp.recording.layout import channels_second
from labapp.recording.places import LayerSelection, require_open

Images = Tensor | Iterable[Any]


@dataclass(frozen=True)
class Features:
    """Features of N images at several layers, in the order of execution.

    Attributes:
        positions: the layers that ran.
        by_layer: layer -> (N, D), on the processor.
        outputs: the net's own output, (N, classes).
        silent: layers that were asked for and never ran.
    """

    positions: list[LayerPosition]
    by_layer: dict[str, Tensor]
    outputs: Tensor
    silent: list[LayerPosition] = field(default_factory=list)


def collect(
    model: nn.Module, images: Images, *, layers: LayerSelection = None, batch_size: int = 128, pool: bool = True
) -> Features:
    """Features of many layers for the same images.

    Args:
        model: Any net.
        images: (N, C, H, W), or batches as a DataLoader gives them.
        layers: Paths, globs, kinds or a predicate, see `labapp.recording.places.choose`; None takes what
            `labapp.diagnostics.measuring.outputs.representations` finds.
        batch_size: Images at a time.
        pool: Average over positions, which leaves one number a channel; False keeps every value, C·H·W an image.
    """
    kept: list[list[Tensor]] = []
    outputs = []
    with undisturbed(model), torch.no_grad(), OutputReader(model, layers) as reader:

        def on_output(index: int, output: Tensor) -> None:
            if index == len(kept):
                kept.append([])
            axis = reader.axes[index]
            if pool and axis is None:
                raise LabError(untold(reader.positions()[index].layer, output.shape))
            values = pooled(output, axis or 1) if pool else output.flatten(1)
            kept[index].append(values.to("cpu", torch.float32, copy=True))  # an activation may overwrite it in place

        for batch in batches(images, batch_size):
            outputs.append(first_tensor(reader.read(batch, on_output)).float().cpu())
        positions = reader.positions()
    if not outputs:
        raise LabError("there are no images to measure on; give at least one batch")
    values = {place.layer: torch.cat(parts) for place, parts in zip(positions, kept, strict=True)}
    return Features(positions, values, torch.cat(outputs), reader.silent())


class LastLayer(NamedTuple):
    """What enters a net's last linear layer, that layer's weight, and the net's output."""

    features: Tensor  # (N, D)
    weight: Tensor  # (classes, D)
    outputs: Tensor  # (N, classes)


def last_features(model: nn.Module, images: Images, *, batch_size: int = 128) -> LastLayer:
    """The inputs of the last linear layer that runs.

    Raises:
        LabError: If no linear layer runs.
    """
    require_open(model)
    entered: list[tuple[nn.Linear, Tensor]] = []
    features, outputs = [], []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = first_tensor((args, kwargs))
        entered[:] = [(module, given.detach().flatten(1))]  # type: ignore[list-item]

    with undisturbed(model), torch.no_grad(), Hooks() as hooks:
        for module in model.modules():
            if isinstance(module, nn.Linear):
                hooks.before(module, note)
        for batch in batches(images, batch_size):
            outputs.append(first_tensor(model(batch.to(device_of(model)))).float().cpu())
            if not entered:
                raise LabError("no linear layer of this net runs, so it has no last one")
            features.append(entered[0][1].float().cpu())
    if not outputs:
        raise LabError("there are no images to measure on; give at least one batch")
    weight = entered[0][0].weight.detach().float().cpu()
    return LastLayer(torch.cat(features), weight, torch.cat(outputs))


def pooled(output: Tensor, axis: int = 1) -> Tensor:
    """The mean over positions: (N, C, H, W), (N, H, W, C) or tokens (N, T, C) to (N, C), `axis` that of the channels.

    Half precision is summed in float32: the mean of a thousand values would lose its last digits.
    """
    if output.dim() < 3:
        return output.flatten(1)
    return channels_second(output, axis).flatten(2).mean(2, dtype=wide(output.dtype))


def batches(images: Images, batch_size: int) -> Iterator[Tensor]:
    """Batches of images from a tensor, or from batches with or without labels.

    Raises:
        LabError: If these are no images.
    """
    if isinstance(images, Tensor):
        if images.dim() < 2 or not len(images):
            raise LabError(f"images have the shape {tuple(images.shape)}; give (N, C, H, W) with at least one image")
        yield from images.split(batch_size)
        return
    for batch in images:
        yield first_tensor(batch)
