"""Which axis of an output holds the channels? It is asked of the module that made it, not of the number of axes."""

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from labapp.recording.graph import POINTWISE, Node, is_any, node_of
from labapp.recording.places import CONVOLUTIONS, POOLS

LAST = (nn.Linear, nn.Bilinear, nn.Embedding, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)
SECOND = (_NormBase, nn.GroupNorm, nn.LocalResponseNorm)
FAR = 6  # pointwise operations between an output and the layer that decides


def channel_axis(module: nn.Module, output: Tensor, axes: Mapping[Node, int] = MappingProxyType({})) -> int:
    """The axis of an output along which its channels lie.

    Args:
        module: the module that gave it.
        output: the tensor, with at least one axis.
        axes: the same, known for the nodes of layers that ran before: pointwise operations keep it.
    """
    last = output.dim() - 1
    if isinstance(module, LAST):
        return last
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        return _of_norm(module, output)
    if isinstance(module, (*CONVOLUTIONS, *POOLS)):
        return max(output.dim() - _space(module) - 1, 0)
    if isinstance(module, SECOND):
        return min(1, last)
    known = _from_before(node_of(output), axes)
    if known is not None and known <= last:
        return known
    # Nobody said: images and sequences of torch's own layers hold channels second, tokens hold them last.
    return 1 if output.dim() in (2, 4, 5) else last


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


def _from_before(node: Node, axes: Mapping[Node, int]) -> int | None:
    for _ in range(FAR):
        if node is None:
            return None
        if node in axes:
            return axes[node]
        if not (is_any(node, POINTWISE) or is_any(node, ("AddBackward", "MulBackward", "CloneBackward"))):
            return None
        node = node.next_functions[0][0] if node.next_functions else None
    return None
