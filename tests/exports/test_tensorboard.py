"""Does TensorBoard's own reader find in an export what the archive holds?"""

import math

import numpy as np
import pytest

from labapp.exports import export
from tests.exports.runs import LAYERS, STEPS, full_run

WHY = "the extra `export` is not installed: pip install 'labapp[export]'"
accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=WHY)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return full_run(tmp_path_factory.mktemp("archive"))


def read(folder):
    """All that TensorBoard reads of a run, nothing sampled."""
    found = accumulator.EventAccumulator(str(folder), accumulator.STORE_EVERYTHING_SIZE_GUIDANCE)
    return found.Reload()


def scalars(found, tag):
    return {event.step: event.value for event in found.Scalars(tag)}


def test_curves_are_read_back(run, tmp_path):
    made = export(run, "tensorboard", tmp_path / "out")
    found = read(tmp_path / "out" / "full")
    tags = found.Tags()
    assert made.curves == len(tags["scalars"]) + 1  # and a histogram

    steps = run.steps()
    assert scalars(found, "train/loss") == dict(zip(steps["step"], steps["loss"], strict=True))
    assert scalars(found, "test/accuracy") == {0: np.float32(0.1), 21: np.float32(0.9)}
    assert math.isnan(scalars(found, "test/loss")[0])  # a loss is shown even where it never was a number
    assert scalars(found, "gan/d_loss") == {0: 1.0, 10: 0.5}

    places = [tag.rpartition("/")[2] for tag in tags["scalars"] if tag.startswith("gradients/output_grad_norm/")]
    by_depth = [f"{depth:03d}.{path.replace('#', ':')}" for path, kind, depth in LAYERS if kind != "norm"]
    assert sorted(places) == by_depth
    rows = run.layers(["step", "layer", "output_grad_norm"]).set_index(["layer", "step"])["output_grad_norm"]
    for (path, kind, _), place in zip((one for one in LAYERS if one[1] != "norm"), by_depth, strict=True):
        values = scalars(found, f"gradients/output_grad_norm/{place}")
        np.testing.assert_array_equal([values[step] for step in STEPS], rows[path].loc[list(STEPS)], err_msg=kind)
    assert [tag for tag in tags["scalars"] if "weight_grad_norm" in tag] == ["gradients/weight_grad_norm/010.head"]
    assert not [tag for tag in tags["scalars"] if "zero_fraction" in tag or "spreads" in tag]  # nobody asked


def test_each_point_has_the_time_of_its_step(run, tmp_path):
    export(run, "tensorboard", tmp_path / "out")
    events = read(tmp_path / "out" / "full").Scalars("gradients/output_grad_norm/010.head")
    began = run.started.timestamp()
    assert [event.wall_time - began for event in events] == pytest.approx([0, 20, 40], abs=1e-5)  # doubles of 1.8e9


def test_histograms_are_over_powers_of_two(run, tmp_path):
    from tensorboard.util import tensor_util

    made = export(run, "tensorboard", tmp_path / "out")
    events = read(tmp_path / "out" / "full").Tensors("histograms/output/001.stem.conv")
    assert [event.step for event in events] == list(STEPS)
    rows = tensor_util.make_ndarray(events[0].tensor_proto)
    np.testing.assert_array_equal(rows, [[-3, -2, 1], [-2, -1, 0], [-1, 0, 5]])
    assert "21 zeros left out of histograms, which are over log2|x|" in made.notes
    assert "6 values that are not finite left out of histograms, which are over log2|x|" in made.notes


def test_settings_tags_note_and_status_stand_beside_the_curves(run, tmp_path):
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
    from tensorboard.util import tensor_util

    export(run, "tensorboard", tmp_path / "out")
    found = read(tmp_path / "out" / "full")
    hparams = {
        tag: plugin_data_pb2.HParamsPluginData.FromString(content)
        for tag, content in found.PluginTagToContent("hparams").items()
    }
    start = hparams["_hparams_/session_start_info"].session_start_info
    assert start.hparams["depth"].number_value == 20
    assert start.hparams["family"].string_value == "residual"
    assert hparams["_hparams_/session_end_info"].session_end_info.status == api_pb2.STATUS_SUCCESS

    def text(tag):
        return tensor_util.make_ndarray(found.Tensors(tag)[0].tensor_proto).item().decode()

    assert text("note") == "as in | the *paper*"
    assert "| tags | good, with words |" in text("run")
    assert "| status | finished |" in text("run")


def test_more_is_there_for_who_asks(run, tmp_path):
    export(run, "tensorboard", tmp_path / "out", quantities="all", layers="all")
    tags = read(tmp_path / "out" / "full").Tags()["scalars"]
    assert "activations/zero_fraction/001.stem.norm" in tags
    assert "spreads/gradient/010.head/median" in tags


def test_several_runs_are_runs_of_one_log_folder(run, tmp_path):
    export([run, full_run(tmp_path / "a"), full_run(tmp_path / "b", "y")], "tensorboard", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == ["full", "full.2", "y"]
