"""Nets that have learnt nothing, against the closed form of random weights, scipy, and themselves."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from labapp.config import LabError
from labapp.diagnostics.feature_reuse import feature_reuse
from labapp.diagnostics.reuse_null import DRAWS, beside, expected, over_column_mean
from labapp.nets import build


def fresh(seed: int, **options: int) -> pd.DataFrame:
    torch.manual_seed(seed)
    return feature_reuse(build("dense", **{"depth": 22, "growth_rate": 4, **options}))


def test_random_weights_spread_as_their_number_says():
    """|w| of a normal weight has the deviation √(π/2 − 1) of its mean; a cell has k · 9 · k of them, source 0 more."""
    nulls = [fresh(seed) for seed in range(DRAWS)]
    table = beside(nulls[0], nulls)
    predicted = []
    for (block, _), column in table.groupby(["block", "target"]):
        n = len(column)
        channels = np.array([{1: 16, 2: 40, 3: 64}[block], *[4] * (n - 1)])
        outputs = {"layer": 4 * 9, "transition": channels.sum(), "classifier": 10}[column["kind"].iloc[0]]
        own = (math.pi / 2 - 1) / (channels * outputs)
        if column["kind"].iloc[0] == "classifier":
            own = own / (math.pi / 2 - 1) / 3  # uniform weights: |w| has the deviation 1/√3 of its mean
        predicted += list(np.sqrt(own * (1 - 2 / n) + own.sum() / n**2) if n > 1 else [0.0])
    several = table.groupby(["block", "target"])["source"].transform("size") > 1
    ratio = (table["null_deviation"] / np.array(predicted))[several]
    assert table["null"][several].mean() == pytest.approx(1, abs=1e-9)
    # a deviation of ten numbers is right to 1 / √18; 180 of them to 2 %, less 3 % for the root of a variance
    assert np.sqrt((ratio**2).mean()) == pytest.approx(1, abs=0.07)
    assert (table["null"][~several] == 1).all()


def test_columns_are_compared_with_their_own_mean():
    table = fresh(0)
    scaled = table.assign(value=table["value"] * 10.0 ** table["target"])
    assert np.allclose(over_column_mean(table), over_column_mean(scaled))
    assert beside(table, [table, scaled])["null_deviation"].max() == pytest.approx(0, abs=1e-12)
    empty = table.assign(value=0.0)
    assert over_column_mean(empty).isna().all()


def test_without_fresh_nets_there_is_no_null_and_others_are_refused():
    table = fresh(0)
    assert beside(table, [])[["null", "null_deviation"]].isna().all(axis=None)
    assert beside(table, [fresh(1)])["null_deviation"].isna().all()
    with pytest.raises(LabError, match="other cells"):
        beside(table, [fresh(1, depth=13)])


def test_one_more_net_lies_where_it_is_expected():
    """Against scipy, and by how often it does."""
    numbers = np.random.default_rng(0).normal(3, 2, (2000, 11))
    known = numbers[0, :10]
    found = expected(known)
    interval = stats.t.interval(0.95, 9, loc=known.mean(), scale=known.std(ddof=1) * math.sqrt(1.1))
    assert found == pytest.approx((known.mean(), *interval))
    held = [low < row[10] < high for row in numbers for _, low, high in [expected(row[:10])]]
    assert np.mean(held) == pytest.approx(0.95, abs=3 * math.sqrt(0.05 * 0.95 / 2000))


def test_a_number_keeps_to_its_range_and_may_be_missing():
    assert expected([0.0, 1.0, 0.5], (0.0, 1.0))[1:] == (0.0, 1.0)
    assert expected([0.3, math.nan])[0] == 0.3
    assert np.isnan(expected([0.3, math.nan])[1:]).all()
    assert np.isnan(expected([])).all()
