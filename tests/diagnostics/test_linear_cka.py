import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.config import LabError
from labapp.diagnostics.linear_cka import centred, gram, half_gram, hsic, linear_cka


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_hsic(K: torch.Tensor, L: torch.Tensor, unbiased: bool) -> float:
    """Gretton 2005 and Song 2012, eq. 5, term by term."""
    n = len(K)
    if not unbiased:
        H = torch.eye(n, dtype=K.dtype) - 1 / n
        return float((K @ H @ L @ H).trace() / (n - 1) ** 2)
    one = torch.ones(n, dtype=K.dtype)
    K, L = K - K.diag().diag(), L - L.diag().diag()
    cross = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
    return float(((K @ L).trace() + cross - 2 / (n - 2) * (one @ K @ L @ one)) / (n * (n - 3)))


@pytest.mark.parametrize("unbiased", [True, False])
def test_hsic_is_that_of_the_papers(unbiased: bool):
    X, Y = draw(9, 5), draw(9, 4, seed=1) + 3
    K, L = X @ X.T, Y @ Y.T
    products = hsic(torch.stack([K, L]), unbiased=unbiased)
    for (i, A), (j, B) in [(a, b) for a in enumerate((K, L)) for b in enumerate((K, L))]:
        assert float(products[i, j]) == pytest.approx(slow_hsic(A, B, unbiased), rel=1e-10)
    torch.testing.assert_close(hsic(K[None], L[None], unbiased=unbiased), products[:1, 1:])


@pytest.mark.parametrize("unbiased", [True, False])
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_rotation_scale_and_shift_leave_similarity_one(unbiased: bool, scale: float, shift: float, seed: int):
    X = draw(30, 8, seed=seed)
    Q, _ = torch.linalg.qr(draw(8, 8, seed=seed + 1))
    assert linear_cka(X, X @ Q, unbiased=unbiased).value == pytest.approx(1, abs=1e-9)
    assert linear_cka(X, scale * X + shift, unbiased=unbiased).value == pytest.approx(1, abs=1e-9)


def test_rescaling_single_features_does_not():
    X = draw(200, 4)
    assert linear_cka(X, X * torch.tensor([1.0, 1, 1, 9])).value < 0.9


def test_independent_gaussians():
    # p = 512, n = 256: p / (p + n) = 0.667 for the biased estimator, 0 for the unbiased one
    biased, unbiased = [], []
    for seed in range(8):
        X, Y = draw(256, 512, seed=seed), draw(256, 512, seed=100 + seed)
        biased.append(linear_cka(X, Y, unbiased=False).value)
        unbiased.append(linear_cka(X, Y).value)
    assert sum(biased) / 8 == pytest.approx(0.667, abs=0.003)
    assert sum(unbiased) / 8 == pytest.approx(0.001, abs=0.005)
    assert "biased upwards" in linear_cka(X, Y, unbiased=False).note


def test_unbiased_centring_leaves_rows_that_sum_to_zero():
    X = draw(2, 7, 3)
    K = centred(X @ X.mT, unbiased=True)
    torch.testing.assert_close(K.sum(-1), torch.zeros(2, 7, dtype=K.dtype), atol=1e-12, rtol=0)
    assert bool((K.diagonal(dim1=-2, dim2=-1) == 0).all())


@pytest.mark.parametrize("n", [4, 15, 16, 17, 50])
def test_gram_is_the_whole_product_up_to_a_shift(n: int):
    X = draw(n, 6)
    around = X - X[0]
    torch.testing.assert_close(gram(X), around @ around.T)
    maps = draw(n, 3, 4, 5).to(memory_format=torch.channels_last)
    flat = (maps - maps[0]).flatten(1)
    torch.testing.assert_close(gram(maps), flat @ flat.T)


def test_a_large_common_mean_takes_no_digits():
    X, Y = draw(64, 4096), draw(64, 4096, seed=1)
    Y[:, :500] = X[:, :500]
    exact = linear_cka(X, Y).value
    far = torch.stack([gram((Z + 300).float()) for Z in (X, Y)])
    products = hsic(far, unbiased=True)
    single = float(products[0, 1] / (products[0, 0] * products[1, 1]).sqrt())
    assert single == pytest.approx(exact, abs=2e-3)  # 300 in float32 leaves the differences 16 bits
    naive = torch.stack([((Z + 300).float() @ (Z + 300).float().T).double() for Z in (X, Y)])
    spoilt = hsic(naive, unbiased=True)
    assert abs(float(spoilt[0, 1] / (spoilt[0, 0] * spoilt[1, 1]).sqrt()) - exact) > 5 * abs(single - exact)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_are_summed_in_single(dtype: torch.dtype):
    X = (300 * draw(8, 4096)).to(dtype)
    assert bool(torch.isfinite(gram(X)).all())


def test_what_cannot_be_compared():
    X = draw(12, 3)
    assert math.isnan(linear_cka(X[:3], X[:3]).value)
    assert "at least 4" in linear_cka(X[:3], X[:3]).note
    assert "same features" in linear_cka(X, torch.full((12, 3), 7.1)).note
    assert "silent" in linear_cka(torch.zeros(12, 5), X).note
    broken = X.clone()
    broken[2, 1] = math.nan
    assert linear_cka(X, broken).note == "1 of 12 images have features that are not finite"
    with pytest.raises(LabError, match="same images"):
        linear_cka(X, X[:5])
    with pytest.raises(LabError, match="one row an image"):
        linear_cka(X[:, 0], X[:, 0])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(32, 16, 8, 8), (7, 3, 5, 5), (5, 9)])
def test_products_are_the_same_on_one_thread_and_on_several(threads, shape):
    features = torch.randn(*shape, generator=torch.Generator().manual_seed(0)) + 3
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        products, power = half_gram(features)
    finally:
        torch.set_num_threads(before)
    rows = features.flatten(1).double()
    expected = (rows - rows[0]) @ (rows - rows[0]).T
    # float32 sums of D products, each rounded at 6e-8 of the largest
    assert torch.allclose(products.double().tril(), expected.tril(), rtol=1e-5, atol=1e-5 * expected.diagonal().max())
    assert power.item() == pytest.approx((rows[0] ** 2).sum().item(), rel=1e-5)
