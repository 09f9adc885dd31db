"""A training that diverges: is it told where, although its step was not to be recorded, and is nothing else changed?"""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from labapp.training import loop
from labapp.training.again import is_ill, once_more
from labapp.training.logbook import Logbook
from labapp.training.loop import train
from tests.training.small import same, small, weights

ILL = {"norm": "none", "learning_rate": 1e4, "steps": 20}  # a rate far too large: in a few steps forwards overflow
WHERE = ["step", "what", "layer", "kind", "places", "input"]


def where(run):
    table = run.table("divergence")
    return table[table["what"] != "loss"][WHERE].reset_index(drop=True)


@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"norm": "batch", "learning_rate": 1e20}])
def test_the_step_in_which_it_began_is_recorded_whatever_the_schedule_says(tmp_path, options):
    known = train(small(**ILL | options, record_every=1), tmp_path)
    for record in ({"record_every": 19}, {"record": "none"}):
        run = train(small(**ILL | options, **record), tmp_path)
        pd.testing.assert_frame_equal(where(run), where(known))
        step, _, layer, *_ = where(run).iloc[0]
        assert f"it began in step {step}: the output of {layer} became" in run.message
        rows = ["step", "layer", "output_std", "nonfinite", "weight_grad_norm", "update_ratio"]
        pd.testing.assert_frame_equal(
            run.layers(columns=rows, steps=step).reset_index(drop=True),
            known.layers(columns=rows, steps=step).reset_index(drop=True),
        )
    loss = known.steps()["loss"]
    assert f"the loss of step {int(np.flatnonzero(~np.isfinite(loss))[0])} is not finite" in known.message


def test_the_last_update_that_was_seen_is_told(tmp_path):
    run = train(small(**ILL, record_every=19), tmp_path)
    rows = run.layers(steps=0)
    row = rows.loc[rows["update_ratio"].idxmax()]
    ratio = f"{row['update_ratio']:.2g} times the weights (of {row['layer']})"
    assert f"in step 0, recorded before, the largest update was {ratio}" in run.message


@pytest.mark.parametrize("options", [{}, {"family": "dense", "depth": 10}])
def test_passes_that_run_once_more_change_nothing(tmp_path, monkeypatch, options):
    plain = train(small(**options, record_every=5), tmp_path)
    steps = iter([False, False, True, False, False, False])
    monkeypatch.setattr(loop, "is_ill", lambda *numbers: next(steps))
    again = train(small(**options, record_every=5), tmp_path)
    assert sorted(set(again.layers()["step"])) == [0, 2, 5]
    assert again.status == "finished"
    assert "divergence" not in again.tables()
    for step in (*plain.checkpoints(), None):
        assert same(weights(plain, step), weights(again, step))
    pd.testing.assert_series_equal(plain.steps()["loss"], again.steps()["loss"])
    columns = [name for name in plain.layers().columns if name != "step"]
    pd.testing.assert_frame_equal(
        plain.layers(columns=columns, steps=5).reset_index(drop=True),
        again.layers(columns=columns, steps=5).reset_index(drop=True),
    )


def test_a_net_is_left_as_it_was_after_running_once_more():
    net = torch.nn.BatchNorm1d(3)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ValueError, match="expected 2D or 3D"), once_more(net):
        net(torch.randn(8, 3) + net(torch.randn(8, 3)).sum() * torch.zeros(1, 1, 1, 1))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(("number", "ill"), [(1.0, False), (math.nan, True), (math.inf, True), (3e38, False)])
def test_what_is_not_finite_is_ill(number, ill):
    assert is_ill(torch.tensor(1.0), torch.tensor(number)) is ill


def origin(**changes):
    row = {"step": 8, "what": "weight", "layer": "stem.conv", "kind": "inf", "places": 1, "input": "", "after": 0}
    row |= {"note": "in an update of steps 1 to 7: the weights of stem.conv became infinite"} | changes
    return {name: [value] for name, value in row.items()}


def test_a_finite_loss_narrows_down_when_weights_were_lost():
    log = Logbook(small(), None, None)
    for step in range(8):
        log.step(step, (1.0, 0.5, 1.0), 0.1, 1.0)
    log.step(8, (math.nan, 0.1, math.nan), 0.1, 1.0)
    log.write("divergence", origin())
    assert log.divergence == (
        "the loss of step 8 is not finite; it began in the update of step 7: the weights of stem.conv became infinite"
    )


def test_a_step_that_could_not_be_recorded_is_said():
    log = Logbook(small(), None, None)
    log.write("layers", {"step": [0], "layer": ["stem"], "kind": ["conv"], "depth": [1], "output_grad_norm": [1.0]})
    log.step(8, (math.inf, 0.1, math.nan), 0.1, 1.0)
    log.write("divergence", origin(step=9))
    assert log.divergence == "the loss of step 8 is not finite; the layers of that step were not recorded"


def test_a_healthy_training_says_nothing():
    log = Logbook(small(), None, None)
    log.step(0, (1.0, 0.5, 1.0), 0.1, 1.0)
    assert log.divergence == ""


def test_a_loss_that_is_infinite_while_every_output_is_finite(tmp_path):
    """As a difference of logits beyond float32 is, whose gradient is finite."""
    log = Logbook(small(), None, None)
    log.write("layers", {"step": [2], "layer": ["a"], "kind": ["conv"], "depth": [1], "output_grad_norm": [1.0]})
    log.step(2, (math.inf, 0.1, 1.0), 0.1, 1.0)
    log.write("divergence", origin(step=3, what="output", after=2))
    assert log.divergence == "the loss of step 2 is not finite; every output that was recorded of that step is"
