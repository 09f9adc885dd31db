"""What is the dimension of the manifold on which a layer's features lie?

TwoNN (Facco, d'Errico, Rodriguez, Laio 2017, Scientific Reports 7, 12140). With r₁, r₂ the distances of a point to its
two nearest neighbours and μ = r₂/r₁: where the density hardly changes between neighbours, log μ is exponential with
rate d, the dimension of the manifold, however it is bent.

Facco fits a line to the lower 90 % of the μ, because the largest are those for which the density does change. Here the
same 90 % enter by maximum likelihood for a sample cut off at the top (its mean is that of Denti et al. 2022, Scientific
Reports 12, 20005, for no cut): with the r smallest of N logarithms x₁ ≤ … ≤ x_r,

    d = (r − 1) / T,   T = Σ xᵢ + (N − r) x_r,   and 2 d T is χ² with 2r degrees of freedom, which gives the interval.

In dimensions. Invariant to rotations, one common factor and a shift; nearly so to smooth maps. Grows with noise, which
fills every direction at the scale of neighbours, and comes out too small above some 15 dimensions: a note warns.
"""

import math

import torch
from scipy import stats
from torch import Tensor

from labapp.diagnostics.measuring.measured import ROUNDING, Measured, missing, usable

KEPT = 0.9  # Facco's choice
LEAST_POINTS = 20
TOO_LARGE = 15  # dimensions from which on the estimate is known to be too small (Facco et al., Fig. 3)
ROWS = 256  # of the distance matrix at a time


def intrinsic_dimension(features: Tensor) -> Measured:
    r"""TwoNN dimension of features (N, D), one row an image, with its 95 % interval.

    Method:
        Meaning: The dimension of the surface on which a layer's features lie, however it is bent.
        Formula: $d = \dfrac{r - 1}{\sum_{i \le r} x_i + (N - r) x_r}$ of the r smallest of $x = \log(r_2 / r_1)$,
            distances to the two nearest neighbours.
        Source: Facco, d'Errico, Rodriguez & Laio 2017, *Scientific Reports* 7, 12140; Denti et al. 2022, *Scientific
            Reports* 12, 20005.
        Batch norm: Running statistics, as the net is used; at a checkpoint before training, which has none yet, those
            of 128 probe images, held fixed.
        Sampling: At most 512 test images; the interval is that of χ² with 2r degrees of freedom.
        Fails: Too small above some 15 dimensions, and grows with noise at the scale of neighbours; a note warns.
        Command: labapp probe RUN --quantities by_depth
    """
    rows, why = usable(features, LEAST_POINTS)
    if why:
        return missing(why)
    distinct = different(torch.unique(rows, dim=0), torch.finfo(features.dtype).eps)
    if len(distinct) < LEAST_POINTS:
        return missing(f"{len(distinct)} different points; this needs at least {LEAST_POINTS}")
    first, second = nearest_two(distinct)
    ratios = (second / first).log().sort().values
    n = len(ratios)
    kept = math.floor(KEPT * n)
    total = float(ratios[:kept].sum() + (n - kept) * ratios[kept - 1])
    if total <= 0:
        return missing("all neighbours are equally far: the points lie on a grid")
    low, high = (stats.chi2.ppf(q, 2 * kept) / (2 * total) for q in (0.025, 0.975))
    twins = len(rows) - n
    notes = [f"{twins} of {len(rows)} images have the features of another and were left out"] if twins else []
    value = (kept - 1) / total
    if value > TOO_LARGE:
        notes.append(f"above {TOO_LARGE} dimensions the estimate is too small")
    return Measured(value, float(low), float(high), "; ".join(notes))


def different(points: Tensor, eps: float) -> Tensor:
    """Those of points (N, D) that no earlier one equals up to the rounding of numbers with this eps.

    Repeats that were computed in another order differ in their last digits. Their distance would be the smallest there
    is, and the dimension that of the rounding.
    """
    sizes = points.norm(dim=1)
    alone = []
    for part, (size, numbers) in zip(
        points.split(ROWS), zip(sizes.split(ROWS), torch.arange(len(points)).split(ROWS), strict=True), strict=True
    ):
        distances = torch.cdist(part, points, compute_mode="donot_use_mm_for_euclid_dist")
        earlier = torch.arange(len(points)) < numbers[:, None]
        alone.append(~((distances <= ROUNDING * eps * size[:, None]) & earlier).any(1))
    return points[torch.cat(alone)]


def nearest_two(points: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (N,) to the nearest and the second nearest of the other points (N, D).

    By differences, not by products: two near points of a far cloud would lose their distance to rounding.
    """
    found = [
        torch.cdist(part, points, compute_mode="donot_use_mm_for_euclid_dist").topk(3, largest=False).values
        for part in points.split(ROWS)
    ]
    distances = torch.cat(found)  # (N, 3), the first of them 0: the point itself
    return distances[:, 1], distances[:, 2]
