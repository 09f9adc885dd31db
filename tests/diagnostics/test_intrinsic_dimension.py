import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from labapp.diagnostics.intrinsic_dimension import intrinsic_dimension, nearest_two


def uniform(images: int, dimensions: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(images, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def facco(points: torch.Tensor) -> float:
    """The line through the origin that the paper fits to the lower 90 % of (log μ, −log(1 − F))."""
    distances, _ = NearestNeighbors(n_neighbors=3).fit(points.numpy()).kneighbors(points.numpy())
    x = np.sort(np.log(distances[:, 2] / distances[:, 1]))
    y = -np.log(1 - np.arange(1, len(x) + 1) / (len(x) + 1))
    kept = int(0.9 * len(x))
    return float((x[:kept] @ y[:kept]) / (x[:kept] @ x[:kept]))


@pytest.mark.parametrize(("dimensions", "tolerance"), [(2, 0.15), (5, 0.4)])
def test_uniform_points_in_a_cube(dimensions: int, tolerance: float):
    points = uniform(2000, dimensions)
    measured = intrinsic_dimension(points)
    assert measured.value == pytest.approx(dimensions, abs=tolerance)
    assert measured.low < measured.value < measured.high
    assert measured.value == pytest.approx(facco(points), rel=0.03)  # two estimators of one rate


def test_dimensions_that_the_estimate_cannot_reach_are_said():
    points = torch.randn(500, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    measured = intrinsic_dimension(points)
    assert 15 < measured.value < 40
    assert measured.note == "above 15 dimensions the estimate is too small"
    assert intrinsic_dimension(uniform(500, 3)).note == ""


def test_the_interval_covers_the_dimension():
    hits = 0
    for seed in range(100):
        torus = 2 * math.pi * uniform(200, 2, seed)  # a surface without border, so that nothing but chance is left
        points = torch.cat([torus.sin(), torus.cos()], dim=1)
        measured = intrinsic_dimension(points)
        hits += measured.low <= 2 <= measured.high
    assert hits >= 86  # 95 of 100, less three standard errors, and neighbours share distances


def test_a_curved_surface_in_many_dimensions_stays_a_surface():
    flat = uniform(1000, 2)
    bent = torch.cat([flat, flat.sin(), (3 * flat).cos(), flat.prod(1, keepdim=True)], dim=1)
    Q, _ = torch.linalg.qr(torch.randn(50, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    lifted = torch.nn.functional.pad(bent, (0, 43)) @ Q
    assert intrinsic_dimension(lifted).value == pytest.approx(2, abs=0.2)
    assert intrinsic_dimension(5 * lifted + 9).value == pytest.approx(intrinsic_dimension(bent).value, rel=1e-6)


def test_neighbours_are_those_of_scikit_learn():
    points = uniform(600, 7) + 1e4  # a far cloud of near points
    distances, _ = NearestNeighbors(n_neighbors=3).fit((points - 1e4).numpy()).kneighbors((points - 1e4).numpy())
    for ours, theirs in zip(nearest_two(points), (distances[:, 1], distances[:, 2]), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-6)


def test_twins_are_left_out_and_said():
    points = uniform(100, 3)
    doubled = intrinsic_dimension(torch.cat([points, points[:30]]))
    assert doubled.value == pytest.approx(intrinsic_dimension(points).value)
    assert doubled.note == "30 of 130 images have the features of another and were left out"


def test_what_has_no_dimension_says_why():
    assert "at least 20" in intrinsic_dimension(uniform(19, 3)).note
    assert "5 different points" in intrinsic_dimension(uniform(5, 3).repeat(10, 1)).note
    assert "same features" in intrinsic_dimension(torch.ones(50, 3)).note
    assert "not finite" in intrinsic_dimension(torch.full((50, 3), math.nan)).note
    grid = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0))
    assert "on a grid" in intrinsic_dimension(grid).note
    assert math.isnan(intrinsic_dimension(grid).value)
