"""B ÷ A and B − A with intervals: against scipy, a slow oracle and invariances."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from labapp.frames.compare import SCALES, contrast

ONE, OTHER = [1.0, 1.3, 0.9], [4.0, 9.0, 5.0, 6.5]


def of(one, other, scale):
    return contrast(np.array(one, float)[:, None], np.array(other, float)[:, None], scale)


def test_a_ratio_of_factors_has_welchs_interval_of_the_logarithm():
    found = of(ONE, OTHER, "factor")
    ends = stats.ttest_ind(np.log(OTHER), np.log(ONE), equal_var=False).confidence_interval(0.95)
    assert found.ratio[0] == pytest.approx(stats.gmean(OTHER) / stats.gmean(ONE))
    assert [found.low[0], found.high[0]] == pytest.approx([math.exp(ends.low), math.exp(ends.high)])
    assert [found.a[0], found.b[0]] == pytest.approx([stats.gmean(ONE), stats.gmean(OTHER)])


@pytest.mark.parametrize("scale", SCALES)
def test_a_difference_has_welchs_interval(scale):
    found = of(ONE, OTHER, scale)
    ends = stats.ttest_ind(OTHER, ONE, equal_var=False).confidence_interval(0.95)
    assert found.difference[0] == pytest.approx(np.mean(OTHER) - np.mean(ONE))
    assert [found.least[0], found.most[0]] == pytest.approx([ends.low, ends.high])


def test_a_ratio_of_shares_has_the_interval_of_the_log_response_ratio():
    """Worked out in steps from its definition."""
    one, other = [0.2, 0.3, 0.0, 0.25], [0.5, 0.45]  # a share may be zero in one run
    means, errors, counts = [], [], []
    for sample in (one, other):
        mean = math.fsum(sample) / len(sample)
        variance = math.fsum((value - mean) ** 2 for value in sample) / (len(sample) - 1)
        means.append(mean)
        errors.append(variance / len(sample) / mean**2)
        counts.append(len(sample))
    total = sum(errors)
    freedom = total**2 / sum(error**2 / (count - 1) for error, count in zip(errors, counts, strict=True))
    half = stats.t.ppf(0.975, freedom) * math.sqrt(total)
    found = of(one, other, "share")
    assert found.ratio[0] == pytest.approx(means[1] / means[0])
    gap = math.log(means[1] / means[0])
    assert [found.low[0], found.high[0]] == pytest.approx([math.exp(gap - half), math.exp(gap + half)])


def test_intervals_hold_the_truth_as_often_as_they_say():
    """2,000 pairs of samples whose true ratio is 2; a share of 95 % has a standard error of 0.5 %."""
    random = np.random.default_rng(0)
    one, other = random.lognormal(0, 0.3, (4, 2000)), random.lognormal(math.log(2), 0.6, (6, 2000))
    found = contrast(one, other, "factor")
    assert 0.94 < np.mean((found.low < 2) & (found.high > 2)) < 0.965


samples = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(samples, samples, st.sampled_from(["factor", "share"]), st.floats(1e-2, 1e2))
def test_the_other_way_round_it_is_the_inverse_and_in_other_units_the_same(one, other, scale, unit):
    found, back = of(one, other, scale), of(other, one, scale)
    near = pytest.approx(1, rel=1e-9)
    assert found.ratio[0] * back.ratio[0] == near
    assert found.difference[0] == -back.difference[0]
    scaled = of(np.array(one) * unit, np.array(other) * unit, scale)
    assert scaled.ratio[0] / found.ratio[0] == near
    assert np.isfinite(found.low[0]) == (min(len(one), len(other)) > 1)
    if np.isfinite(found.low[0]):
        # intervals of two values 6 decades apart are hundreds of decades wide, so they are compared as logarithms
        ends = np.log([found.low[0], found.high[0], back.high[0], back.low[0]])
        if np.isfinite(ends).all():
            assert ends[:2] == pytest.approx(-ends[2:], rel=1e-6, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=5), st.sampled_from(["factor", "share"]))
def test_a_side_against_itself_is_one(sample, scale):
    found = of(sample, sample, scale)
    assert found.ratio[0] == 1
    assert found.difference[0] == 0


@pytest.mark.parametrize(("one", "other", "ratio"), [(0, 0, 1), (0, 2, np.inf), (2, 0, 0), (4, 2, 0.5)])
@pytest.mark.parametrize("scale", ["factor", "share"])
def test_zero_is_a_value(one, other, ratio, scale):
    found = of([one], [other], scale)
    assert found.ratio[0] == pytest.approx(ratio)
    assert np.isnan([found.low[0], found.high[0], found.least[0]]).all()  # one run has no variance


def test_what_is_not_finite_is_counted_and_takes_no_part():
    found = of([1, np.nan, np.inf, 3], [2, 2], "factor")
    assert (found.runs_a[0], found.lost_a[0], found.runs_b[0], found.lost_b[0]) == (2, 2, 2, 0)
    assert found.ratio[0] == pytest.approx(2 / math.sqrt(3))
    assert np.isnan(of([np.nan], [1], "share").ratio[0])


def test_what_was_not_measured_is_not_counted():
    sample = np.ma.array([[1.0, 1.0], [2.0, 2.0]], mask=[[False, True], [False, True]])
    found = contrast(sample, np.ones((1, 2)), "factor")
    assert found.runs_a.tolist() == [2, 0]
    assert found.lost_a.tolist() == [0, 0]
    assert np.isnan(found.ratio[1])


def test_what_has_either_sign_has_no_ratio():
    assert np.isnan(of([1, 2], [3, 4], "signed").ratio[0])


def test_samples_without_spread_have_an_interval_without_width():
    found = of([2, 2], [3, 3], "factor")
    assert [found.low[0], found.high[0]] == pytest.approx([1.5, 1.5])
