"""How are two examples and their gradients correlated, layer by layer?"""

from __future__ import annotations

import math


def relu_correlation(rho: float) -> float:
    """Uncentred correlation of two examples behind a ReLU whose inputs have correlation ρ (Cho & Saul 2009, n = 1).

    κ₁(ρ) = (√(1 − ρ²) + (π − arccos ρ) ρ) / π.
    """
    return (math.sqrt(1 - rho**2) + (math.pi - math.acos(rho)) * rho) / math.pi


def gradient_cosine(layers: int, correlation: float = 0.0) -> float:
    """Cosine of the gradients that two examples send to the input of a ReLU net: how far it is shattered.

    The gradients of one layer agree where both examples are active, a share κ₀(ρ) = (π − arccos ρ)/π (Cho & Saul 2009,
    n = 0), so the cosine is Π κ₀(ρ_l) with ρ_{l+1} = κ₁(ρ_l). From orthogonal examples 0.105 after 5 layers and 0.0337
    after 10: like L⁻³, not 2^−L as where batch norm keeps examples apart (Balduzzi 2017, Thm 1 and 2).

    Args:
        layers: ReLU layers between input and output.
        correlation: Of the two examples; 0 for orthogonal ones.
    """
    cosine = 1.0
    for _ in range(layers):
        cosine *= (math.pi - math.acos(correlation)) / math.pi
        correlation = min(1.0, relu_correlation(correlation))
    return cosine
