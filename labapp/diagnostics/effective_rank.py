"""Over how many directions are a layer's features spread?

effective rank = exp(H(p)) with pᵢ = σᵢ / Σσ, σ the singular values of the centred features X (N, D), and H the entropy
in nats. Roy & Vetterli 2007, *The effective rank: a measure of effective dimensionality*, EUSIPCO.

In dimensions: k for k equal directions, at least 1, at most min(N − 1, D). Invariant to rotations, one common factor
and a shift. Weights directions by their standard deviation, where the participation ratio takes the variance; so it is
the larger of the two, and the more sensitive to noise.
"""

from torch import Tensor

from labapp.diagnostics.measuring.measured import Measured, missing, usable
from labapp.diagnostics.measuring.spectrum import few, spectrum


def effective_rank(features: Tensor) -> Measured:
    """Effective rank of features (N, D), one row an image."""
    rows, why = usable(features, 2)
    if why:
        return missing(why)
    sigma = spectrum(rows).sqrt()
    shares = sigma[sigma > 0] / sigma.sum()
    return Measured(float((-(shares * shares.log()).sum()).exp()), note=few(*rows.shape))
