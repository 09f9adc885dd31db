"""Extreme singular values against those of the whole Jacobian."""

import pytest
import torch
from torch import Tensor, nn

from labapp.config import LabError
from labapp.diagnostics.singular_values import extreme_singular_values, jacobian_at


def block() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 3, padding=1)).double()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def whole(function, x: Tensor) -> Tensor:
    """(N, D', D), each example's Jacobian."""
    rows = [torch.autograd.functional.jacobian(lambda one: function(one[None])[0], example) for example in x]
    return torch.stack([jacobian.flatten(3).flatten(0, 2) for jacobian in rows])


def test_products_are_those_of_the_jacobian(x: Tensor) -> None:
    function = block()
    jacobian = jacobian_at(function, x)
    full = whole(function, x)
    v = torch.randn(3, 32, dtype=torch.float64)
    assert torch.allclose(jacobian.forward(v), torch.einsum("nij,nj->ni", full, v), atol=1e-12)
    assert torch.allclose(jacobian.backward(v), torch.einsum("nij,ni->nj", full, v), atol=1e-12)


def test_exact_when_all_directions_are_taken(x: Tensor) -> None:
    branch = block()

    def function(x: Tensor) -> Tensor:
        return x + branch(x)

    values = torch.linalg.svdvals(whole(function, x))
    found = extreme_singular_values(function, x, steps=100)
    assert torch.allclose(found.largest, values[:, 0], rtol=1e-9)
    assert torch.allclose(found.smallest, values[:, -1], rtol=1e-7)
    assert found.largest_error.max() < 1e-9


def test_fewer_steps_bound_from_inside(x: Tensor) -> None:
    branch = block()

    def function(x: Tensor) -> Tensor:
        return x + branch(x)

    values = torch.linalg.svdvals(whole(function, x))
    found = extreme_singular_values(function, x, steps=8)
    assert (found.largest <= values[:, 0] + 1e-12).all()
    assert (found.smallest >= values[:, -1] - 1e-12).all()
    for at in range(3):  # some singular value lies as near as the error says
        assert (values[at] - found.largest[at]).abs().min() <= found.largest_error[at] + 1e-12
        assert (values[at] - found.smallest[at]).abs().min() <= found.smallest_error[at] + 1e-12
    assert torch.allclose(found.largest, values[:, 0], rtol=0.05)


@pytest.mark.parametrize(("factor", "dtype"), [(1.0, torch.float32), (3.0, torch.float64)])
def test_multiples_of_the_identity(factor: float, dtype: torch.dtype, x: Tensor) -> None:
    found = extreme_singular_values(lambda x: factor * x, x.to(dtype))
    for value in (found.largest, found.smallest):
        assert torch.allclose(value, torch.full((3,), factor, dtype=torch.float64), rtol=1e-5)
    assert found.smallest_error.max() < 1e-5


def test_a_map_that_loses_a_direction() -> None:
    x = torch.randn(2, 6, dtype=torch.float64)
    scale = torch.tensor([2.0, 1.0, 1.0, 0.5, 0.5, 0.0], dtype=torch.float64)
    found = extreme_singular_values(lambda x: x * scale, x)
    assert torch.allclose(found.largest, torch.full((2,), 2.0, dtype=torch.float64))
    assert found.smallest.max() < 1e-7


def test_the_seed_does_not_matter_when_exact_and_random_numbers_are_left_alone(x: Tensor) -> None:
    before = torch.random.get_rng_state()
    one, other = (extreme_singular_values(block(), x, steps=32, seed=seed).largest for seed in (0, 1))
    torch.random.set_rng_state(before)
    extreme_singular_values(lambda x: 2 * x, x)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.allclose(one, other, rtol=1e-8)
    with pytest.raises(LabError, match="steps must be at least 1"):
        extreme_singular_values(block(), x, steps=0)
