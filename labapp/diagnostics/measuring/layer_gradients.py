"""What is each layer's output, and what is the gradient of a class score with respect to it?

For images x and one class c each, one forward and one backward pass give for every layer l its output A_l(x) and
∂s_c/∂A_l, where s are the net's scores (logits). All layer-wise maps (Grad-CAM, Grad-CAM++, LayerCAM, gradient times
activation) are formulae in these two.

Nothing is left behind: gradients come from `torch.autograd.grad` into the layers' places in the graph, so `.grad` is
not touched and no weight's gradient is computed; see `labapp.diagnostics.measuring.undisturbed` for the rest. A layer's
output is copied as the layer returned it, and its place in the graph noted at that moment, so that a rectifier that
later overwrites it (torchvision's VGG and DenseNet) does not change what is measured. Batch norms use their running
statistics, one that keeps none those of the images, held fixed: no image's gradient depends on another image.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from labapp.config import LabError, first_line, nearest
from labapp.diagnostics.measuring.batch_statistics import held_statistics
from labapp.diagnostics.measuring.tensors import wide
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.recording.hooks import Hooks
from labapp.recording.layout import channel_axis, channels_second
from labapp.recording.places import LAYER_KINDS, choose, closed_parts, find_layers

Targets = int | Sequence[int] | Tensor | None
MapLayers = str | nn.Module | Iterable[str | nn.Module] | Callable[[str, nn.Module], bool] | None

NOTHING = (
    "none of the layers chosen has both spatial extent and a part in the class score; choose others, or larger images"
)
STAGE_KINDS = ("conv", "norm", "activation")  # the last of these at each resolution stands for a stage


class LayerGradient(NamedTuple):
    """A layer's output and the gradient of the class score with respect to it, both (N, C, H, W), both detached.

    A net may hold its channels elsewhere, (N, H, W, C) in Swin; here they always stand second. In float32 at least.
    """

    activation: Tensor
    gradient: Tensor


class ScoreGradients(NamedTuple):
    """Class scores, and the output and gradient of each layer in the order of execution."""

    scores: Tensor  # (N, classes)
    targets: Tensor  # (N,), the classes asked about
    layers: dict[str, LayerGradient]


def layer_gradients(
    model: nn.Module, images: Tensor, targets: Targets = None, layers: MapLayers = None
) -> ScoreGradients:
    """Outputs of layers and the gradients of a class score with respect to them, from one pass.

    Args:
        model: Any net from images to class scores (N, classes).
        images: (N, C, H, W), on the net's device.
        targets: A class, or one an image; None takes the net's prediction.
        layers: Paths, modules, globs, kinds ("block", "conv", …) or a predicate `f(path, module)`; None takes the net's
            blocks, in a net without blocks the last layer of each resolution. The second output of a module that runs
            twice is called `path#2`, also when asked for. A layer named by its path must have spatial extent and a part
            in the score; of what a glob, a kind, a predicate or None chooses, only such layers are taken.

    Raises:
        LabError: If a class, a layer, the images or the net's output do not fit.
    """
    if images.ndim != 4 or not images.is_floating_point() or not len(images):
        raise LabError(
            f"images are normalised floats (N, C, H, W) with N ≥ 1, not {images.dtype} {tuple(images.shape)}"
        )
    chosen = _choose(model, layers)
    outputs = _PassOutputs(chosen.one_a_size, closed_parts(model))
    with undisturbed(model), held_statistics(model, images):
        with Hooks() as hooks:
            for path in dict.fromkeys(name.partition("#")[0] for name in chosen.names):
                hooks.after(model.get_submodule(path), partial(outputs.listen, path))
            scores = class_scores(model, images)
        classes = class_targets(targets, scores)
        usable = outputs.usable(chosen)
        if not scores.requires_grad:
            raise LabError("no gradient can be taken: the net detaches its scores from the images and from its weights")
        if not usable:
            raise LabError(NOTHING)
        wanted = [place.edge for place in usable.values()]
        total = scores.gather(1, classes[:, None]).sum()  # images do not mix
        gradients = torch.autograd.grad(total, wanted, allow_unused=True)
    found: dict[str, LayerGradient] = {}
    for (name, place), gradient in zip(usable.items(), gradients, strict=True):
        if gradient is not None:
            found[name] = place.with_channels_second(gradient)
        elif chosen.named & {name, place.path}:
            raise LabError(
                f"the class score does not depend on the layer '{name}'; choose one on the way to the output"
            )
    if not found:
        raise LabError(NOTHING)
    return ScoreGradients(scores.detach(), classes, found)


def class_scores(model: nn.Module, images: Tensor) -> Tensor:
    """The net's scores (N, classes), from a copy of the images from which gradients can be taken."""
    leaf = images.clone() if images.is_inference() else images.detach()
    try:
        scores: Any = model(leaf.requires_grad_().clone())  # the net may overwrite a copy, not a leaf of the graph
    except LabError:
        raise
    except Exception as error:  # whatever a net does with images that are not for it
        size = "×".join(map(str, images.shape[1:]))
        kind = str(images.dtype).removeprefix("torch.")
        raise LabError(
            f"the net fails on images of {size} in {kind} ({type(error).__name__}: {first_line(error)}); give it "
            "images of the size, channels and precision that it takes"
        ) from error
    if not isinstance(scores, Tensor):
        raise LabError(
            f"the net returns a {type(scores).__name__}, not one tensor of class scores (N, classes); "
            "wrap it in a module that picks the scores"
        )
    if scores.ndim != 2 or len(scores) != len(images):
        raise LabError(f"the net returns {tuple(scores.shape)} for {len(images)} images, not class scores (N, classes)")
    return scores


def class_targets(targets: Targets, scores: Tensor) -> Tensor:
    """The class asked about for each image, (N,): the one given, or the prediction."""
    count, classes = scores.shape
    if targets is None:
        return scores.detach().argmax(1)
    given = torch.as_tensor(targets, device=scores.device)
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise LabError(f"a class is an integer from 0 to {classes - 1}, not {given.dtype}")
    if given.numel() != 1 and given.shape != (count,):
        raise LabError(
            f"targets of shape {tuple(given.shape)} do not fit {count} images; give one class, or one an image"
        )
    given = given.reshape(-1).long().expand(count)
    outside = given[(given < 0) | (given >= classes)]
    if len(outside):
        raise LabError(f"class {int(outside[0])} is out of range: this net has {classes} classes, 0 to {classes - 1}")
    return given


class _Choice(NamedTuple):
    names: list[str]  # paths, or path#call
    named: set[str]  # those asked for one by one
    one_a_size: bool = False


def _choose(model: nn.Module, layers: MapLayers) -> _Choice:
    spots = find_layers(model)
    if layers is None:
        blocks = [spot.path for spot in spots if spot.kind == "block"]
        if blocks:
            return _Choice(blocks, set())
        return _Choice([spot.path for spot in spots if spot.kind in STAGE_KINDS], set(), one_a_size=True)
    if callable(layers) and not isinstance(layers, nn.Module):
        return _Choice(sorted(choose(spots, layers)), set())
    names: dict[str, None] = {}
    named: set[str] = set()
    modules = dict(model.named_modules(remove_duplicate=False))
    for layer in [layers] if isinstance(layers, str | nn.Module) else list(layers):
        name = _name(modules, layer)
        path = name.partition("#")[0]
        if path and path in modules:
            named.add(name)
            names[name] = None
        elif name in LAYER_KINDS or any(sign in name for sign in "*?["):
            names |= dict.fromkeys(sorted(choose(spots, name)))
        else:
            raise LabError(
                f"this net has no layer '{name}'; give a path such as '{next(reversed(modules))}', a glob or a kind "
                f"({', '.join(LAYER_KINDS)}){nearest(name, [path for path in modules if path])}"
            )
    if not names:
        raise LabError("no layer was given; name at least one, or leave layers out")
    return _Choice(list(names), named)


def _name(modules: dict[str, nn.Module], layer: str | nn.Module) -> str:
    if isinstance(layer, str):
        return layer
    for path, module in modules.items():
        if module is layer:
            return path
    raise LabError(f"the {type(layer).__name__} given as a layer is not part of this net")


class _Place(NamedTuple):
    path: str
    activation: Tensor
    edge: GradientEdge
    axis: int  # of the channels

    @property
    def size(self) -> tuple[int, ...]:
        """Of the map, (H, W)."""
        return _size(self.activation, self.axis)

    def with_channels_second(self, gradient: Tensor) -> LayerGradient:
        both = (self.activation, gradient.detach())
        return LayerGradient(*(channels_second(tensor, self.axis).to(wide(tensor.dtype)) for tensor in both))


def _size(output: Tensor, axis: int) -> tuple[int, ...]:
    return tuple(length for at, length in enumerate(output.shape) if at not in (0, axis))


class _PassOutputs:
    """What the hooks of one forward pass noted."""

    def __init__(self, one_a_size: bool, closed: Iterable[str]) -> None:
        self.one_a_size = one_a_size
        self.closed = list(closed)  # parts inside which hooks do not fire
        self.places: dict[str, _Place] = {}
        self.flat: dict[str, str] = {}  # a path → why its output is no map
        self.calls: dict[str, int] = {}
        self.axes: dict[Any, int] = {}  # of channels, by the autograd node of an output

    def listen(self, path: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.calls[path] = self.calls.get(path, 0) + 1
        name = path if self.calls[path] == 1 else f"{path}#{self.calls[path]}"
        if not isinstance(output, Tensor):
            self.flat[path] = f"it returns a {type(output).__name__}, not one tensor"
            return
        axis = channel_axis(module, output, self.axes) if output.ndim else 0
        if axis is not None and output.grad_fn is not None:
            self.axes[output.grad_fn] = axis
        if output.ndim != 4:
            self.flat[path] = f"its output is {tuple(output.shape)}"
        elif not output.requires_grad:
            self.flat[path] = "the net computes it without gradients"
        elif axis is None:
            self.flat[path] = f"which axis of its output {tuple(output.shape)} holds the channels cannot be told"
        elif math.prod(_size(output, axis)) <= 1:
            self.flat[path] = f"its output is {tuple(output.shape)}"
        else:
            if self.one_a_size and self.places:
                last = next(reversed(self.places))
                if self.places[last].size == _size(output, axis):
                    del self.places[last]
            self.places[name] = _Place(path, output.detach().clone(), get_gradient_edge(output), axis)

    def usable(self, chosen: _Choice) -> dict[str, _Place]:
        """The places that were chosen; a LabError for the first one that was named and has no map."""
        for name in chosen.named:
            path, _, call = name.partition("#")
            if path in self.flat and name not in self.places:
                raise LabError(
                    f"the layer '{name}' has no map to show: {self.flat[path]}; choose one with outputs (N, C, H, W) "
                    "or (N, H, W, C) before the last pooling, or a larger image"
                )
            around = next((part for part in self.closed if path.startswith(f"{part}.")), None)
            if path not in self.calls and around is not None:
                raise LabError(
                    f"the layer '{path}' lies in '{around}', a scripted, traced or compiled part, in which hooks do "
                    "not fire; choose that part, or give the net it was made from"
                )
            if path not in self.calls:
                raise LabError(f"the layer '{name}' does not run when the net classifies; choose another")
            if call and name not in self.places:
                raise LabError(f"the layer '{path}' runs {self.calls[path]} times, so there is no '{name}'")
        wanted = set(chosen.names)
        return {name: place for name, place in self.places.items() if wanted & {name, place.path}}
