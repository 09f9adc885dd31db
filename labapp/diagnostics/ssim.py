"""Do two maps look alike?

SSIM (Wang et al. 2004, IEEE TIP 13): (2μ_a μ_b + c₁)(2σ_ab + c₂) / ((μ_a² + μ_b² + c₁)(σ_a² + σ_b² + c₂)) in a window
around each place, averaged over the windows that lie inside the map; c₁ = (0.01 L)², c₂ = (0.03 L)² with L the range
of values. The window is a square of equal weights and variances are those of a sample, as in scikit-image's default.
From −1 to 1; 1 for equal maps. Not unchanged by a scale: bring both to one range first.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def ssim(a: Tensor, b: Tensor, *, window: int = 7, value_range: float = 1.0) -> Tensor:
    """SSIM of each pair of maps in a and b, both (N, H, W): (N,). A map smaller than the window is one window."""
    rows, columns = min(window, a.shape[1]), min(window, a.shape[2])
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    a, b = a.detach().double(), b.detach().double()  # variances are differences of large numbers

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x[:, None], (rows, columns), stride=1)[:, 0]

    mean_a, mean_b = mean(a), mean(b)
    sample = rows * columns / max(1, rows * columns - 1)
    var_a = sample * (mean(a * a) - mean_a**2)
    var_b = sample * (mean(b * b) - mean_b**2)
    cov = sample * (mean(a * b) - mean_a * mean_b)
    top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    bottom = (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return (top / bottom).mean((1, 2)).float()


def to_unit_range(maps: Tensor) -> Tensor:
    """Absolute values of maps (N, H, W), divided by the greatest of each; a map of zeros stays so."""
    size = maps.abs()
    greatest = size.amax((1, 2), keepdim=True)
    return size / greatest.where(greatest > 0, torch.ones_like(greatest))
