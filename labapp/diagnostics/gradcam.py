r"""Which places of an image raise a class score, seen from each layer?

    maps = gradcam(model, images)                      # {layer: (N, H, W)}, the net's blocks, its own predictions
    gradcam(model, images, targets=3, layers=["layer3", "layer4"])

With A_k the maps of a layer, g_k = ∂s_c/∂A_k the gradient of the class score (before the softmax), both (H, W):

* Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391, eq. 1–2): Σ_k w_k A_k with w_k = mean over places of g_k.
* Grad-CAM++ (Chattopadhyay et al. 2018, arXiv 1710.11063, eq. 10 and 19): the same sum with
  w_k = Σ_ij α_ij ReLU(g_ij), α_ij = g_ij² / (2 g_ij² + g_ij³ Σ_ab A_ab), 0 where g_ij = 0. The factor exp(s_c), one
  number for the whole map, is left out.
* LayerCAM (Jiang et al. 2021, IEEE TIP 30): Σ_k ReLU(g_k) A_k, place by place.

The papers end with a ReLU, which keeps evidence *for* the class only. Here maps are signed, so evidence against it is
kept too; `relu=True` gives the papers' form.

Invariances: a map scales with the class score, and does not change when images join or leave the batch. In a net that
ends in global average pooling and one linear layer the Grad-CAM of the last maps is the CAM of Zhou et al. 2016
divided by the number of places. Maps have the layer's resolution; `labapp.diagnostics.measuring.upsample`
brings them to the image's.

Method:
    Meaning: Which places of an image raise a class score, seen from a layer.
    Formula: $\sum_k w_k A_k$ with $w_k$ the mean over places of $\partial s_c / \partial A_k$; Grad-CAM++ and LayerCAM
        weigh otherwise.
    Source: Selvaraju et al. 2017 (arXiv 1610.02391); Chattopadhyay et al. 2018 (arXiv 1710.11063); Jiang et al. 2021,
        IEEE TIP 30.
    Batch norm: Running statistics; a map does not change when images join or leave the batch.
    Sampling: The image that is asked about.
    Fails: A map shows what the score goes with, not why; first look whether it depends on the weights at all (sanity).
    Command: labapp explain RUN --index 0
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from labapp.diagnostics.measuring.layer_gradients import LayerGradient, MapLayers, Targets, layer_gradients


def gradcam_map(activation: Tensor, gradient: Tensor) -> Tensor:
    """Two (N, C, H, W) to one (N, H, W): the maps, weighted by the mean of their gradient."""
    return _weighted(gradient.mean((2, 3)), activation)


def gradcam_plus_plus_map(activation: Tensor, gradient: Tensor) -> Tensor:
    """Two (N, C, H, W) to one (N, H, W): as Grad-CAM, each place's gradient weighted by its share."""
    total = activation.sum((2, 3), keepdim=True)
    denominator = 2 + gradient * total  # numerator and denominator divided by g², which underflows in float32
    share = (1 / denominator).where((gradient != 0) & (denominator != 0), 0)
    return _weighted((share * gradient.relu()).sum((2, 3)), activation)


def layercam_map(activation: Tensor, gradient: Tensor) -> Tensor:
    """Two (N, C, H, W) to one (N, H, W): the maps, weighted place by place by what of their gradient is positive."""
    return (gradient.relu() * activation).sum(1)


def gradient_times_activation_map(activation: Tensor, gradient: Tensor) -> Tensor:
    """Two (N, C, H, W) to one (N, H, W): what the Taylor term of first order gives to each place (Shrikumar 2016)."""
    return (gradient * activation).sum(1)


def _weighted(weights: Tensor, activation: Tensor) -> Tensor:
    """Weights (N, C) and maps (N, C, H, W) to their sum (N, H, W), as one product without a copy of the maps."""
    return torch.einsum("nc,nchw->nhw", weights, activation)


MAPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gradcam": gradcam_map,
    "gradcam++": gradcam_plus_plus_map,
    "layercam": layercam_map,
    "gradient-times-activation": gradient_times_activation_map,
}


def gradcam(
    model: nn.Module, images: Tensor, targets: Targets = None, layers: MapLayers = None, *, relu: bool = False
) -> dict[str, Tensor]:
    """Grad-CAM at several layers, from one forward and one backward pass: {layer: (N, H, W)}, in order of execution.

    The model's gradients, modes, hooks and random numbers stay as they were. For arguments and errors see
    `labapp.diagnostics.measuring.layer_gradients.layer_gradients`.
    """
    return maps_of(layer_gradients(model, images, targets, layers).layers, "gradcam", relu=relu)


def gradcam_plus_plus(
    model: nn.Module, images: Tensor, targets: Targets = None, layers: MapLayers = None, *, relu: bool = False
) -> dict[str, Tensor]:
    """Grad-CAM++ at several layers, as `gradcam`."""
    return maps_of(layer_gradients(model, images, targets, layers).layers, "gradcam++", relu=relu)


def layercam(
    model: nn.Module, images: Tensor, targets: Targets = None, layers: MapLayers = None, *, relu: bool = False
) -> dict[str, Tensor]:
    """LayerCAM at several layers, as `gradcam`."""
    return maps_of(layer_gradients(model, images, targets, layers).layers, "layercam", relu=relu)


def maps_of(layers: dict[str, LayerGradient], method: str, *, relu: bool = False) -> dict[str, Tensor]:
    """One method's maps of every layer of a pass, so that several methods can share it."""
    maps = {name: MAPS[method](*layer) for name, layer in layers.items()}
    return {name: values.relu() for name, values in maps.items()} if relu else maps
