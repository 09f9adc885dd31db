"""Which images does a net take: how many channels, in which precision?

Asked of the first layer that *runs*, which need not be the first that is defined, nor the one that reads the image: a
net may turn colours into grey, or unshuffle pixels, before its first convolution.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.recording.hooks import Hooks, tensors_in
from labapp.recording.places import CONVOLUTIONS

COLOURS = 3  # of the image that is tried


class Inlet(NamedTuple):
    """What a net takes. Channels are 3, and the layer is "", where no layer says otherwise."""

    channels: int
    dtype: torch.dtype
    layer: str


class _FirstLayerRuns(Exception):  # noqa: N818  it ends the forward pass and is no error
    def __init__(self, path: str) -> None:
        self.path = path


def inlet(model: nn.Module, image_size: int) -> Inlet:
    """The images that a net takes; it runs up to its first layer with weights, and is not changed."""
    weights = [weight for _, weight in model.named_parameters()]
    if any(map(is_lazy, weights)):  # to run it would settle their shapes
        return Inlet(COLOURS, torch.float32, "")
    dtype = next((p.dtype for p in weights if p.is_floating_point()), torch.float32)
    device = weights[0].device if weights else None
    image = torch.zeros(1, COLOURS, image_size, image_size, device=device, dtype=dtype)
    read: dict[str, Tensor] = {}
    layers = {path: module for path, module in model.named_modules() if _channels(module)}

    with undisturbed(model), torch.no_grad(), Hooks() as hooks:
        for path, module in layers.items():

            def stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], path: str = path) -> None:
                if (given := next(tensors_in((args, kwargs)), None)) is not None:
                    read[path] = given
                raise _FirstLayerRuns(path)

            hooks.before(module, stop)
        try:
            model(image)
        except _FirstLayerRuns as found:
            path = found.path
        except Exception:  # the net fails before: whoever runs it in earnest will say so
            return Inlet(COLOURS, dtype, "")
        else:
            return Inlet(COLOURS, dtype, "")
    layer, given = layers[path], read.get(path)
    weight = next((p for p in layer.parameters() if p.is_floating_point()), None)
    if given is None or weight is None:
        return Inlet(COLOURS, dtype, path)
    takes = _channels(layer)
    there = given.shape[-1] if isinstance(layer, nn.Linear) else given.shape[1]
    # what stands before the layer makes so many channels of each colour
    channels, rest = divmod(takes * COLOURS, there)
    return Inlet(COLOURS if rest or not channels else channels, weight.dtype, path)


def _channels(module: nn.Module) -> int:
    """How many channels a layer reads; 0 for anything else, and where that is not settled yet."""
    if isinstance(module, CONVOLUTIONS):
        return int(module.in_channels)
    if isinstance(module, nn.Linear):
        return int(module.in_features)
    if isinstance(module, _NormBase):
        return int(module.num_features)
    number: Any = module.num_channels if isinstance(module, nn.GroupNorm) else 0
    return int(number)
