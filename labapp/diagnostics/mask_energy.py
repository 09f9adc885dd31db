r"""How much of a map lies on the object?

Energy inside the mask: Σ_{ij ∈ mask} ReLU(map)_ij / Σ_ij ReLU(map)_ij, the map laid over the image first. Wang et al.
2020, *Score-CAM* (arXiv 1910.01279), §4.3, who call it the energy-based pointing game and use boxes.

The map is enlarged with its sign, so what argues against the class takes from what stands beside it, as in the picture.
From 0 to 1; unchanged when the map is scaled. A constant map scores the mask's share of the image (`mask_share`),
which is therefore what a map must beat; a random net's map is the other thing to compare with.

Method:
    Meaning: How much of a map lies on the object.
    Formula: $\dfrac{\sum_{\text{mask}} \mathrm{ReLU}(\text{map})}{\sum \mathrm{ReLU}(\text{map})}$.
    Source: Wang et al. 2020, *Score-CAM* (arXiv 1910.01279), §4.3.
    Batch norm: As in the map.
    Sampling: Test images whose mask is known, with a random net and an even map beside.
    Fails: A constant map scores the mask's share of the image, which is what a map must beat.
    Command: labapp explain RUN --index 0
"""

import torch
from torch import Tensor

from labapp.diagnostics.measuring.tensors import wide
from labapp.diagnostics.measuring.upsample import upsample


def mask_energy(maps: Tensor, masks: Tensor) -> Tensor:
    """Energy of maps (N, h, w) inside masks (N, H, W), as (N,).

    NaN where the map has nothing positive or is not finite, or the mask is empty: there is no energy to share out.
    """
    masks = masks.to(maps.device, torch.bool)
    over = maps if maps.shape == masks.shape else upsample(maps, (masks.shape[1], masks.shape[2]))
    positive = over.relu().to(wide(maps.dtype))
    inside = (positive * masks).sum((1, 2))
    total = positive.sum((1, 2))
    known = (total > 0) & total.isfinite() & masks.flatten(1).any(1)
    return (inside / total).where(known, torch.nan)


def mask_share(masks: Tensor) -> Tensor:
    """The share of the image that a mask (N, H, W) covers, (N,): the energy of a constant map."""
    return masks.float().mean((1, 2))
