"""How does the class probability change when the highest places of a map are removed, or added?

Places are ordered by the map, highest first, and in that order set to a baseline (deletion) or uncovered in a blurred
image (insertion). The probability of the class (softmax) over the share of places changed makes a curve; its area by
the trapezoid rule, from 0 to 1, is the score. A faithful map has a small deletion area and a large insertion area.

Petsiuk, Das, Saenko 2018, *RISE* (arXiv 1806.07421), §4.1. Unchanged by any increasing function of the map. Places of
equal height go in the order of reading.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from labapp.diagnostics.measuring.layer_gradients import Targets, class_scores, class_targets
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.diagnostics.measuring.upsample import upsample

AT_ONCE = 256  # images in one forward pass


class Curve(NamedTuple):
    """The probability of the class after each share of the places has been changed."""

    shares: Tensor  # (steps + 1,), from 0 to 1
    probabilities: Tensor  # (N, steps + 1)

    @property
    def area(self) -> Tensor:
        """The area under the curve of each image, (N,)."""
        return torch.trapezoid(self.probabilities, self.shares, dim=1)


def deletion(
    model: nn.Module, images: Tensor, maps: Tensor, targets: Targets = None, *, steps: int = 32, baseline: float = 0.0
) -> Curve:
    """The highest places of maps (N, h, w) taken out of images (N, C, H, W); 0 is the set's mean colour."""
    with undisturbed(model), torch.no_grad():
        classes = class_targets(targets, class_scores(model, images))
        return _curve(model, images, torch.full_like(images, baseline), maps, classes, steps)


def insertion(model: nn.Module, images: Tensor, maps: Tensor, targets: Targets = None, *, steps: int = 32) -> Curve:
    """The highest places of maps (N, h, w) put into a blurred copy of images (N, C, H, W)."""
    with undisturbed(model), torch.no_grad():
        classes = class_targets(targets, class_scores(model, images))
        return _curve(model, blurred(images), images, maps, classes, steps)


def blurred(images: Tensor) -> Tensor:
    """Images as insertion starts from: RISE's blur (σ = 5 pixels, 11 taps, at 224), and at small sizes σ = 2."""
    side = min(images.shape[2:])
    sigma = max(2.0, 5 * side / 224)
    return gaussian_blur(images, [2 * min(round(sigma), side - 1) + 1] * 2, [sigma] * 2)


def _curve(model: nn.Module, start: Tensor, end: Tensor, maps: Tensor, classes: Tensor, steps: int) -> Curve:
    """Probabilities of (N,) classes on the way from images `start` to images `end`, both (N, C, H, W)."""
    count, _, height, width = start.shape
    if maps.shape[1:] != (height, width):
        maps = upsample(maps, (height, width))
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1).view(count, 1, height, width)  # 0 for the highest place
    places = torch.linspace(0, height * width, steps + 1, device=start.device).round().long()
    every = torch.arange(count, device=start.device).repeat_interleave(steps + 1)  # image of each variant
    changed = places.repeat(count)
    probabilities = []
    for which, many in zip(every.split(AT_ONCE), changed.split(AT_ONCE), strict=True):
        variants = end[which].where(rank[which] < many.view(-1, 1, 1, 1), start[which])
        probabilities.append(model(variants).softmax(1).gather(1, classes[which, None])[:, 0])
    return Curve(places / (height * width), torch.cat(probabilities).view(count, steps + 1))
