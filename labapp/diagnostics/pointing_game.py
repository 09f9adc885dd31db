r"""Does a map's highest place lie on the object?

A hit is argmax(map) ∈ mask. Zhang et al. 2016, *Top-down Neural Attention by Excitation Backprop* (arXiv 1608.00507),
§4.1, who also count a place within some pixels of the object (`tolerance`; theirs 15 at ImageNet's sizes). Where the
maximum stands at several places, the share of them that hits: what a draw among them would score on average.

Unchanged by any increasing function of the map. A constant map scores the mask's share of the image.

Method:
    Meaning: Whether a map's highest place lies on the object.
    Formula: $\operatorname{arg\,max}(\text{map}) \in \text{mask}$.
    Source: Zhang et al. 2016 (arXiv 1608.00507), §4.1.
    Batch norm: As in the map.
    Sampling: Test images whose mask is known.
    Fails: One place stands for the map; equal maxima share the hit.
    Command: labapp explain RUN --index 0
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from labapp.diagnostics.measuring.upsample import upsample


def pointing_game(maps: Tensor, masks: Tensor, *, tolerance: int = 0) -> Tensor:
    """Hits of maps (N, h, w) on masks (N, H, W), (N,) from 0 to 1; NaN where the mask is empty, the map not finite."""
    masks = masks.to(maps.device, torch.bool)
    maps = upsample(maps, (masks.shape[1], masks.shape[2])) if maps.shape != masks.shape else maps
    values = maps.flatten(1)
    highest = values == values.amax(1, keepdim=True)
    near = masks
    if tolerance:
        side = 2 * tolerance + 1
        near = F.max_pool2d(masks[:, None].float(), side, stride=1, padding=tolerance)[:, 0] > 0
    hits = (highest & near.flatten(1)).sum(1) / highest.sum(1)
    known = masks.flatten(1).any(1) & values.isfinite().all(1)
    return hits.where(known, torch.nan)
