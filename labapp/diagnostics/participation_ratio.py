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
    r"""Participation ratio of features (N, D), one row an image.

    Method:
        Meaning: How many directions carry a layer's variance.
        Formula: $\dfrac{(\sum \lambda)^2}{\sum \lambda^2}$, λ the eigenvalues of the features' covariance.
        Source: Gao et al. 2017, *A theory of multineuronal dimensionality, dynamics and measurement*, bioRxiv 214262.
        Batch norm: Running statistics, as the net is used; at a checkpoint before training, which has none yet, those
            of 128 probe images, held fixed.
        Sampling: At most 512 test images; of d equal directions N images show about d / (1 + (d + 1)/N).
        Fails: One strong direction hides all others.
        Command: labapp probe RUN --quantities by_depth
    """
    rows, why = usable(features, 2)
    if why:
        return missing(why)
    rows = rows - rows.mean(0)
    n, d = rows.shape
    products = rows.T @ rows if d <= n else rows @ rows.T
    # Σλ is the trace and Σλ² the sum of squares: no eigenvalue is needed
    return Measured(float(products.trace() ** 2 / products.square().sum()), note=few(n, d))
