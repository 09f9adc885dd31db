r"""Do the maps of two nets agree, and from which checkpoint on does a net's map resemble its last one?

Between nets, on the same images and classes: Spearman's ρ of their maps, and the overlap |A ∩ B| / |A ∪ B| (IoU) of
their highest places, by default the top fifth; two random maps of n places overlap q / (2 − q) on average for a share
of q = ⅕: 0.11. Over the checkpoints of one run: drift 1 − ρ between a map and the one before it, and ρ with the last
map.

All are unchanged by any increasing function of a map, so nets and checkpoints with scores of different size compare.
Maps of different resolution are laid over the larger of the two first.

Method:
    Meaning: Whether the maps of two nets agree, and from which checkpoint on a net's map resembles its last one.
    Formula: Spearman's ρ, and $|A \cap B| / |A \cup B|$ of the highest fifth of the places.
    Source: Adebayo et al. 2018 (arXiv 1810.03292), §4, for the measures.
    Batch norm: As in the maps.
    Sampling: The same test images and classes for all nets.
    Fails: Two random maps overlap by 0.11 on average; maps of different resolution are laid over the larger first.
    Command: labapp explain RUN --index 0
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import torch
from torch import Tensor

from labapp.diagnostics.measuring.interval import mean_interval
from labapp.diagnostics.measuring.upsample import upsample
from labapp.diagnostics.rank_correlation import rank_correlation


def map_correlation(a: Tensor, b: Tensor) -> Tensor:
    """ρ of maps (N, h, w) and (N, h', w'), (N,)."""
    return rank_correlation(*_same_size(a, b))


def map_overlap(a: Tensor, b: Tensor, *, share: float = 0.2) -> Tensor:
    """IoU of the highest places of maps (N, h, w) and (N, h', w'), from 0 to 1, (N,); NaN where a map is not finite."""
    a, b = (maps.flatten(1) for maps in _same_size(a, b))
    count = max(1, round(share * a.shape[1]))
    top_a, top_b = (torch.zeros_like(m, dtype=torch.bool).scatter_(1, _highest(m, count), True) for m in (a, b))
    overlap = (top_a & top_b).sum(1) / (top_a | top_b).sum(1)
    return overlap.where(a.isfinite().all(1) & b.isfinite().all(1), torch.nan)


def agreement(maps: Mapping[str, Tensor], *, share: float = 0.2) -> list[dict[str, Any]]:
    """A tidy table of all pairs of nets: a, b, measure (rank correlation | overlap), mean, low, high, images."""
    rows = []
    for a, b in combinations(maps, 2):
        scores = {
            "rank correlation": map_correlation(maps[a], maps[b]),
            "overlap": map_overlap(maps[a], maps[b], share=share),
        }
        for measure, values in scores.items():
            rows.append({"a": a, "b": b, "measure": measure, **mean_interval(values).columns})
    return rows


def drift(maps: Tensor) -> Tensor:
    """1 − ρ between each checkpoint's maps and those before, from 0 (unchanged) to 2: (T, N, h, w) to (T − 1, N)."""
    return 1 - torch.stack([rank_correlation(before, after) for before, after in pairwise(maps)])


def formed(maps: Tensor) -> Tensor:
    """ρ of each checkpoint's maps with the last one's: (T, N, h, w) to (T, N)."""
    return torch.stack([rank_correlation(each, maps[-1]) for each in maps])


def drift_table(steps: Sequence[int], maps: Tensor) -> list[dict[str, Any]]:
    """A tidy table over checkpoints: step, measure (drift | formed), mean, low, high, images; drift from the second."""
    rows = []
    values = {"drift": list(zip(steps[1:], drift(maps), strict=True)) if len(steps) > 1 else []}
    values["formed"] = list(zip(steps, formed(maps), strict=True))
    for measure, scores in values.items():
        for step, score in scores:
            rows.append({"step": step, "measure": measure, **mean_interval(score).columns})
    return rows


def _same_size(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    size = (max(a.shape[1], b.shape[1]), max(a.shape[2], b.shape[2]))
    return tuple(maps if maps.shape[1:] == size else upsample(maps, size) for maps in (a, b))  # type: ignore[return-value]


def _highest(maps: Tensor, count: int) -> Tensor:
    """The places of the `count` highest values of (N, M); of equal ones the first in reading order."""
    return maps.argsort(dim=1, descending=True, stable=True)[:, :count]
