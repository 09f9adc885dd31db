import math

import pytest
import torch
from scipy import stats

from labapp.diagnostics.rank_correlation import rank_correlation, ranks

SEEDED = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("levels", [1000, 4])  # few levels: many equal values
def test_against_scipy(levels: int):
    a, b = torch.randint(0, levels, (2, 6, 5, 5), generator=SEEDED).float()
    b += a.where(torch.arange(6)[:, None, None] > 2, 0)
    expected = [stats.spearmanr(x, y).statistic for x, y in zip(a.flatten(1), b.flatten(1), strict=True)]
    torch.testing.assert_close(rank_correlation(a, b), torch.tensor(expected, dtype=torch.float32))


def test_ranks_are_counts_of_smaller_and_equal_values():
    values = torch.randint(0, 5, (3, 4, 5), generator=SEEDED).float()
    flat = values.flatten(1)
    smaller = (flat[:, None] < flat[:, :, None]).sum(2)
    equal = (flat[:, None] == flat[:, :, None]).sum(2)
    torch.testing.assert_close(ranks(values), smaller + (equal.double() + 1) / 2)


def test_increasing_functions_do_not_matter():
    a, b = torch.randn(2, 4, 9, generator=SEEDED)
    torch.testing.assert_close(rank_correlation(a.exp(), b**3), rank_correlation(a, b))
    torch.testing.assert_close(rank_correlation(a, a), torch.ones(4))
    torch.testing.assert_close(rank_correlation(a, -a), -torch.ones(4))


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_what_orders_nothing_is_nan(value: float):
    a = torch.randn(1, 9, generator=SEEDED)
    b = torch.full((1, 9), value)
    assert math.isnan(rank_correlation(a, b))
    assert math.isnan(rank_correlation(b, a))
