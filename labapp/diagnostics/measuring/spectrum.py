"""How much variance does each direction of a layer's features hold?

The eigenvalues λ₁ ≥ λ₂ ≥ … of the covariance of features X (N, D), X centred: XᵀX / (N − 1). At most N − 1 and at most
D of them differ from 0. In squared units of the features. Invariant to rotations and shifts of the features.
"""

import torch
from torch import Tensor


def spectrum(rows: Tensor) -> Tensor:
    """Eigenvalues in falling order, min(N, D) of them; those within rounding of 0 are 0.

    Args:
        rows: (N, D) in float64, N ≥ 2.
    """
    rows = rows - rows.mean(0)
    n, d = rows.shape
    products = rows.T @ rows if d <= n else rows @ rows.T  # the smaller one; both have the same eigenvalues
    values = torch.linalg.eigvalsh(products).flip(0) / (n - 1)
    return values.where(values > max(n, d) * torch.finfo(rows.dtype).eps * values[0], 0.0)


def few(images: int, features: int) -> str:
    """What to say about a dimension when the images could not have shown more."""
    return f"{images} images can show at most {images - 1} dimensions" if images <= features else ""
