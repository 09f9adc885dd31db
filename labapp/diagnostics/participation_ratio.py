"""How many directions carry a layer's variance?

PR = (Σλ)² / Σλ², λ the eigenvalues of the covariance of features X (N, D). Gao, Trautmann, Yu, Santhanam, Ryu, Shenoy,
Ganguli 2017, *A theory of multineuronal dimensionality, dynamics and measurement*, bioRxiv 214262.

In dimensions: k for k equal directions, at least 1, at most min(N − 1, D). Invariant to rotations, one common factor
and a shift. A sample shows too little: of d equal directions N images show about d / (1 + (d + 1)/N), 90.8 of 100 for
N = 1000; so compare layers at the same N.
"""

from torch import Tensor

from labapp.diagnostics.measuring.measured import Measured, missing, usable
from labapp.diagnostics.measuring.spectrum import few


def participation_ratio(features: Tensor) -> Measured:
    """Participation ratio of features (N, D), one row an image."""
    rows, why = usable(features, 2)
    if why:
        return missing(why)
    rows = rows - rows.mean(0)
    n, d = rows.shape
    products = rows.T @ rows if d <= n else rows @ rows.T
    # Σλ is the trace and Σλ² the sum of squares: no eigenvalue is needed
    return Measured(float(products.trace() ** 2 / products.square().sum()), note=few(n, d))
