"""Where can a recorder listen in a net, and which of these places were asked for?

A net of the lab brings its own ordered list (``net.places``). In any other net places are found by structure: modules
of a known kind, blocks by repetition, and every other module that owns a parameter. Depth and stage of such a net are
known once one forward pass has shown the order of execution.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from labapp.config import LabError

KINDS = (
    *("conv", "linear", "norm", "activation", "block", "pool", "attention", "recurrent", "embedding"),
    "parameters",  # any other module that owns some: a scale, a token, somebody's own linear layer
)
LAYER_KINDS = ("conv", "linear", "norm", "activation", "block", "pool")
DEFAULT_KINDS = ("conv", "linear", "norm", "block", "attention", "recurrent", "embedding", "parameters")
WHOLE = "(model)"  # the path of a net that is itself a layer, or owns parameters itself

LayerSelection = str | Iterable[str] | Callable[[str, nn.Module], bool] | None

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
BY_KIND = (
    ("conv", CONVOLUTIONS),
    ("linear", (nn.Linear, nn.Bilinear)),
    ("norm", NORMS),
    ("activation", ACTIVATIONS),
    ("pool", POOLS),
    ("attention", (nn.MultiheadAttention,)),
    ("recurrent", (nn.RNNBase, nn.RNNCellBase)),
    ("embedding", (nn.Embedding, nn.EmbeddingBag)),
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
    """One of `KINDS` but "block" and "parameters", or None for anything else."""
    for kind, types in BY_KIND:
        if isinstance(module, types):
            return kind
    # timm and others derive a norm with a built-in activation, or a drop-in linear layer, from nothing but Module.
    if not any(module.children()) and owns_parameters(module) and "Norm" in type(module).__name__:
        return "norm"
    return None


def owns_parameters(module: nn.Module) -> bool:
    """Whether the module has parameters that are not those of a part of it."""
    return any(p is not None for p in module._parameters.values()) or hasattr(module, "parametrizations")


def weights_of(module: nn.Module) -> list[Tensor]:
    """The parameters of a module, without those of its parts, that are its weights; else its biases."""
    own = [(name, p) for name, p in module._parameters.items() if p is not None]
    return (
        [p for name, p in own if "weight" in name]
        or [p for name, p in own if "bias" not in name]
        or [p for _, p in own]
    )


def is_closed(module: nn.Module) -> bool:
    """Whether the inside of a module runs without its hooks: compiled, scripted and traced modules are left whole."""
    return (
        hasattr(module, "_orig_mod")
        or getattr(module, "_compiled_call_impl", None) is not None
        or isinstance(module, torch.jit.ScriptModule)
    )


def require_open(model: nn.Module) -> None:
    """Refuse a net whose layers cannot be heard: one that is scripted, traced, exported or compiled as a whole.

    Raises:
        LabError: The sentence says what the net is, and what to give instead.
    """
    made = None
    if isinstance(model, torch.jit.ScriptModule):
        made = "traced" if isinstance(model, torch.jit.TopLevelTracedModule) else "scripted"
    elif hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None:
        made = "compiled"
    elif isinstance(model, torch.fx.GraphModule):
        called = {str(node.target) for node in model.graph.nodes if node.op == "call_module"}
        made = None if any(any(True for _ in model.get_submodule(path).parameters()) for path in called) else "exported"
    if made:
        raise LabError(
            f"hooks do not fire in {'an' if made == 'exported' else 'a'} {made} net, so nothing is known of its "
            "layers; give the net it was made from"
        )


def closed_parts(model: nn.Module) -> dict[str, nn.Module]:
    """The outermost compiled, scripted or traced modules within a net, by path."""
    found: dict[str, nn.Module] = {}
    for path, module in model.named_modules():
        if path and is_closed(module) and not any(path.startswith(outer + ".") for outer in found):
            found[path] = module
    return found


def find_layers(model: nn.Module) -> list[Spot]:
    """The places that diagnostics of layers speak of: those of `LAYER_KINDS`.

    Raises:
        LabError: If no layer of the net can be heard (`require_open`).
    """
    require_open(model)
    return [spot for spot in find_spots(model) if spot.kind in LAYER_KINDS]


def find_spots(model: nn.Module) -> list[Spot]:
    """Every place of the net, in the order of definition; the order of execution if the net declares its places."""
    modules = {path: module for path, module in model.named_modules() if "parametrizations" not in path.split(".")}
    spots = _declared(model, modules)
    declared = {spot.path for spot in spots}
    blocks = [] if declared else find_blocks(model)
    for path, module in modules.items():
        owns = owns_parameters(module)
        kind = "block" if path in blocks else kind_of(module) or ("parameters" if owns else None)
        if kind and path not in declared and (owns or not declared):
            owner = next((block for block in blocks if path.startswith(block + ".")), "")
            spots.append(Spot(path or WHOLE, module, kind, owner))
    return spots


def _declared(model: nn.Module, modules: dict[str, nn.Module]) -> list[Spot]:
    """The places that a net of the lab brings, as far as it still has them; those of other nets are no places."""
    declared: Any = getattr(model, "places", None)
    wanted = ("path", "kind", "block", "depth", "stage")
    if not isinstance(declared, list | tuple) or not all(all(hasattr(p, name) for name in wanted) for p in declared):
        return []
    return [Spot(p.path, modules[p.path], p.kind, p.block, p.depth, p.stage) for p in declared if p.path in modules]


def find_blocks(model: nn.Module) -> list[str]:
    """The paths of the blocks of a net that declares none.

    These are the outermost modules of a class that occurs more than once and holds two or more weight layers.
    Containers of torch itself (Sequential, ModuleList) are looked through.
    """

    def weight_layers(module: nn.Module) -> int:
        return sum(kind_of(m) in {"conv", "linear", "attention"} for m in module.modules())

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


def choose(spots: list[Spot], layers: LayerSelection) -> set[str]:
    """The paths asked for.

    Args:
        spots: every place of the net.
        layers: None for the default (all but activations and pools; of norms those that feed an activation or end a
            branch); a kind, a path or a glob on the path, or several; or ``predicate(path, module) -> bool``.

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
        if not isinstance(pattern, str):
            raise LabError(f"layers holds {pattern!r}; give paths, globs such as 'layer1.*' or kinds, as words")
        hits = {spot.path for spot in spots if pattern in (spot.kind, spot.path) or fnmatchcase(spot.path, pattern)}
        if not hits:
            known = [spot.path for spot in spots]
            near = difflib.get_close_matches(pattern, known, n=3, cutoff=0.3) or known[:3]
            raise LabError(
                f"no layer of this net fits {pattern!r}; give a path, a glob such as 'layer1.*' or a kind "
                f"({', '.join(KINDS)}); the nearest paths are {', '.join(near)}"
            )
        chosen |= hits
    return chosen


class ExecutionOrder:
    """Counts depth and stage of a net that declares no places, output by output, in the order of execution.

    Attributes:
        depth: Convolutions and linear layers so far; a second call of one does not count.
        sizes: Different sizes of the maps that convolutions and blocks have made so far.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.sizes: list[tuple[int, ...]] = []

    def after(self, kind: str, call: int, shape: tuple[int, ...], axis: int | None) -> tuple[int, int]:
        """Depth and stage, both from 1, of an output (N, …) of this shape whose channels stand at an axis.

        A map may hold its channels anywhere, (N, C, H, W) or (N, H, W, C); tokens (N, T, C) have no resolution.
        """
        self.depth += kind in ("conv", "linear") and call == 1
        if kind in ("conv", "block") and axis is not None and (axis == 1 or len(shape) == 4):
            size = tuple(length for at, length in enumerate(shape) if at not in (0, axis))
            if size not in self.sizes:
                self.sizes.append(size)
        return max(self.depth, 1), max(len(self.sizes), 1)


def relative_depth(depth: int, last: int) -> float:
    """(depth − 1) / (last − 1), so that nets of different depth share an axis; 0 in a net of one layer."""
    return (depth - 1) / (last - 1) if last > 1 else 0.0
