"""Which units does a net run one after the other, and how can they be taken apart?

    chain = chain_of(model)               # the lab's nets; torchvision's and timm's VGG, ResNet, DenseNet
    chain.units                           # residual blocks with branch and shortcut apart, dense blocks, layers, …
    chain.run(images)                     # the same scores as model(images); checked by `confirm`

To see what a net does without a block, or with two blocks exchanged, run the units in another way; the net itself is
not changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from labapp.config import LabError
from labapp.diagnostics.measuring.conditions import require_finite_weights
from labapp.diagnostics.measuring.splits import Modules, ResidualParts, checked_parts, same, through, tried
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.nets.densenet import DenseBlock
from labapp.nets.resnet import PlainBlock, ResidualBlock
from labapp.recording.places import kind_of, require_open

AT_ONCE = 64  # images on which a chain is confirmed at a time
HEADS = ("ConvMlp", "ClassifierHead")  # timm's, of VGG and DenseNet, left whole
APPLIES_TO = "the lab's nets and torchvision's or timm's VGG, ResNet and DenseNet"


class Unit(NamedTuple):
    """One step of a net."""

    path: str  # of the block, or of the convolution or linear layer that opens a layer
    kind: str  # residual | plain | dense | layer | other
    modules: Modules  # what runs, one after the other
    parts: ResidualParts | None = None  # of a residual block

    def run(self, x: Tensor) -> Tensor:
        """What the net does here."""
        return through(self.modules, x)


class Chain(NamedTuple):
    """The units of a net in the order in which they run."""

    model: nn.Module
    units: list[Unit]

    @property
    def family(self) -> str:
        """residual, plain, dense or vgg (a net of single layers); every unit is one that these families have."""
        kinds = {unit.kind for unit in self.units}
        return next((kind for kind in ("residual", "plain", "dense") if kind in kinds), "vgg")

    @property
    def blocks(self) -> list[int]:
        """Which units are the net's blocks; in a net without blocks (VGG), which are its layers."""
        kind = "layer" if self.family == "vgg" else self.family
        return [at for at, unit in enumerate(self.units) if unit.kind == kind]

    def run(self, x: Tensor) -> Tensor:
        """The net's output."""
        return run_units(self.units, x)

    def traced(self, x: Tensor) -> tuple[list[Tensor], dict[int, Tensor]]:
        """What each unit reads, the net's output at the end, and what the branch of each residual block adds."""
        inputs, branches = [x], {}
        for at, unit in enumerate(self.units):
            if unit.parts:
                shared = through(unit.parts.shared, inputs[-1])
                branches[at] = through(unit.parts.branch, shared)
                inputs.append(unit.parts.join(shared, branches[at]))
            else:
                inputs.append(unit.run(inputs[-1]))
        return inputs, branches

    def confirm(self, images: Tensor) -> Chain:
        """The same chain, made sure on these images that its units, and their parts, do what the net does.

        To be called in evaluation mode. Where a block's modules alone do not make its branch, the branch is what its
        forward adds to the shortcut (`labapp.diagnostics.measuring.splits`).

        Raises:
            LabError: If they do not, because the net's own forward does something in between.
        """
        units = list(self.units)
        with torch.no_grad():
            for batch in images.split(AT_ONCE):
                expected = self.model(batch.clone())
                x: Tensor | None = batch.clone()
                for at, unit in enumerate(units):
                    if x is not None:
                        units[at] = _composed(unit, x)
                        x = tried(partial(unit.run, x))
                if not isinstance(expected, Tensor) or not same(x, expected):
                    raise _not_a_chain(self.model)
        return self._replace(units=units)


def run_units(units: Sequence[Unit], x: Tensor) -> Tensor:
    """One unit after the other."""
    for unit in units:
        x = unit.run(x)
    return x


@contextmanager
def taken_apart(model: nn.Module, images: Tensor) -> Iterator[Chain]:
    """Inside, the net's units in evaluation mode, confirmed on the images; outside, nothing has changed.

    Raises:
        LabError: If the net is no chain of known units, or its weights are not finite.
    """
    require_open(model)
    require_finite_weights(model)
    with undisturbed(model, in_place=False):
        yield chain_of(model).confirm(images)


def chain_of(model: nn.Module) -> Chain:
    """The units of a net; see the module's first lines for the nets that have them.

    Raises:
        LabError: If the net is no chain of known units.
    """
    require_open(model)
    found = list(_visit("", model, outermost=True))
    unknown = any(unit.kind == "other" and not _known(unit.modules[0]) for unit in found)
    if unknown or ("other" in {unit.kind for unit in found} and len(found) < 3):
        raise _not_a_chain(model)
    if any(unit.kind == "dense" for unit in found):
        found = _with_functional_head(found)
    if all(unit.kind == "other" for unit in found):
        found = list(_layers(found))
    return Chain(model, found)


def _known(module: nn.Module) -> bool:
    """Whether a module is a layer or head of these families, or has nothing to learn: a pooling, a flattening."""
    return kind_of(module) is not None or type(module).__name__ in HEADS or not any(True for _ in module.parameters())


def _composed(unit: Unit, x: Tensor) -> Unit:
    """The unit with parts that make what it gives for x.

    Raises:
        LabError: If its parts make something else.
    """
    if unit.parts:
        parts = checked_parts(unit.modules[0], unit.parts, x)
        if parts is not None:
            return unit._replace(parts=parts)
    elif unit.kind != "dense" or same(tried(partial(_dense, unit.modules[0], x)), unit.run(x)):
        return unit
    raise LabError(
        f"the parts of '{unit.path}' do not make what the block gives: its forward does something besides, so nothing "
        "can be said about them one by one"
    )


def _dense(block: nn.Module, x: Tensor) -> Tensor:
    features = [x]
    for layer in dense_layers(block):
        features.append(layer(features))
    return torch.cat(features, 1)


def dense_layers(block: nn.Module) -> list[nn.Module]:
    """The layers of a dense block, each a function of the list of all maps before it."""
    children = list(block.children())
    return children[:-1] if isinstance(block, DenseBlock) else children


def _not_a_chain(model: nn.Module) -> LabError:
    name = type(model).__name__
    article = "an" if name[0] in "AEIOU" else "a"
    return LabError(f"{article} {name} is no chain of blocks that can be taken apart here; this works for {APPLIES_TO}")


def _visit(path: str, module: nn.Module, *, outermost: bool = False) -> Iterator[Unit]:
    parts = _residual_parts(module)
    if parts is not None:
        yield Unit(path, "residual", (module,), parts)
    elif isinstance(module, PlainBlock):
        yield Unit(path, "plain", (module,))
    elif isinstance(module, DenseBlock) or type(module).__name__ in ("_DenseBlock", "DenseBlock"):
        yield Unit(path, "dense", (module,))
    elif outermost or type(module).forward is nn.Sequential.forward:
        for name, child in module.named_children():
            yield from _visit(f"{path}.{name}" if path else name, child)
    else:
        yield Unit(path, "other", (module,))


def _residual_parts(module: nn.Module) -> ResidualParts | None:
    if isinstance(module, ResidualBlock):
        return ResidualParts((module.preactivation,), (module.branch,), (module.shortcut,), (module.activation,))
    if not (hasattr(module, "downsample") and isinstance(getattr(module, "conv1", None), nn.Conv2d)):
        return None
    children = [(name, child) for name, child in module.named_children() if name != "downsample"]
    shortcut = tuple(child for name, child in module.named_children() if name == "downsample")
    last_convolution = max(at for at, (_, child) in enumerate(children) if kind_of(child) == "conv")
    rectifier = dict(children).get("relu")
    if rectifier is not None:  # torchvision: one rectifier for all places
        branch: list[nn.Module] = []
        for at, (name, child) in enumerate(children):
            if name == "relu":
                continue
            branch.append(child)
            if kind_of(child) == "norm" and at < last_convolution:
                branch.append(rectifier)
        return ResidualParts((), tuple(branch), shortcut, (rectifier,))
    activations = [at for at, (name, _) in enumerate(children) if name.startswith("act")]  # timm
    if not activations or activations[-1] < last_convolution:
        return None
    behind = activations[-1]
    branch = [child for at, (_, child) in enumerate(children) if at != behind]
    return ResidualParts((), tuple(branch), shortcut, (children[behind][1],))


def _with_functional_head(units: list[Unit]) -> list[Unit]:
    """What torchvision's DenseNet does in its forward and not in modules: rectify, average, flatten."""
    *before, norm, last = units
    if (
        norm.path.endswith("norm5")
        and type(norm.modules[0]) is nn.BatchNorm2d
        and isinstance(last.modules[0], nn.Linear)
    ):
        return [*before, norm, Unit("", "other", (nn.ReLU(), nn.AdaptiveAvgPool2d(1))), last]
    return units


def _layers(units: list[Unit]) -> Iterator[Unit]:
    """In a net without blocks: each convolution or linear layer together with its norm, activation and dropout."""
    open_layer: Unit | None = None
    for unit in units:
        kind = kind_of(unit.modules[0])
        if kind in ("conv", "linear"):
            if open_layer:
                yield open_layer
            open_layer = Unit(unit.path, "layer", unit.modules)
        elif open_layer and (kind in ("norm", "activation") or isinstance(unit.modules[0], nn.Dropout)):
            open_layer = open_layer._replace(modules=open_layer.modules + unit.modules)
        else:
            if open_layer:
                yield open_layer
            open_layer = None
            yield unit
    if open_layer:
        yield open_layer
