"""Layers, profiles and ratios, against closed forms."""

import numpy as np

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

    def read(run, quantities):
        calls.append((run.id, *quantities))
        return frames.read_grid(run, quantities)

    frames.layer_table([run], "weight_grad_norm", ["conv"], read=read)
    assert calls == [(run.id, "weight_grad_norm", "nonfinite", "update_ratio")]


# profile


def test_profile_takes_a_recorded_step_near_enough(record, tmp_path):
    table = frames.layer_table([record(tmp_path, recorded=(0, 10, 20))])
    assert set(frames.gradient_profile(table, 11)["step"]) == {10}
    assert frames.gradient_profile(table, 14).empty
    assert len(frames.gradient_profile(table, 0)) == 19


def test_profile_names_what_cannot_be_drawn_on_a_log_axis():
    profile = frames.gradient_profile(one_profile([1, 0, np.nan, np.inf, -1]), 0)
    assert profile["state"].tolist() == ["finite", "zero", "NaN", "∞", "below zero"]


def test_profile_of_a_very_deep_net_is_thinned():
    profile = frames.gradient_profile(one_profile(np.ones(5000)), 0, marks=100)
    assert len(profile) == 100
    assert profile["depth"].iloc[[0, -1]].tolist() == [1, 5000]


def test_profile_of_nothing():
    assert frames.gradient_profile(frames.layer_table([]), 0).empty


# ratio and heatmap


def test_ratio_of_first_to_last(record, tmp_path):
    ratios = frames.gradient_ratio(frames.layer_table([record(tmp_path, growth=1.2, nan_from=25, status="diverged")]))
    np.testing.assert_allclose(ratios["ratio"], [1.2**18] * 3 + [np.nan], rtol=1e-5)
