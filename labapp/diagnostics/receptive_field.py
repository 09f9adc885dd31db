"""How much of the image can one position of a layer see?

A convolution or pooling with kernel k, dilation d and stride s widens what its input sees by (k − 1) · d · j pixels,
where j (the jump) is the distance in pixels between neighbouring positions of its input; behind it the jump is j · s.
Araujo, Norris, Sim 2019, *Computing receptive fields of convolutional neural networks*, Distill. Here rows and columns
are followed one by one, and of every position where its field begins and ends (`labapp.diagnostics.measuring.lines`),
which also tells transposed convolutions, resizing, shuffled pixels, crops and branches that stand askew.

In pixels of the input along the axis where it sees more, at most: the position that sees most counts, with what lies
beyond the border, and however little a pixel matters. Whatever joins all positions (a global average, a linear layer on
a flattened map, attention) is a kernel as large as its map; what such a view comes back to, as by a squeeze-excite's
gate, sees the whole image, and keeps its jump. Normalisations are taken to be those of training's statistics.

The rule follows tensors through every function that a net calls, so it needs no declared structure: it holds for
additions, concatenations and slices in anybody's net.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from labapp.diagnostics.measuring.seeing import seen
from labapp.diagnostics.measuring.sights import Sight, of_images

SHAPE_ONLY = ("new_", "bernoulli")  # functions that read a tensor's shape alone, beside zeros_like and its kind


class Field(NamedTuple):
    """What one position sees, and how far apart neighbouring positions are, in pixels along the larger axis."""

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
        self._known: dict[int, tuple[Tensor, Sight]] = {id(images): (images, of_images(images.shape))}

    def of(self, tensor: Tensor) -> Field | None:
        """The field of a tensor made inside; None if it does not come from the images."""
        found = self._known.get(id(tensor))
        return Field(*found[1].field) if found else None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        views = {
            id(tensor): self._known[id(tensor)][1] for tensor in _tensors((args, kwargs)) if id(tensor) in self._known
        }
        result = func(*args, **kwargs)
        if views:
            name = func.__name__
            if name == "__get__":  # a property: x.T
                name = getattr(getattr(func, "__self__", None), "__name__", name)
            if name.startswith(SHAPE_ONLY) or name.endswith("_like"):
                return result
            for number, made in enumerate(_tensors(args[0] if name == "__setitem__" else result)):
                self._known[id(made)] = made, seen(name, number, made, args, kwargs, views)
        return result


def _tensors(value: Any) -> list[Tensor]:
    """Tensors of every kind, complex ones of a Fourier transform too."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
