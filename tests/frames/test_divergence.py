"""Where a run diverged, read off its tables; and what was measured told from what was not."""

import math

import numpy as np
import pandas as pd
import pytest

from labapp import frames
from labapp.config import Experiment
from labapp.frames.beyond import measured
from labapp.store import RunWriter
from labapp.training.loop import train
from tests.training.small import small

LAYERS = ["stem", "middle", "head"]
EVENT = {"layer": "middle", "kind": "inf", "places": 1, "input": "finite", "after": 2, "note": "in step 3: …"}


def write(root, steps, events=(), status="finished", losses=(), **numbers):
    """A run of three layers; each of `numbers` is a table of (steps, layers)."""
    writer = RunWriter.create(root, Experiment(family="plain", depth=20, steps=10))
    places = [{"path": layer, "kind": "conv", "depth": at + 1, "parameters": 9} for at, layer in enumerate(LAYERS)]
    writer.describe(places, {})
    for at, step in enumerate(steps):
        rows = {name: np.array(values[at], dtype=float) for name, values in numbers.items()}
        fine = {name: np.ones(3) for name in ("output_std", "output_mean", "output_grad_norm", "update_ratio")}
        about = {"layer": LAYERS, "kind": "conv", "depth": [1, 2, 3], "relative_depth": [0.0, 0.5, 1.0]}
        whole = {"step": step, "stage": 1, "block": "", "nonfinite": np.zeros(3), "weight_norm": np.ones(3)}
        writer.write("layers", about | whole | fine | {"weight_grad_norm": np.ones(3)} | rows)
    for step, loss in enumerate(losses):
        writer.write("steps", {"step": [step], "loss": [loss], "learning_rate": [0.1]})
    for event in events:
        writer.write("divergence", {name: [value] for name, value in (EVENT | event).items()})
    return writer.finish(status)


def test_where_it_began_comes_first_and_the_forward_before_the_loss(tmp_path):
    events = [
        {"step": 3, "what": "loss", "layer": "", "kind": "nan", "after": -1},
        {"step": 3, "what": "output"},
        {"step": 3, "what": "output gradient", "layer": "head"},
        {"step": 3, "what": "weight gradient"},
    ]
    table = frames.divergence([write(tmp_path, [0, 3], events)])
    assert table["what"].tolist() == ["output", "loss", "output gradient", "weight gradient"]
    assert list(table.columns) == [*frames.IDENTITY, "step", "what", *EVENT]


def test_what_passed_is_not_where_it_began(tmp_path):
    events = [{"step": 1, "what": "output", "layer": "stem", "after": 0}, {"step": 3, "what": "updated weight"}]
    assert frames.divergence([write(tmp_path, [0, 3], events)])["step"].tolist() == [3]
    assert frames.divergence([write(tmp_path, [0, 3], events[:1])]).empty
    stopped = write(tmp_path, [0], events[:1], "failed")  # by an exception in that step: nothing came after it
    assert frames.divergence([stopped])["what"].tolist() == ["output"]


def test_a_loss_may_be_infinite_first(tmp_path):
    events = [{"step": 3, "what": "output", "after": 2}, {"step": 2, "what": "loss", "layer": "", "after": -1}]
    assert frames.divergence([write(tmp_path, [2, 3], events)])["what"].tolist() == ["loss", "output"]


def test_what_was_seen_before_is_the_evidence(tmp_path):
    events = [{"step": 3, "what": "output"}]
    run = write(
        tmp_path, [0, 2, 3], events, "diverged", losses=[2.0, 3.0, 50.0, math.nan],
        output_std=[[1] * 3, [1, 7, 1], [1, np.nan, 1]], update_ratio=[[9] * 3, [0.5, 0.25, np.inf], [np.nan] * 3],
    )  # fmt: skip
    found = frames.evidence(run)
    assert (found["step"], found["what"], found["layer"]) == (3, "output", "middle")
    assert (found["before"], found["update_ratio"], found["update_layer"]) == (2, 0.5, "stem")
    assert (found["quantity"], found["value"], found["loss"]) == ("output_std", 7, 50)
    assert frames.evidence(write(tmp_path, [0])) == {}


def test_a_run_that_was_ill_from_the_first_step_has_no_step_before(tmp_path):
    run = write(tmp_path, [0], [{"step": 0, "what": "loss", "after": -1}], output_std=[[1, np.nan, 1]])
    assert frames.evidence(run)["before"] is None


@pytest.mark.parametrize(
    ("numbers", "what", "layer", "kind"),
    [
        ({"output_std": [[1] * 3, [1, np.nan, np.nan]]}, "output", "middle", ""),
        (
            {"output_std": [[1] * 3, [1, np.nan, 1]], "output_mean": [[1] * 3, [1, np.inf, 1]]},
            "output",
            "middle",
            "inf",
        ),
        ({"output_grad_norm": [[1] * 3, [np.nan, np.inf, 1]]}, "output gradient", "middle", "inf"),
    ],
)
def test_a_run_without_such_a_table_is_read_off_its_layers(tmp_path, numbers, what, layer, kind):
    (values,) = list(numbers.values())[:1]
    bad = np.where(np.isfinite(np.array(values, dtype=float)), 0, 4)
    run = write(tmp_path, [0, 10], status="diverged", nonfinite=bad, **numbers)
    row = frames.divergence([run]).iloc[0]
    assert (row["step"], row["what"], row["layer"], row["kind"]) == (10, what, layer, kind)
    assert row["note"].startswith("between step 0 and step 10")


def test_a_lost_loss_comes_before_the_layers_recorded_after_it(tmp_path):
    bad = [[0] * 3, [4] * 3]
    run = write(tmp_path, [0, 10], losses=[1.0, 2.0, math.inf], nonfinite=bad, output_std=[[1] * 3, [np.nan] * 3])
    assert frames.divergence([run])["what"].tolist() == ["loss", "output"]
    assert frames.divergence([run])["kind"].tolist() == ["inf", ""]


def test_a_healthy_run_has_none_though_a_mask_is_infinite(tmp_path):
    masked = {"nonfinite": [[0, 6, 0]] * 2, "output_std": [[1, np.nan, 1]] * 2}
    assert frames.divergence([write(tmp_path, [0, 1], losses=[1.0, 0.9], **masked)]).empty
    ill = {"nonfinite": [[0, 6, 0], [0, 6, 3]], "output_std": [[1, np.nan, 1], [1, np.nan, np.nan]]}
    assert frames.divergence([write(tmp_path, [0, 1], status="diverged", **ill)]).iloc[0]["layer"] == "head"


def test_a_training_of_the_lab_says_it_on_the_page_as_in_its_message(tmp_path):
    run = train(small(norm="none", learning_rate=1e4, steps=20, record_every=7), tmp_path)
    first = frames.divergence([run]).iloc[0]
    assert first["note"] in run.message


# What was measured ---------------------------------------------------------------------------------------------------


def read(run, quantity):
    return frames.layer_table([run], quantity)[["step", "layer", "value"]].to_numpy().tolist()


def test_a_layer_that_was_not_called_is_missing_and_not_nan(tmp_path):
    """As stochastic depth does it: its outputs are not there, its weights are read all the same."""
    nan = np.nan
    run = write(
        tmp_path, [0, 1], nonfinite=[[0] * 3, [0, nan, 0]], output_grad_norm=[[1] * 3, [1, nan, 1]],
        weight_grad_norm=[[1] * 3, [1, nan, 1]], update_ratio=[[1] * 3, [1, 0, 1]],
    )  # fmt: skip
    for quantity in ("output_grad_norm", "weight_grad_norm"):
        assert [row[:2] for row in read(run, quantity)][-2:] == [[1, "stem"], [1, "head"]], quantity
    assert len(read(run, "update_ratio")) == 6


def test_a_gradient_that_could_not_be_told_is_missing(tmp_path):
    run = write(tmp_path, [0, 1], output_grad_norm=[[1] * 3, [1, np.nan, 1]])
    assert len(read(run, "output_grad_norm")) == 5


def test_values_that_were_measured_and_are_nan_stay(tmp_path):
    nan = np.nan
    run = write(
        tmp_path, [0, 1, 2], nonfinite=[[0] * 3, [0] * 3, [4] * 3], output_grad_norm=[[1] * 3, [1] * 3, [nan] * 3],
        weight_grad_norm=[[1] * 3, [1, nan, 1], [nan] * 3], update_ratio=[[1] * 3, [1, nan, 1], [nan] * 3],
        weight_norm=[[1] * 3, [1] * 3, [1, nan, 1]], events=[{"step": 1, "what": "weight gradient", "after": 0}],
    )  # fmt: skip
    for quantity, count in (("output_grad_norm", 3), ("weight_grad_norm", 4), ("update_ratio", 4), ("weight_norm", 1)):
        rows = read(run, quantity)
        assert len(rows) == 9, quantity
        assert sum(np.isnan(row[2]) for row in rows) == count, quantity


def test_zero_over_zero_is_no_measurement(tmp_path):
    run = write(tmp_path, [0, 1], weight_norm=[[1, 0, 1]] * 2, update_ratio=[[1, np.nan, 1], [1, 2, 1]])
    assert len(read(run, "update_ratio")) == 5


def test_a_rectifier_has_no_weights_in_a_diverged_run_either(tmp_path):
    """Of a run that was never healthy, the parameters tell which layers have weights."""
    nan = np.nan
    run = write(tmp_path, [0], nonfinite=[[4] * 3], weight_norm=[[nan] * 3], status="diverged")
    layers = pd.DataFrame({"layer": [*LAYERS, "relu", "stem#2"]})
    ill = {"nonfinite": np.full((1, 5), 4.0), "weight_norm": np.full((1, 5), nan)}
    grid = frames.Grid(np.array([0]), layers, ill, np.ones((1, 5), bool), 5, 1)
    assert measured(grid, "weight_norm", run).tolist() == [[True, True, True, False, False]]


def test_losses_that_nobody_wrote_are_missing(tmp_path):
    run = write(tmp_path, [0], losses=[math.nan] * 3)
    assert frames.curves([run]).empty
    assert len(frames.curves([write(tmp_path, [0], losses=[math.nan] * 3, status="diverged")])) == 3


def test_thinning_leaves_out_what_is_not_finite_last():
    table = pd.DataFrame({"run": "a", "value": 1.0}, index=range(1000))
    table.loc[[13, 700], "value"] = [np.nan, np.inf]
    thin = frames.thinned(table, 20)
    assert len(thin) <= 20
    assert thin["value"].isna().sum() == np.isinf(thin["value"]).sum() == 1


def test_states_are_those_of_the_marks():
    from labapp import palette

    values = pd.Series([1.0, 0, -1, np.nan, np.inf, -np.inf])
    for log in (True, False):
        states = ["" if state == "finite" else state for state in frames.states_of(values, log)]
        assert states == palette.beyond(values, log)
    assert set(palette.MARKS) == set(frames.STATES) - {"finite"}
