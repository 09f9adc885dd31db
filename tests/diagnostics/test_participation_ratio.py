import pytest
import torch

from labapp.diagnostics.measuring.spectrum import spectrum
from labapp.diagnostics.participation_ratio import participation_ratio


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_isotropic_features_show_what_their_sample_lets_them():
    # d / (1 + (d + 1) / N) = 90.8 for d = 100, N = 1000
    values = [participation_ratio(draw(1000, 100, seed=seed)).value for seed in range(5)]
    assert sum(values) / 5 == pytest.approx(90.8, abs=0.5)


def test_it_is_the_ratio_of_eigenvalue_sums():
    for shape in ((40, 7), (7, 40)):
        X = draw(*shape) * torch.arange(1, shape[1] + 1)
        values = spectrum(X)
        assert participation_ratio(X).value == pytest.approx(float(values.sum() ** 2 / values.square().sum()), rel=1e-9)


def test_invariances():
    X = draw(60, 5) * torch.tensor([1.0, 2, 3, 4, 5])
    Q, _ = torch.linalg.qr(draw(5, 5, seed=1))
    assert participation_ratio(3 * X @ Q + 7).value == pytest.approx(participation_ratio(X).value, rel=1e-9)


def test_one_direction_has_ratio_one():
    line = draw(30, 1) @ draw(1, 9, seed=1)
    assert participation_ratio(line).value == pytest.approx(1, rel=1e-9)
