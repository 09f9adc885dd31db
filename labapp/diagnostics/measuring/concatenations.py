"""Which layers read the maps of several sources, and which of their weights belong to which?"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from labapp.config import LabError
from labapp.diagnostics.measuring.chains import Chain, dense_layers
from labapp.recording.places import kind_of


class MultiSourceLayer(NamedTuple):
    """A layer that reads the maps of several sources."""

    block: int  # counted from 1
    target: int  # counted from 1 inside the block
    kind: str  # layer | transition | classifier
    layer: nn.Module  # a convolution or linear layer
    norm: nn.Module | None  # in front of it
    first: int  # number of the first source
    channels: tuple[int, ...]  # of each source, in the order of the concatenation

    @property
    def weight(self) -> Tensor:
        """(outputs, inputs, …) of the layer."""
        return self.layer.get_parameter("weight")


def multi_source_layers(chain: Chain) -> list[MultiSourceLayer]:
    """Every layer that reads a concatenation, in the order of execution; in a plain net every layer but the first."""
    if chain.family == "residual":
        raise LabError(
            "a residual net adds where a dense net concatenates, so none of its weights belongs to one source; "
            "take weighting='ablation', which asks what a block loses when it no longer sees an earlier one"
        )
    if chain.family != "dense":
        return _one_source_layers(chain)
    found: list[MultiSourceLayer] = []
    block = 0
    channels: list[int] = []
    norm: nn.Module | None = None
    for unit in chain.units:
        if unit.kind == "dense":
            block += 1
            channels = []
            for target, layer in enumerate(dense_layers(unit.modules[0]), start=1):
                convolutions = [m for m in layer.modules() if kind_of(m) == "conv"]
                norms = [m for m in layer.modules() if kind_of(m) == "norm"]
                first = convolutions[0]
                channels = channels or [first.get_parameter("weight").shape[1]]
                reading = norms[0] if norms else None  # with a bottleneck there is a second one inside
                found.append(MultiSourceLayer(block, target, "layer", first, reading, 0, tuple(channels)))
                channels.append(convolutions[-1].get_parameter("weight").shape[0])
            norm = None
            continue
        for module in unit.modules:
            kind = kind_of(module)
            if kind == "norm":
                norm = module
            elif kind in ("conv", "linear") and channels:
                what = "transition" if kind == "conv" else "classifier"
                found.append(MultiSourceLayer(block, len(channels), what, module, norm, 0, tuple(channels)))
                channels = []
    return found


def _one_source_layers(chain: Chain) -> list[MultiSourceLayer]:
    found: list[MultiSourceLayer] = []
    norm: nn.Module | None = None
    layers = 0
    modules = [m for unit in chain.units for part in unit.modules for m in part.modules()]
    for module in modules:
        kind = kind_of(module)
        if kind == "norm":
            norm = module
        elif kind in ("conv", "linear"):
            if layers:
                inputs = module.get_parameter("weight").shape[1]
                found.append(MultiSourceLayer(1, layers + 1, "layer", module, norm, layers, (inputs,)))
            layers += 1
            norm = None
    if found and kind_of(found[-1].layer) == "linear":
        found[-1] = found[-1]._replace(kind="classifier")
    return found
