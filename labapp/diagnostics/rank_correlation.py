"""Do two maps order the places of an image alike?

Spearman's ρ (1904): Pearson's correlation of the ranks, equal values sharing the mean of their ranks. From −1 to 1;
unchanged by any increasing function of either map; NaN where a map is constant or not finite, which orders nothing.
"""

import torch
from torch import Tensor


def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """ρ of each pair in a and b, both (N, …) of one shape: (N,).

    All pairs at once; `scipy.stats.spearmanr` takes one pair a call.
    """
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    scale = (x.square().sum(1) * y.square().sum(1)).sqrt()
    finite = a.flatten(1).isfinite().all(1) & b.flatten(1).isfinite().all(1)
    return ((x * y).sum(1) / scale).where(finite & (scale > 0), torch.nan).to(a.dtype)


def ranks(values: Tensor) -> Tensor:
    """Ranks from 1 inside each of (N, …), flattened: (N, M) in float64."""
    from scipy.stats import rankdata  # 50 MB, which a page that shows maps need not have

    flat = values.detach().flatten(1).double()
    return torch.from_numpy(rankdata(flat.cpu().numpy(), axis=1)).to(flat.device)
