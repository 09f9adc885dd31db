"""How does the class probability change when the highest places of a map are removed, or added?

Places are ordered by the map, highest first, and in that order set to a baseline (deletion) or uncovered in a blurred
image (insertion). The probability of the class (softmax) over the share of places changed makes a curve; its area by
the trapezoid rule, from 0 to 1, is the score. A faithful map has a small deletion area and a large insertion area.

Petsiuk, Das, Saenko 2018, *RISE* (arXiv 1806.07421), §4.1. Unchanged by any increasing function of the map. Places of
equal height go in the order of reading. NaN where the probability says nothing: softmax makes 1 of a single output
whatever the image shows, and with a batch norm that reads its batch it is a matter of the images beside.

Method:
    Meaning: Whether the class probability falls fast when the highest places of a map are removed, and rises fast when
        they are added.
    Formula: Area under the class probability over the share of places changed, by the trapezoid rule.
    Source: Petsiuk, Das & Saenko 2018, *RISE* (arXiv 1806.07421), §4.1.
    Batch norm: Running statistics; NaN where a norm reads its batch.
    Sampling: Test images; 32 steps a curve.
    Fails: Images with holes are none that the net has seen, so part of the fall is that. NaN for a net with one output.
    Command: labapp explain RUN --index 0
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from labapp.diagnostics.measuring.conditions import images_mix
from labapp.diagnostics.measuring.layer_gradients import Targets, class_scores, class_targets
from labapp.diagnostics.measuring.tensors import wide
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.diagnostics.measuring.upsample import upsample

ONE_OUTPUT = "the net has one output, of which softmax makes 1 whatever the image shows"
AT_ONCE = 256  # images in one forward pass


class Curve(NamedTuple):
    """The probability of the class after each share of the places has been changed."""

    shares: Tensor  # (steps + 1,), from 0 to 1
    probabilities: Tensor  # (N, steps + 1)
    note: str = ""  # why there are none, where they are NaN

    @property
    def area(self) -> Tensor:
        """The area under the curve of each image, (N,)."""
        return torch.trapezoid(self.probabilities, self.shares, dim=1)


def deletion(
    model: nn.Module, images: Tensor, maps: Tensor, targets: Targets = None, *, steps: int = 32, baseline: float = 0.0
) -> Curve:
    """The highest places of maps (N, h, w) taken out of images (N, C, H, W); 0 is the set's mean colour."""
    return _curve(model, images, lambda: torch.full_like(images, baseline), maps, targets, steps)


def insertion(model: nn.Module, images: Tensor, maps: Tensor, targets: Targets = None, *, steps: int = 32) -> Curve:
    """The highest places of maps (N, h, w) put into a blurred copy of images (N, C, H, W)."""
    return _curve(model, blurred(images), lambda: images, maps, targets, steps, images)


def blurred(images: Tensor) -> Tensor:
    """Images as insertion starts from: RISE's blur (σ = 5 pixels, 11 taps, at 224), and at small sizes σ = 2."""
    side, channels = min(images.shape[2:]), images.shape[1]
    sigma = max(2.0, 5 * side / 224)
    reach = min(round(sigma), side - 1)
    # torchvision has the same, and loads torch's compiler with it: two seconds and 190 MB
    taps = torch.arange(-reach, reach + 1, device=images.device, dtype=wide(images.dtype))
    bell = torch.exp(-0.5 * (taps / sigma) ** 2)
    bell = bell / bell.sum()
    kernel = torch.outer(bell, bell).expand(channels, 1, -1, -1)  # (C, 1, k, k)
    padded = functional.pad(images.to(wide(images.dtype)), [reach] * 4, mode="reflect")
    return functional.conv2d(padded, kernel, groups=channels).to(images.dtype)


def _curve(
    model: nn.Module,
    start: Tensor,
    changed_to: Callable[[], Tensor],
    maps: Tensor,
    targets: Targets,
    steps: int,
    images: Tensor | None = None,
) -> Curve:
    """Probabilities of the classes on the way from images `start` to others, both (N, C, H, W)."""
    with undisturbed(model), torch.no_grad():
        scores = class_scores(model, start if images is None else images)
        classes = class_targets(targets, scores)
        count, _, height, width = start.shape
        places = torch.linspace(0, height * width, steps + 1, device=start.device).round().long()
        shares = places / (height * width)
        note = ONE_OUTPUT if scores.shape[1] == 1 else images_mix(model)
        if note:
            return Curve(shares, torch.full((count, steps + 1), torch.nan, device=start.device), note)
        if maps.shape[1:] != (height, width):
            maps = upsample(maps, (height, width))
        order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
        rank = order.argsort(dim=1).view(count, 1, height, width)  # 0 for the highest place
        every = torch.arange(count, device=start.device).repeat_interleave(steps + 1)  # image of each variant
        changed = places.repeat(count)
        end = changed_to()
        probabilities = []
        for which, many in zip(every.split(AT_ONCE), changed.split(AT_ONCE), strict=True):
            variants = end[which].where(rank[which] < many.view(-1, 1, 1, 1), start[which])
            found = model(variants)
            probabilities.append(found.to(wide(found.dtype)).softmax(1).gather(1, classes[which, None])[:, 0])
    return Curve(shares, torch.cat(probabilities).view(count, steps + 1))
