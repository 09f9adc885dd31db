import math

import pytest
import torch
from scipy import stats

from labapp.diagnostics.measuring.interval import mean_interval, share_interval


def test_mean_interval_against_scipy():
    values = torch.randn(30, generator=torch.Generator().manual_seed(0)).double()
    mean, low, high, n = mean_interval(values)
    expected = stats.t.interval(0.95, 29, loc=values.mean(), scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected)
    assert mean == pytest.approx(float(values.mean()))
    assert n == 30


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 17), (99, 100)])
def test_share_interval_against_scipy(hits: int, n: int):
    values = torch.zeros(n)
    values[:hits] = 1
    _, low, high, _ = share_interval(values)
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_images_without_a_score_are_left_out():
    values = torch.tensor([1.0, math.nan, 3.0])
    assert mean_interval(values)[::3] == (2.0, 2)
    assert share_interval(torch.tensor([1.0, math.nan, 0.0]))[::3] == (0.5, 2)


@pytest.mark.parametrize("interval", [mean_interval, share_interval])
def test_nothing_gives_nan(interval):
    mean, low, high, n = interval(torch.tensor([math.nan]))
    assert n == 0
    assert all(math.isnan(x) for x in (mean, low, high))


def test_one_value_has_no_interval():
    mean, low, high, n = mean_interval(torch.tensor([2.0]))
    assert (mean, n) == (2.0, 1)
    assert math.isnan(low)
    assert math.isnan(high)
