"""Layers, profiles, slopes and ratios, against scipy and closed forms."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress
from scipy.stats import t as student

from labapp import frames
from tests.frames.profiles import one_profile


def test_layer_table_keeps_the_kinds_asked_for(record, tmp_path):
    table = frames.layer_table([record(tmp_path, depth=20)], kinds=["conv"])
    assert list(table.columns) == [*frames.IDENTITY, *frames.LAYER, "value"]
    assert set(table["kind"]) == {"conv"}
    assert len(table) == 19 * 4
    both = frames.layer_table([record(tmp_path, depth=20)], kinds=["conv", "norm"])
    assert len(both) == 2 * 19 * 4


def test_layer_table_relative_to_the_last_layer(record, tmp_path):
    table = frames.layer_table([record(tmp_path, growth=1.2)], relative=True)
    np.testing.assert_allclose(table["value"], 1.2 ** (19 - table["depth"]), rtol=1e-5)


def test_layers_without_the_quantity_are_left_out_but_nan_stays(record, tmp_path):
    run = record(tmp_path, nan_from=0, status="diverged")
    assert len(frames.layer_table([run])) == 19 * 4  # NaN is data
    assert frames.layer_table([run]).isna()["value"].all()
    fine = record(tmp_path)
    assert frames.layer_table([fine], "branch_norm").empty  # a plain net has no branches


def test_a_residual_nets_missing_numbers_stay_nan(record, tmp_path):
    table = frames.layer_table([record(tmp_path, nan_from=15, status="diverged")])
    assert table.groupby("step")["value"].apply(lambda v: v.isna().sum()).tolist() == [0, 0, 19, 19]


def test_readers_can_be_replaced(record, tmp_path):
    run, calls = record(tmp_path), []

    def read(run, quantity, kinds):
        calls.append((run.id, quantity, kinds))
        return frames.read_layers(run, quantity, kinds)

    frames.layer_table([run], "weight_grad_norm", ["conv"], read=read)
    assert calls == [(run.id, "weight_grad_norm", ("conv",))]


# profile


def test_profile_takes_a_recorded_step_near_enough(record, tmp_path):
    table = frames.layer_table([record(tmp_path, recorded=(0, 10, 20))])
    assert set(frames.gradient_profile(table, 11)["step"]) == {10}
    assert frames.gradient_profile(table, 14).empty
    assert len(frames.gradient_profile(table, 0)) == 19


def test_profile_names_what_cannot_be_drawn_on_a_log_axis():
    profile = frames.gradient_profile(one_profile([1, 0, np.nan, np.inf, -1]), 0)
    assert profile["state"].tolist() == ["finite", "zero", "not finite", "not finite", "not finite"]


def test_profile_of_a_very_deep_net_is_thinned():
    profile = frames.gradient_profile(one_profile(np.ones(5000)), 0, marks=100)
    assert len(profile) == 100
    assert profile["depth"].iloc[[0, -1]].tolist() == [1, 5000]


def test_profile_of_nothing():
    assert frames.gradient_profile(frames.layer_table([]), 0).empty


def test_theory_grows_back_from_the_last_layer(record, tmp_path):
    runs = [record(tmp_path), record(tmp_path, family="residual"), record(tmp_path, norm="none")]
    profile = frames.gradient_profile(frames.layer_table(runs), 0)
    theory = frames.theory_profile(profile, frames.describe(runs))
    assert set(theory["run"]) == {"plain-20"}
    assert theory["value"].iloc[-1] == pytest.approx(1.0)
    np.testing.assert_allclose(
        theory["value"].iloc[:-1].to_numpy() / theory["value"].iloc[1:], np.sqrt(np.pi / (np.pi - 1))
    )


def test_theory_says_nothing_about_other_nets(record, tmp_path):
    runs = [record(tmp_path, family="residual")]
    profile = frames.gradient_profile(frames.layer_table(runs), 0)
    assert frames.theory_profile(profile, frames.describe(runs)).empty


# slope


def test_slope_of_a_geometric_profile_is_exact(record, tmp_path):
    slopes = frames.gradient_slope(frames.layer_table([record(tmp_path, growth=1.2)]))
    assert slopes["step"].tolist() == [0, 10, 20, 30]
    np.testing.assert_allclose(slopes["factor"], 1.2, rtol=1e-6)
    np.testing.assert_allclose(slopes["high"] - slopes["low"], 0, atol=1e-6)
    assert slopes["layers"].tolist() == [19] * 4


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-30, 30), min_size=3, max_size=60),
    st.floats(0.5, 0.99),
    st.integers(0, 10_000),
)
def test_slope_and_interval_agree_with_scipy(exponents, level, offset):
    depths = offset + np.arange(1, len(exponents) + 1) * 2
    table = one_profile(10.0 ** np.array(exponents), depths)
    ours = frames.gradient_slope(table, level).iloc[0]
    theirs = linregress(depths, np.log10(table["value"]))
    half = student.ppf((1 + level) / 2, len(exponents) - 2) * theirs.stderr
    rounding = 1e-7 * max(1.0, np.abs(exponents).max())  # stderr is the root of a difference of squares
    assert ours["slope"] == pytest.approx(theirs.slope, rel=1e-6, abs=rounding)
    if np.isfinite(half):  # scipy has no interval for values that are all equal; ours has no width
        assert (ours["high"] - ours["low"]) / 2 == pytest.approx(half, rel=1e-5, abs=10 * rounding)


def test_slope_agrees_with_lstsq_beside_other_runs():
    rng = np.random.default_rng(0)
    tables = [one_profile(rng.lognormal(size=20), run=run, step=step) for run in "ab" for step in (0, 5)]
    slopes = frames.gradient_slope(pd.concat(tables, ignore_index=True))
    for table, slope in zip(tables, slopes["slope"], strict=True):
        design = np.column_stack([table["depth"], np.ones(20)])
        assert slope == pytest.approx(np.linalg.lstsq(design, np.log10(table["value"]), rcond=None)[0][0], rel=1e-9)


def test_slope_leaves_out_what_has_no_logarithm():
    clean = frames.gradient_slope(one_profile([8, 4, 2, 1])).iloc[0]
    dirty = one_profile([8, 4, 2, 1, 0, np.nan, np.inf, -3])
    found = frames.gradient_slope(dirty).iloc[0]
    assert found["slope"] == pytest.approx(clean["slope"])
    assert (found["layers"], found["left_out"]) == (4, 4)


@pytest.mark.parametrize(
    ("values", "slope", "interval"),
    [([5.0], False, False), ([4.0, 2.0], True, False), ([], None, None), ([np.nan, np.nan], False, False)],
)
def test_slope_of_too_few_layers_is_nan(values, slope, interval):
    found = frames.gradient_slope(one_profile(values))
    if slope is None:
        assert found.empty
        return
    row = found.iloc[0]
    assert np.isfinite(row["slope"]) == slope
    assert np.isfinite(row["low"]) == interval


def test_slope_of_layers_at_one_depth_is_nan():
    assert np.isnan(frames.gradient_slope(one_profile([1, 2, 3], depths=[4, 4, 4])).loc[0, "slope"])


# ratio and heatmap


def test_ratio_of_first_to_last(record, tmp_path):
    ratios = frames.gradient_ratio(frames.layer_table([record(tmp_path, growth=1.2, nan_from=25, status="diverged")]))
    np.testing.assert_allclose(ratios["ratio"], [1.2**18] * 3 + [np.nan], rtol=1e-5)
