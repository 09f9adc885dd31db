"""Along which axis do the channels of each output of a net lie?

One image passes through the net with gradients, so that the autograd graph says what was done to the axes
(`labapp.recording.layout`). What is found holds for all other passes of the net, with gradients or without.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from labapp.recording.hooks import Hooks, tensors_in
from labapp.recording.layout import channel_axis
from labapp.recording.places import WHOLE


def channel_axes(
    model: nn.Module, image: Tensor, paths: Iterable[str], shapes: dict[str, tuple[int, ...]] | None = None
) -> dict[str, int | None]:
    """The axis of the channels of each output, None where it cannot be told; for use in `undisturbed`.

    Args:
        model: Any net.
        image: (1, C, H, W), on its device.
        paths: The modules asked about; the second call of one is called `path#2`.
        shapes: Given the shapes of those outputs that are one tensor in the order of execution.
    """
    found: dict[str, int | None] = {}
    calls: dict[str, int] = {}
    axes: dict[Any, int] = {}

    def note(path: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        made = next(tensors_in(output), None)
        call = calls[path] = calls.get(path, 0) + 1
        if made is None or not made.dim():
            return
        name = path if call == 1 else f"{path}#{call}"
        axis = found[name] = channel_axis(module, made, axes)
        if shapes is not None and made is output:
            shapes[name] = tuple(made.shape)
        if axis is not None and made.grad_fn is not None:
            axes[made.grad_fn] = axis

    with torch.enable_grad(), Hooks() as hooks:
        for path in sorted(set(paths)):
            hooks.after(model if path == WHOLE else model.get_submodule(path), partial(note, path))
        given = image.detach().clone().requires_grad_(image.is_floating_point()).clone()  # nets may overwrite it
        axes[given.grad_fn] = 1
        model(given)
    return found


def untold(name: str, shape: tuple[int, ...]) -> str:
    """Why a layer cannot be read, in a sentence."""
    return (
        f"which axis of the output {tuple(shape)} of '{name}' holds its channels cannot be told; choose a layer "
        "behind a convolution, a linear layer or a norm"
    )
