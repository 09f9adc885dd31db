"""Which places of an image raise a class score, by every attribution method of the lab?

    attribute("integrated-gradients", model, images)                     # {"image": (N, H, W)}
    attribute("gradcam", model, images, targets=3, layers=["stage3"])    # {"stage3": (N, h, w)}
    attributions(["saliency", "gradcam", "layercam"], model, images)     # {method: {layer: …}}, one pass for all layers

Maps are signed where the method is, and in float32 at least, whatever the net computes in. Methods that read the image
give one map under the name "image"; methods that read layers give one a layer. Saliency, integrated gradients, guided
backpropagation and occlusion are captum's; what needs layers comes from the one pass of
`labapp.diagnostics.measuring.layer_gradients`, and is tested against captum's layer by layer. captum is
imported by those that use it: it brings a hundred modules and 40 MB, and Grad-CAM is asked for first.
"""

import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from labapp.config import LabError, listed, nearest
from labapp.diagnostics.gradcam import MAPS, maps_of
from labapp.diagnostics.measuring.batch_statistics import held_statistics
from labapp.diagnostics.measuring.layer_gradients import (
    MapLayers,
    Targets,
    class_scores,
    class_targets,
    layer_gradients,
)
from labapp.diagnostics.measuring.tensors import wide
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.diagnostics.measuring.upsample import upsample

IMAGE = "image"
IMAGE_METHODS = ("saliency", "integrated-gradients", "guided-backprop", "occlusion")
LAYER_METHODS = (*MAPS, "guided-gradcam")
METHODS = (*LAYER_METHODS, *IMAGE_METHODS)
AT_ONCE = 256  # images in memory at a time, where a method needs many variants of each


def attribute(
    method: str, model: nn.Module, images: Tensor, targets: Targets = None, layers: MapLayers = None
) -> dict[str, Tensor]:
    """One method's maps: {layer: (N, h, w)}, or {"image": (N, H, W)} where the method reads the image itself.

    Arguments and errors are those of `labapp.diagnostics.measuring.layer_gradients.layer_gradients`.
    """
    return attributions([method], model, images, targets, layers)[method]


def attributions(
    methods: Iterable[str], model: nn.Module, images: Tensor, targets: Targets = None, layers: MapLayers = None
) -> dict[str, dict[str, Tensor]]:
    """Several methods' maps: {method: {layer: …}}. All methods that read layers share one forward and backward pass."""
    methods = list(methods)
    for method in methods:
        if method not in METHODS:
            raise LabError(f"unknown method '{method}'; there are {listed(METHODS)}{nearest(method, METHODS)}")
    found: dict[str, dict[str, Tensor]] = {}
    if set(methods) & set(LAYER_METHODS):
        answer = layer_gradients(model, images, targets, layers)
        targets = answer.targets
        found |= {method: maps_of(answer.layers, method) for method in methods if method in MAPS}
        if "guided-gradcam" in methods:
            coarse = maps_of(answer.layers, "gradcam", relu=True)
            fine = guided_backprop(model, images, targets)
            found["guided-gradcam"] = {name: _guided(fine, maps).sum(1) for name, maps in coarse.items()}
    if "saliency" in methods:
        found["saliency"] = {IMAGE: saliency(model, images, targets).amax(1)}
    if "integrated-gradients" in methods:
        found["integrated-gradients"] = {IMAGE: integrated_gradients(model, images, targets).sum(1)}
    if "guided-backprop" in methods:
        found["guided-backprop"] = {IMAGE: guided_backprop(model, images, targets).sum(1)}
    if "occlusion" in methods:
        found["occlusion"] = {IMAGE: occlusion(model, images, targets).mean(1)}
    return {method: {name: maps.to(wide(maps.dtype)) for name, maps in found[method].items()} for method in methods}


def saliency(model: nn.Module, images: Tensor, targets: Targets = None, *, signed: bool = False) -> Tensor:
    """|∂s_c/∂x|, with `signed` ∂s_c/∂x: (N, C, H, W).

    Simonyan, Vedaldi, Zisserman 2013, *Deep Inside Convolutional Networks* (arXiv 1312.6034), §3; its map is the
    greatest value over the colours. Invariant to a constant added to the score.
    """
    from captum.attr import Saliency

    with undisturbed(model), held_statistics(model, images):
        classes = predicted(model, images, targets)
        return Saliency(model).attribute(_input(images), classes, abs=not signed).detach()


def integrated_gradients(
    model: nn.Module, images: Tensor, targets: Targets = None, *, baseline: float | Tensor = 0.0, steps: int = 32
) -> Tensor:
    """(x − x₀) · ∫₀¹ ∂s_c/∂x (x₀ + t (x − x₀)) dt, by Gauss–Legendre quadrature: (N, C, H, W).

    Sundararajan, Taly, Yan 2017, *Axiomatic Attribution for Deep Networks* (arXiv 1703.01365). Complete: the sum over
    an image is s_c(x) − s_c(x₀). The baseline 0 is the set's mean colour, where images are normalised.
    """
    from captum.attr import IntegratedGradients

    with undisturbed(model), held_statistics(model, images):
        classes = predicted(model, images, targets)
        method = IntegratedGradients(model)
        batch = max(len(images), AT_ONCE)
        return method.attribute(_input(images), baseline, classes, n_steps=steps, internal_batch_size=batch).detach()


def guided_backprop(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """The gradient with respect to the image, negative parts cut off at every ReLU on the way back: (N, C, H, W).

    Springenberg et al. 2014 (arXiv 1412.6806). Rectifiers must be `nn.ReLU` modules: in other nets, and behind other
    activations, this is the plain gradient. Shown because it is widely used; it fails Adebayo's sanity check.
    """
    from captum.attr import GuidedBackprop

    with undisturbed(model, in_place=False), held_statistics(model, images), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU")  # captum says it each time
        classes = predicted(model, images, targets)
        return GuidedBackprop(model).attribute(_input(images), classes).detach()


def guided_gradcam(
    model: nn.Module, images: Tensor, targets: Targets = None, layers: MapLayers = None
) -> dict[str, Tensor]:
    """Guided backpropagation times Grad-CAM's ReLU form, enlarged: {layer: (N, C, H, W)} (Selvaraju et al., §3.2)."""
    answer = layer_gradients(model, images, targets, layers)
    fine = guided_backprop(model, images, answer.targets)
    return {name: _guided(fine, maps) for name, maps in maps_of(answer.layers, "gradcam", relu=True).items()}


def occlusion(
    model: nn.Module, images: Tensor, targets: Targets = None, *, window: int | None = None, stride: int | None = None
) -> Tensor:
    """How far the score falls when a square around a place is covered with 0: (N, C, H, W), equal over the colours.

    Zeiler, Fergus 2014 (arXiv 1311.2901), §4.2; overlapping squares are averaged. No gradient is needed. The cost is
    one forward pass a place of the square; by default a seventh of the image's side, moved by half of that.
    """
    from captum.attr import Occlusion

    height, width = images.shape[2:]
    window = min(height, width, window or max(1, round(min(height, width) / 7)))
    stride = min(window, stride or max(1, window // 2))  # a greater one would leave places that are never covered
    with undisturbed(model), held_statistics(model, images):
        classes = predicted(model, images, targets)
        with torch.no_grad():
            return Occlusion(model).attribute(
                images,
                (images.shape[1], window, window),
                (images.shape[1], stride, stride),
                0,
                classes,
                perturbations_per_eval=max(1, AT_ONCE // len(images)),
            )


def predicted(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """The classes asked about, (N,), checked against the net's own answer; None takes the prediction."""
    with undisturbed(model), torch.no_grad():
        return class_targets(targets, class_scores(model, images))


def _input(images: Tensor) -> Tensor:
    """A copy from which gradients can be taken, and which a net may overwrite."""
    return images.detach().clone().requires_grad_()


def _guided(fine: Tensor, coarse: Tensor) -> Tensor:
    return fine * upsample(coarse, (fine.shape[2], fine.shape[3]))[:, None]
