"""What theory expects of runs, layer by layer, beside what they recorded at step 0."""

import numpy as np
import pytest

from labapp import frames
from labapp.frames.expected import _given
from labapp.store import list_runs


def test_every_signal_of_a_real_run_has_its_expected_value(digit_nets):
    runs = list_runs(digit_nets)
    assert frames.unexpected(runs) == {}
    measured = frames.at_step(frames.signals(runs), 0)
    measured = measured[measured["quantity"].isin(frames.EXPECTED)]
    both = measured.merge(frames.expected(runs), on=["run", "layer", "quantity"], suffixes=("", "_expected"))
    assert len(both) == len(measured)
    ratio = (both["value"] / both["value_expected"]).groupby(both["quantity"]).median()
    # 8 grey pixels a side and a width of 4: single layers are off by half, their median by a tenth
    assert ratio["output_std"] == pytest.approx(1, abs=0.1)
    assert ratio["zero_fraction"] == pytest.approx(1, abs=0.1)
    assert ratio["forward_ratio"] == pytest.approx(1, abs=0.15)
    assert ratio["backward_ratio"] == pytest.approx(1, abs=0.3)


def test_gradients_are_counted_from_the_last_layer(digit_nets):
    runs = list_runs(digit_nets)
    for relative in (False, True):
        for kind in ("conv", "norm"):
            profile = frames.gradient_profile(frames.layer_table(runs, kinds=(kind,), relative=relative), 0)
            expected = frames.expected_gradient(profile, frames.expected(runs))
            assert set(expected["run"]) == set(profile["run"])
            ends = expected.merge(profile, on=["run", "layer"], suffixes=("", "_measured"))
            last = ends.loc[ends.groupby("run")["depth"].idxmax()]
            np.testing.assert_allclose(last["value"], last["value_measured"])
            plain = ends[ends["family"] == "plain"]
            # width 4, 13 layers, one seed: growth 1.2 a layer gives 10; a factor of 2 is three deviations
            assert np.abs(np.log(plain["value_measured"] / plain["value"])).max() < np.log(2)


def test_runs_that_do_not_stand_at_step_0_get_nothing(record, tmp_path):
    runs = [record(tmp_path, recorded=(0, 10)), record(tmp_path, recorded=(10, 20), family="residual")]
    table = frames.layer_table(runs)
    at_start = frames.expected_gradient(frames.gradient_profile(table, 0), frames.expected(runs))
    assert set(at_start["run"]) == {"plain-20"}
    assert frames.expected_gradient(frames.gradient_profile(table, 10), frames.expected(runs)).empty


def test_a_last_layer_without_a_finite_gradient_anchors_nothing(record, tmp_path):
    runs = [record(tmp_path, nan_from=0)]
    profile = frames.gradient_profile(frames.layer_table(runs), 0)
    assert frames.expected_gradient(profile, frames.expected(runs)).empty


def test_a_prediction_is_of_the_run_s_own_forward_pass(record, tmp_path):
    run = record(tmp_path, width=8, batch_size=64, accumulate=4)
    assert _given(run)[1:] == (24, 3, 16)
    assert _given(record(tmp_path, train_images=10))[3] == 10


def test_the_reasons_travel_with_the_runs(record, tmp_path):
    runs = [record(tmp_path), record(tmp_path, norm="group"), record(tmp_path, family="dense", depth=40)]
    reasons = frames.unexpected(runs)
    assert set(reasons) == set(frames.names(runs)[1:])
    assert "many channels" in reasons[frames.names(runs)[1]]
    assert "not called" in reasons["dense-40"]
    assert set(frames.expected(runs)["run"]) == {frames.names(runs)[0]}


def test_a_run_without_layers_says_what_is_missing(record, tmp_path):
    (reason,) = frames.unexpected([record(tmp_path, layers=0)]).values()
    assert reason == "it needs the size of the first layer, which this run has not recorded"
    assert frames.expected([]).empty
