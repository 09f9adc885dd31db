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
    r"""Effective rank of features (N, D), one row an image.

    Method:
        Meaning: Over how many directions a layer's features are spread.
        Formula: $e^{H(p)}$ with $p_i = \sigma_i / \sum_j \sigma_j$, σ the singular values of the centred features and H
            the entropy in nats.
        Source: Roy & Vetterli 2007, *The effective rank: a measure of effective dimensionality*, EUSIPCO.
        Batch norm: Running statistics, as the net is used; at a checkpoint before training, which has none yet, those
            of 128 probe images, held fixed.
        Sampling: At most 512 test images; at most N − 1 and D.
        Fails: Sensitive to noise, which is spread over all directions; compare at the same number of images.
        Command: labapp probe RUN --quantities by_depth
    """
    rows, why = usable(features, 2)
    if why:
        return missing(why)
    sigma = spectrum(rows).sqrt()
    shares = sigma[sigma > 0] / sigma.sum()
    return Measured(float((-(shares * shares.log()).sum()).exp()), note=few(*rows.shape))
