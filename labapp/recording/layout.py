"""Which axis of an output holds the channels? It is asked of the operation that made it, not of the number of axes.

A convolution makes channels second, a linear layer last. What stands between such a layer and an output (sums, gates,
activations, permutations, views, slices) says in the autograd graph what it did to the axes, so the answer is followed
from there: the blocks of Swin and ConvNeXt, (N, H, W, C), are told from those of a ResNet, (N, C, H, W).
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
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
MIX = ("BmmBackward", "BaddbmmBackward", "ScaledDotProduct", "EinsumBackward", "AsStridedBackward")
# … those that keep the values and regroup the axes, that drop axes, and that may change how many channels there are.
REGROUP = ("ViewBackward", "UnsafeViewBackward", "ReshapeAliasBackward", "UnsqueezeBackward", "SqueezeBackward")
REDUCE = ("MeanBackward", "SumBackward", "AmaxBackward", "AminBackward", "MaxBackward", "MinBackward", "VarBackward")
RESIZE = ("CatBackward", "SliceBackward", "SplitBackward", "ConstantPadNd", "IndexSelect", "IndexBackward")


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


class _Walk:
    """Follows the graph back from an output to the operation that made its channels."""

    def __init__(self, axes: Mapping[Node, int]) -> None:
        self.axes = axes
        self.known: dict[tuple[Node, int], int | None] = {}

    def of(self, node: Node, index: int) -> int | None:
        """The axis of a node's output number `index`."""
        key = (node, index)
        if node is not None and node not in self.axes and key not in self.known and len(self.known) < FAR:
            self.known[key] = None  # until it is found
            self.known[key] = self._found(node, index)
        return self.axes.get(node, self.known.get(key))

    def _found(self, node: Node, index: int) -> int | None:
        shape = _shape(node, index)
        if shape is None or is_any(node, MIX):
            return None
        if is_any(node, MAKE_SECOND):
            return min(1, len(shape) - 1)
        if is_any(node, MAKE_LAST):
            return len(shape) - 1
        if is_any(node, ("NativeLayerNormBackward",)):
            return len(shape) - len(node._saved_normalized_shape)
        answers = set[int]()
        for parent, at in node.next_functions:
            before = _shape(parent, at)
            axis = self.of(parent, at) if before is not None else None
            if axis is not None and before is not None and axis < len(before):
                answers |= {_moved(node, axis, before, shape)} - {None}  # type: ignore[arg-type]
        return answers.pop() if len(answers) == 1 else None


def _shape(node: Node, index: int) -> tuple[int, ...] | None:
    """The shape of a node's output; None where the graph does not say."""
    about: Sequence[Any] = getattr(node, "_input_metadata", ())
    return tuple(about[index].shape) if index < len(about) else None


def _moved(node: Node, axis: int, before: tuple[int, ...], after: tuple[int, ...]) -> int | None:
    """Where an axis of a node's input is in its output; None where it is gone or cannot be told."""
    if is_any(node, ("PermuteBackward",)):
        return [dim % len(before) for dim in map(_signed, node._saved_dims)].index(axis)
    if is_any(node, ("TransposeBackward",)):
        swapped = [_signed(dim) % len(before) for dim in (node._saved_dim0, node._saved_dim1)]
        return swapped[1 - swapped.index(axis)] if axis in swapped else axis
    if is_any(node, REGROUP):
        ahead = [1, *accumulate(after, mul)]
        place = ([1, *accumulate(before, mul)][axis], before[axis])
        return next((at for at, size in enumerate(after) if (ahead[at], size) == place), None)
    if is_any(node, ("SelectBackward",)) or (is_any(node, REDUCE) and len(after) < len(before)):
        gone = _dims(getattr(node, "_saved_dim", None), len(before))
        return axis - sum(dim < axis for dim in gone) if gone and axis not in gone else None
    if len(before) != len(after) or axis >= len(after):
        return None
    return axis if before[axis] == after[axis] or is_any(node, RESIZE) else None


def _dims(saved: Any, count: int) -> list[int]:
    dims = saved if isinstance(saved, tuple | list) else [] if saved is None else [saved]
    return [_signed(dim) % count for dim in dims]


def _signed(dim: int) -> int:
    """Autograd saves −1 as 2⁶⁴ − 1."""
    return dim - 2**64 if dim >= 2**63 else dim
