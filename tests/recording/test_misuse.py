"""Rules 25 to 28, and what a user may do wrong: wrong models, layers and sinks, a tight budget."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labapp.config import LabError
from labapp.nets import build
from labapp.recording import Recorder, RecorderWarning, every, log_spaced
from tests.recording.nets import batch, hooks_of, optimizer_of, same, small, train


def test_rule_25_nan_and_infinity_are_data():
    model = small()
    x, y = batch(16)
    bad = x.clone()
    bad[0, 0, 0, 0] = torch.nan
    optimizer = optimizer_of(model.parameters())
    with Recorder(model, optimizer, when=every(1)) as recorder:
        for images in (x, bad, x):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(model(images), y).backward()
                optimizer.step()
    table = recorder.table()
    assert table.groupby("step").nonfinite.sum()[0] == 0
    step = table[table.step == 1]
    assert step.nonfinite.gt(0).all()
    assert step.output_std.isna().all()
    assert len(table) == 3 * len(step)
    assert np.isnan(recorder.table("totals").grad_norm[1])


def test_rule_26_histogram_edges_never_move():
    model = small()
    recorder = train(model, 6, {"when": every(1), "histograms": every(3)})
    table = recorder.table("histograms")
    assert set(table.columns) == {"step", "layer", "of", "exponent", "count"}
    assert sorted(table.step.unique()) == [0, 3]
    assert table.exponent.dtype.kind == "i"


def test_rule_27_one_column_a_quantity_however_many_layers():
    one = train(small(), 1, {"when": every(1)}).table()
    torch.manual_seed(0)
    deep = train(build("residual", depth=26, width=4, image_size=16), 1, {"when": every(1)}).table()
    assert list(one.columns) == list(deep.columns)


def test_rule_28_a_second_attempt_continues_the_numbering():
    recorder = train(small(), 3, {"when": every(1), "first_step": 40})
    assert recorder.table().step.unique().tolist() == [40, 41, 42]


def test_entered_twice_stepped_outside_and_stepped_inside():
    model = small()
    recorder = Recorder(model)
    with pytest.raises(LabError, match="outside"), recorder.step():
        pass
    with recorder:
        with pytest.raises(LabError, match="already"):
            recorder.__enter__()
        with recorder.step(), pytest.raises(LabError, match="inside another step"), recorder.step():
            pass
    with pytest.raises(LabError, match="outside"), recorder.step():
        pass
    assert hooks_of(model) == 0


def test_models_and_optimizers_that_cannot_be_recorded():
    model = small()
    with pytest.raises(LabError, match="no parameters"):
        Recorder(nn.ReLU())
    with pytest.raises(LabError, match=r"torch\.nn\.Module"):
        Recorder("resnet18")
    with pytest.raises(LabError, match="no parameter of this model"):
        Recorder(model, torch.optim.SGD(small().parameters(), 0.1))
    with pytest.raises(LabError, match="budget"):
        Recorder(model, budget=2)
    for wrong in (0, -1, 2.5, "ten"):
        with pytest.raises(LabError, match="every"):
            every(wrong)
    with pytest.raises(LabError, match="points"):
        log_spaced(0, 10)
    assert hooks_of(model) == 0


def test_layers_that_do_not_exist_bring_the_nearest_names():
    with pytest.raises(LabError, match=r"nearest paths are .*stage1\.block1\.branch\.conv1"):
        Recorder(small(), layers=["stage1.block1.branch.conv"])
    with pytest.raises(LabError, match="predicate"):
        Recorder(small(), layers=lambda path, module: False)


def test_layers_by_kind_by_glob_and_by_predicate():
    def paths(layers):
        return [layer["path"] for layer in train(small(), 1, {"when": every(1), "layers": layers}).layers]

    assert paths("block") == ["stage1.block1", "stage2.block1", "stage3.block1"]
    assert paths(["stage2.block1.branch.*"]) == [
        f"stage2.block1.branch.{n}" for n in ("conv1", "norm1", "activation1", "conv2", "norm2")
    ]
    assert paths(lambda path, module: isinstance(module, nn.Linear)) == ["head.classifier"]


class Full:
    def __init__(self, takes):
        self.takes = takes
        self.rows = 0

    def describe(self, layers, recorder):
        pass

    def write(self, table, columns):
        if self.rows >= self.takes:
            raise OSError("no space left on device")
        self.rows += len(columns["step"])


def test_a_sink_that_fails_does_not_end_training_and_loses_no_row():
    model, twin = small(), small()
    with pytest.warns(RecorderWarning, match="no space left on device"):
        recorder = train(model, 50, {"when": every(1), "sink": Full(takes=200)})
    everything = train(twin, 50, {"when": every(1)}).table()
    kept = recorder.table()
    assert len(kept) + recorder.sink.rows >= len(everything)
    assert kept.step.max() == 49
    assert same(model, twin)


def test_budget_stretches_the_schedule():
    model = small()
    tight = train(model, 60, {"when": every(1), "budget": 0.001})
    assert tight.cost["left_out_for_budget"] > 0
    assert tight.cost["recorded_steps"] < 60
    free = train(small(), 60, {"when": every(1)})
    assert free.cost["recorded_steps"] == 60


def test_log_spaced_is_dense_at_the_start_and_ends_at_the_end():
    when = log_spaced(20, 1000)
    chosen = [step for step in range(1000) if when(step)]
    assert chosen[0] == 0
    assert chosen[-1] == 999
    assert len(chosen) <= 21
    gaps = np.diff(chosen)
    assert gaps[0] == 1
    assert gaps[-1] > 100


def test_the_cost_is_measured():
    recorder = train(small(), 10, {"when": every(5)})
    cost = recorder.cost
    assert cost["recorded_steps"] == 2
    assert 0 < cost["seconds"] < cost["step_seconds"]
    assert cost["share"] > 0


def test_no_warning_where_nothing_is_missing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(small(), 3, {"when": every(1)})
