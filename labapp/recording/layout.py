"""Which axis of an output holds the channels? It is asked of the operation that made it, not of the number of axes.

A convolution makes channels second, a linear layer last. What stands between such a layer and an output (sums, gates,
activations, permutations, views, slices) says in the autograd graph what it did to the axes, so the answer is followed
from there: the blocks of Swin and ConvNeXt, (N, H, W, C), are told from those of a ResNet, (N, C, H, W).
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod
from operator import mul
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from labapp.recording.graph import Node, is_any, node_of
from labapp.recording.places import CONVOLUTIONS, POOLS

LAST = (nn.Linear, nn.Bilinear, nn.Embedding, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)
SECOND = (_NormBase, nn.GroupNorm, nn.LocalResponseNorm)
FAR = 300  # nodes that are asked about one output

# Autograd nodes. Those that make channels themselves …
MAKE_SECOND = (
    *("ConvolutionBackward", "SlowConv", "NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "NativeGroupNorm"),
    *("MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "Upsample", "PixelShuffle", "PixelUnshuffle"),
)
MAKE_LAST = ("AddmmBackward", "MmBackward", "LinearBackward", "EmbeddingBackward")
# … those behind which channels cannot be told (sums over heads) …
MIX = ("BmmBackward", "BaddbmmBackward", "ScaledDotProduct", "EinsumBackward")
# … those that keep the values and regroup the axes, that drop axes, and that may change how many channels there are.
REGROUP = ("ViewBackward", "UnsafeViewBackward", "ReshapeAliasBackward", "UnsqueezeBackward", "SqueezeBackward")
REDUCE = ("MeanBackward", "SumBackward", "AmaxBackward", "AminBackward", "MaxBackward", "MinBackward", "VarBackward")
RESIZE = ("CatBackward", "SliceBackward", "SplitBackward", "ConstantPadNd", "IndexSelect", "IndexBackward", "Repeat")


def channel_axis(module: nn.Module, output: Tensor, axes: Mapping[Node, int] = MappingProxyType({})) -> int | None:
    """The axis of an output along which its channels lie; None where that cannot be told.

    Args:
        module: the module that gave it.
        output: the tensor, with at least one axis. Without an autograd graph only torch's own layers can be told.
        axes: the same, known for the nodes of layers that ran before.
    """
    last = output.dim() - 1
    if isinstance(module, LAST):
        return last
    if isinstance(module, (*CONVOLUTIONS, *POOLS)):
        return max(output.dim() - _space(module) - 1, 0)
    if isinstance(module, SECOND) or last < 2:
        return min(1, last)
    found = _Walk(axes).of(node_of(output), getattr(output, "output_nr", 0))
    if found is None and isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        return _of_norm(module, output)
    return found


def channels_second(output: Tensor, axis: int) -> Tensor:
    """The same values with the channels moved to the second axis, (N, C, …)."""
    return output.movedim(axis, 1)


def _of_norm(module: nn.LayerNorm | nn.RMSNorm, output: Tensor) -> int:
    shape = tuple(module.normalized_shape)
    at = max(output.dim() - len(shape), 0)
    # torchvision's and timm's LayerNorm2d normalise the second axis of an image
    second = output.dim() == 4 and len(shape) == 1 and output.shape[1] == shape[0]
    return 1 if second and (output.shape[at] != shape[0] or type(module).__name__.endswith("2d")) else at


def _space(module: nn.Module) -> int:
    """The number of spatial axes, from the name of the torch class that it is or derives from: 1d, 2d or 3d."""
    names = (base.__name__ for base in type(module).__mro__)
    return next((int(name[-2]) for name in names if name.endswith("d") and name[-2:-1].isdigit()), 2)


Axes = tuple[
    int, ...
]  # over which the channels are spread: one, or several between two regroupings (a channel shuffle)


class _Walk:
    """Follows the graph back from an output to the operation that made its channels."""

    def __init__(self, axes: Mapping[Node, int]) -> None:
        self.axes = axes
        self.known: dict[tuple[Node, int], Axes | None] = {}

    def of(self, node: Node, index: int) -> int | None:
        """The axis of a node's output number `index`."""
        found = self._of(node, index)
        return found[0] if found is not None and len(found) == 1 else None

    def _of(self, node: Node, index: int) -> Axes | None:
        key = (node, index)
        if node in self.axes:
            return (self.axes[node],)
        if node is not None and key not in self.known and len(self.known) < FAR:
            self.known[key] = None  # until it is found
            self.known[key] = self._found(node, index)
        return self.known.get(key)

    def _found(self, node: Node, index: int) -> Axes | None:
        shape = _shape(node, index)
        if shape is None or is_any(node, MIX):
            return None
        if is_any(node, MAKE_SECOND):
            return (min(1, len(shape) - 1),)
        if is_any(node, MAKE_LAST):
            return (len(shape) - 1,)
        if is_any(node, ("NativeLayerNormBackward",)):
            return (len(shape) - len(node._saved_normalized_shape),)
        answers = set[Axes]()
        for parent, at in node.next_functions:
            before = _shape(parent, at)
            axes = self._of(parent, at) if before is not None else None
            if axes is not None and before is not None and max(axes) < len(before):
                answers |= {_moved(node, axes, before, shape)} - {None}  # type: ignore[arg-type]
        return answers.pop() if len(answers) == 1 else None


def _shape(node: Node, index: int) -> tuple[int, ...] | None:
    """The shape of a node's output; None where the graph does not say."""
    about: Sequence[Any] = getattr(node, "_input_metadata", ())
    return tuple(about[index].shape) if index < len(about) else None


def _moved(node: Node, axes: Axes, before: tuple[int, ...], after: tuple[int, ...]) -> Axes | None:
    """Where the axes of a node's input are in its output; None where they are gone or cannot be told."""
    if is_any(node, ("PermuteBackward",)):
        order = [dim % len(before) for dim in map(_signed, node._saved_dims)]
        return tuple(order.index(axis) for axis in axes)
    if is_any(node, ("TransposeBackward",)):
        a, b = (_signed(dim) % len(before) for dim in (node._saved_dim0, node._saved_dim1))
        return tuple(b if axis == a else a if axis == b else axis for axis in axes)
    if is_any(node, REGROUP):
        return _regrouped(sorted(axes), before, after)
    if is_any(node, ("SelectBackward",)) or (is_any(node, REDUCE) and len(after) < len(before)):
        gone = _dims(getattr(node, "_saved_dim", None), len(before))
        kept = bool(gone) and not set(gone) & set(axes)
        return tuple(axis - sum(dim < axis for dim in gone) for axis in axes) if kept else None
    if len(before) != len(after):
        return None
    if is_any(node, ("AsStridedBackward",)):  # a view whose values were changed in place: a slice keeps the order
        strides = list(getattr(node, "_saved_stride", ()))
        return axes if len(strides) == len(after) and strides == sorted(strides, reverse=True) else None
    same = all(before[axis] == after[axis] for axis in axes)
    return axes if same or is_any(node, RESIZE) else None


def _regrouped(axes: list[int], before: tuple[int, ...], after: tuple[int, ...]) -> Axes | None:
    """The neighbouring axes that hold, in the same order of memory, what neighbouring axes held before."""
    if axes[-1] - axes[0] + 1 != len(axes):
        return None
    ahead = [1, *accumulate(after, mul)]
    first, size = prod(before[: axes[0]]), prod(before[axes[0] : axes[-1] + 1])
    for start in range(len(after)):
        if ahead[start] == first:
            for end in range(start + 1, len(after) + 1):
                if ahead[end] == first * size and (after[start] > 1 or size == 1) and (after[end - 1] > 1 or size == 1):
                    return tuple(range(start, end))
    return None


def _dims(saved: Any, count: int) -> list[int]:
    dims = saved if isinstance(saved, tuple | list) else [] if saved is None else [saved]
    return [_signed(dim) % count for dim in dims]


def _signed(dim: int) -> int:
    """Autograd saves −1 as 2⁶⁴ − 1."""
    return dim - 2**64 if dim >= 2**63 else dim
