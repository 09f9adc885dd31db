"""Do two maps order the places of an image alike?

Spearman's ρ (1904): Pearson's correlation of the ranks, equal values sharing the mean of their ranks. From −1 to 1;
unchanged by any increasing function of either map; NaN where a map is constant or not finite, which orders nothing.
"""

import torch
from torch import Tensor


def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """ρ of each pair in a and b, both (N, …) of one shape: (N,)."""
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    scale = (x.square().sum(1) * y.square().sum(1)).sqrt()
    finite = a.flatten(1).isfinite().all(1) & b.flatten(1).isfinite().all(1)
    return ((x * y).sum(1) / scale).where(finite & (scale > 0), torch.nan).to(a.dtype)


def ranks(values: Tensor) -> Tensor:
    """Ranks from 1 inside each of (N, …), flattened: (N, M) in float64."""
    flat = values.detach().flatten(1).contiguous()
    ordered = flat.sort(dim=1).values
    below = torch.searchsorted(ordered, flat)  # how many are smaller
    upto = torch.searchsorted(ordered, flat, right=True)  # how many are not greater
    return (below + upto + 1).double() / 2
