import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.diagnostics.effective_rank import effective_rank
from labapp.diagnostics.measuring.spectrum import spectrum
from labapp.diagnostics.participation_ratio import participation_ratio


def equal_directions(k: int, images: int = 40, dimensions: int = 12) -> torch.Tensor:
    """Centred features whose k singular values are equal."""
    noise = torch.randn(images, k, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    basis, _ = torch.linalg.qr(noise - noise.mean(0))
    return torch.nn.functional.pad(basis, (0, dimensions - k))


@pytest.mark.parametrize("k", [1, 2, 7, 12])
def test_k_equal_directions_have_rank_k(k: int):
    assert effective_rank(equal_directions(k)).value == pytest.approx(k, rel=1e-9)


def test_it_is_the_entropy_of_singular_values():
    X = torch.randn(50, 9, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 10)
    sigma = np.linalg.svd((X - X.mean(0)).double().numpy(), compute_uv=False)
    p = sigma / sigma.sum()
    assert effective_rank(X).value == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-6)


@given(seed=st.integers(0, 99), scale=st.floats(1e-2, 1e2), shift=st.floats(-5, 5))
@settings(max_examples=15, deadline=None)
def test_invariant_to_rotation_scale_and_shift_and_no_less_than_the_participation_ratio(
    seed: int, scale: float, shift: float
):
    draw = torch.Generator().manual_seed(seed)
    X = torch.randn(30, 6, generator=draw, dtype=torch.float64) * torch.rand(6, generator=draw)
    Q, _ = torch.linalg.qr(torch.randn(6, 6, generator=draw, dtype=torch.float64))
    value = effective_rank(X).value
    assert effective_rank(scale * X @ Q + shift).value == pytest.approx(value, rel=1e-6)
    assert 1 <= participation_ratio(X).value <= value <= 6 + 1e-9


def test_more_features_than_images_are_read_from_the_small_side():
    X = torch.randn(8, 300, generator=torch.Generator().manual_seed(0))
    measured = effective_rank(X)
    assert measured.value <= 7
    assert measured.note == "8 images can show at most 7 dimensions"
    values = spectrum(X.double())
    expected = torch.linalg.svdvals(X.double() - X.double().mean(0)) ** 2 / 7
    torch.testing.assert_close(values, torch.where(values > 0, expected, 0.0))
    assert int((values > 0).sum()) == 7


@pytest.mark.parametrize("function", [effective_rank, participation_ratio])
def test_what_has_no_dimension_says_why(function):
    assert "same features" in function(torch.full((9, 3), 0.1)).note
    assert "silent" in function(torch.zeros(9, 3)).note
    assert "at least 2" in function(torch.ones(1, 3)).note
    assert "1 of 9 images" in function(torch.ones(9, 3).index_fill(0, torch.tensor(4), math.inf)).note
    assert math.isnan(float(function(torch.zeros(9, 3))))
