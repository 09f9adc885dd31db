"""How much of the image can one position of a layer see?

A convolution or pooling with kernel k, dilation d and stride s widens what its input sees by (k − 1) · d · j pixels,
where j (the jump) is the distance in pixels between neighbouring positions of its input; behind it the jump is j · s.
Where branches meet, the widest one counts. Araujo, Norris, Sim 2019, *Computing receptive fields of convolutional
neural networks*, Distill.

In pixels of the input, at most: it counts what lies beyond the border, and not how much a pixel matters. Whatever joins
all positions (a global average, a linear layer on a flattened map, attention) is a kernel as large as its map.

The rule follows tensors through every function that a net calls, so it needs no declared structure: it holds for
additions, concatenations and slices in anybody's net.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from labapp.recording.hooks import tensors_in

POOLS = ("max_pool", "avg_pool", "lp_pool")
GLOBAL = ("scaled_dot_product_attention", "multi_head_attention_forward", "matmul", "bmm")


class Field(NamedTuple):
    """What one position sees, and how far apart neighbouring positions are, in pixels along the longer axis."""

    size: float = 1
    jump: float = 1


class Fields(TorchFunctionMode):
    """Follows receptive fields from the images on through every function called inside.

    with Fields(images) as fields:
        output = net(images)
    fields.of(output)
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        # Held with their tensors, so that no number of a dead one passes to a new one.
        self._known: dict[int, tuple[Tensor, Field]] = {id(images): (images, Field())}

    def of(self, tensor: Tensor) -> Field | None:
        """The field of a tensor made inside; None if it does not come from the images."""
        found = self._known.get(id(tensor))
        return found[1] if found else None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [tensor for tensor in tensors_in((args, kwargs)) if id(tensor) in self._known]
        result = func(*args, **kwargs)
        if given:
            fields = [self._known[id(tensor)][1] for tensor in given]
            widest = Field(max(field.size for field in fields), max(field.jump for field in fields))
            for made in tensors_in(result):
                self._known[id(made)] = made, _behind(func.__name__, widest, given[0], made, args, kwargs)
        return result


def _behind(name: str, field: Field, given: Tensor, made: Tensor, args: tuple, kwargs: dict) -> Field:
    """The field of what a function made, from that of what it was given."""
    if name.startswith("conv") and "transpose" not in name:
        kernel = args[1].shape[2:]
        stride = _argument(args, kwargs, 3, "stride", 1)
        dilation = _argument(args, kwargs, 5, "dilation", 1)
        return _widened(field, kernel, stride, dilation)
    if any(pool in name for pool in POOLS) and "adaptive" not in name:
        kernel = _argument(args, kwargs, 1, "kernel_size", 1)
        stride = _argument(args, kwargs, 2, "stride", None) or kernel
        dilation = _argument(args, kwargs, 4, "dilation", 1) if "max" in name else 1
        return _widened(field, kernel, stride, dilation)
    if name in GLOBAL or (given.dim() > 3 and made.dim() < given.dim() and made.dim() > 0):
        return _joined(field, given, 1)  # flattened, averaged, or compared with all others
    if "adaptive" in name and given.dim() == made.dim():
        return _joined(field, given, max(made.shape[2:]))
    if (
        given.dim() == made.dim() == 4
        and given.shape[2:] != made.shape[2:]
        and ("item" in name or "interpolate" in name)
    ):
        return Field(field.size, field.jump * max(given.shape[2:]) / max(made.shape[2:]))
    return field


def _widened(field: Field, kernel: Any, stride: Any, dilation: Any) -> Field:
    reach = max((k - 1) * d for k, d in zip(_pair(kernel), _pair(dilation), strict=True))
    return Field(field.size + reach * field.jump, field.jump * max(_pair(stride)))


def _joined(field: Field, given: Tensor, bins: int) -> Field:
    """Behind a pooling of a whole map into a number of bins a side."""
    side = max(given.shape[2:]) if given.dim() > 3 else 1
    return Field(field.size + (-(-side // bins) - 1) * field.jump, field.jump * side / bins)


def _pair(value: Any) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, tuple | list | torch.Size) else (value, value)
    return (values[0], values[-1])


def _argument(args: tuple, kwargs: dict, at: int, name: str, default: Any) -> Any:
    return args[at] if len(args) > at else kwargs.get(name, default)
