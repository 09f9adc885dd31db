"""Where can a recorder listen in a net, and which of these places were asked for?

A net of the lab brings its own ordered list (``net.places``). In any other net places are found by structure:
convolutions, linear layers, norms and activations by their type, blocks by repetition. Depth and stage of such a net
are known once one forward pass has shown the order of execution.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from labapp.config import LabError

KINDS = ("conv", "linear", "norm", "activation", "block", "pool")
DEFAULT_KINDS = ("conv", "linear", "norm", "block")

Layers = str | Iterable[str] | Callable[[str, nn.Module], bool] | None

CONVOLUTIONS = (nn.modules.conv._ConvNd,)
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm)
ACTIVATIONS = tuple(
    getattr(nn, name)
    for name in (
        *("ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish", "Tanh", "Sigmoid"),
        *("Hardswish", "Hardsigmoid", "Hardtanh", "Softplus", "Threshold"),
    )
)
POOLS = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool2d),
)


@dataclass(frozen=True)
class Spot:
    """A module that can be listened to: its path in the net, its kind, and the block it belongs to ("" if none)."""

    path: str
    module: nn.Module
    kind: str
    block: str = ""
    depth: int | None = None
    stage: int | None = None


def kind_of(module: nn.Module) -> str | None:
    """conv, linear, norm, activation, pool, or None for anything else."""
    for kind, types in (
        ("conv", CONVOLUTIONS),
        ("linear", (nn.Linear, nn.Bilinear)),
        ("norm", NORMS),
        ("activation", ACTIVATIONS),
        ("pool", POOLS),
    ):
        if isinstance(module, types):
            return kind
    # timm and others derive a norm with a built-in activation, or a drop-in linear layer, from nothing but Module.
    name = type(module).__name__
    if not any(module.children()) and any(True for _ in module.parameters(recurse=False)) and "Norm" in name:
        return "norm"
    return None


def find_spots(model: nn.Module) -> list[Spot]:
    """Every place of the net, in the order of definition; the order of execution if the net declares its places."""
    declared = getattr(model, "places", None)
    if declared is not None and not callable(declared):
        modules = dict(model.named_modules())
        return [
            Spot(place.path, modules[place.path], place.kind, place.block, place.depth, place.stage)
            for place in declared
        ]
    blocks = find_blocks(model)
    spots = []
    for path, module in model.named_modules(remove_duplicate=True):
        owner = next((block for block in blocks if path.startswith(block + ".")), "")
        kind = "block" if path in blocks else kind_of(module)
        if kind:
            spots.append(Spot(path, module, kind, owner))
    return spots


def find_blocks(model: nn.Module) -> list[str]:
    """The paths of the blocks of a net that declares none.

    These are the outermost modules of a class that occurs more than once and holds two or more weight layers.
    Containers of torch itself (Sequential, ModuleList) are looked through.
    """

    def weight_layers(module: nn.Module) -> int:
        return sum(kind_of(m) in {"conv", "linear"} or isinstance(m, nn.MultiheadAttention) for m in module.modules())

    candidates = {
        path: module
        for path, module in model.named_modules()
        if path and not type(module).__module__.startswith("torch.nn.") and weight_layers(module) >= 2
    }
    often = Counter(type(module) for module in candidates.values())
    found: list[str] = []
    for path, module in candidates.items():
        if often[type(module)] > 1 and not any(path.startswith(outer + ".") for outer in found):
            found.append(path)
    return found


def choose(spots: list[Spot], layers: Layers) -> set[str]:
    """The paths asked for.

    Args:
        spots: every place of the net.
        layers: None for the default (convolutions, linear layers, norms that feed an activation, blocks); a kind or a
            glob on the path, or several; or ``predicate(path, module) -> bool``.

    Raises:
        LabError: if a name fits no place; the sentence gives the nearest ones.
    """
    if layers is None:
        return {spot.path for spot in spots if spot.kind in DEFAULT_KINDS}
    if callable(layers):
        chosen = {spot.path for spot in spots if layers(spot.path, spot.module)}
        if not chosen:
            raise LabError(f"the predicate given as layers is true for none of the {len(spots)} places of this net")
        return chosen
    chosen = set()
    for pattern in [layers] if isinstance(layers, str) else layers:
        hits = {spot.path for spot in spots if pattern == spot.kind or fnmatchcase(spot.path, pattern)}
        if not hits:
            known = [spot.path for spot in spots]
            near = difflib.get_close_matches(str(pattern), known, n=3, cutoff=0.3) or known[:3]
            raise LabError(
                f"no layer of this net fits {pattern!r}; give a path, a glob such as 'layer1.*' or a kind "
                f"({', '.join(KINDS)}); the nearest paths are {', '.join(near)}"
            )
        chosen |= hits
    return chosen


def channel_axis(kind: str, module: nn.Module, dimensions: int) -> int:
    """The axis of the channels in an output of so many dimensions: 1 in maps (N, C, H, W), 2 in tokens (N, T, C)."""
    channels_last = kind == "linear" or type(module).__name__.startswith(("LayerNorm", "RMSNorm"))
    by_channel = dimensions > 3 or (dimensions == 3 and kind == "conv")
    return 1 if by_channel and not channels_last else dimensions - 1


class ExecutionOrder:
    """Counts depth and stage of a net that declares no places, output by output, in the order of execution.

    Attributes:
        depth: Convolutions and linear layers so far; a second call of one does not count.
        sizes: Different sizes of the maps that convolutions and blocks have made so far.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.sizes: list[tuple[int, ...]] = []

    def after(self, kind: str, call: int, shape: tuple[int, ...], axis: int) -> tuple[int, int]:
        """Depth and stage, both from 1, of an output (N, …) of this shape whose channels stand at an axis."""
        self.depth += kind in ("conv", "linear") and call == 1
        if kind in ("conv", "block") and axis == 1 and shape[2:] not in self.sizes:
            self.sizes.append(shape[2:])
        return max(self.depth, 1), max(len(self.sizes), 1)


def relative_depth(depth: int, last: int) -> float:
    """(depth − 1) / (last − 1), so that nets of different depth share an axis; 0 in a net of one layer."""
    return (depth - 1) / (last - 1) if last > 1 else 0.0
