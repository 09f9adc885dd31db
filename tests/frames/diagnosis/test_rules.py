"""Does each rule find what is beyond its limit and nothing before it, and is that limit the one that is told?"""

import json
import math

import numpy as np
import pytest

from labapp.frames.diagnosis import LIMITS, RULES, Material, as_json, as_markdown, as_text, diagnose
from tests.frames.diagnosis.made import LAYERS, STEPS, along, at_layers, made

LEFT = np.linspace(2.3, 1.5, 100)  # losses of a net that has something left to learn
MOST = np.array([1.0] * 4 + [0.0] * 6)[:, None]  # of ten recorded steps the first four


def lasting(share: float, value: float, otherwise: float) -> np.ndarray:
    """A value in a share of twenty recorded steps, not the first ones."""
    column = np.full((20, 1), otherwise)
    column[1 : 1 + round(20 * share)] = value
    return column


# limit: (rule, what to record for a value of the quantity, which is what the finding must say)
CASES = {
    "vanishing": ("vanishing_gradient", lambda value: {"output_grad_norm": along(value)}),
    "exploding": ("exploding_gradient", lambda value: {"output_grad_norm": along(value)}),
    "fading": ("vanishing_signal", lambda value: {"output_std": along(1 / value)}),
    "swelling": ("exploding_signal", lambda value: {"output_std": along(1 / value)}),
    "trust": ("rate_too_high", lambda value: {"update_ratio": (1 + value) ** (1 / LAYERS) - 1}),
    "slow": ("rate_too_low", lambda value: {"update_ratio": value, "losses": LEFT}),
    "stalled": (
        "stalled",
        lambda value: {"weight_grad_norm": at_layers(value * 1e-4, 1, 2, otherwise=0.1), "losses": LEFT},
    ),
    "unmoved": (
        "stalled",
        lambda value: {"update_ratio": at_layers(value, 1, 2, otherwise=1e-3), "losses": LEFT, "rate": None},
    ),
    "drowned": ("drowned_branch", lambda value: blocks(value)),
    "drowning": ("drowned_shortcut", lambda value: blocks(value)),
    "burst": ("exploding_loss", lambda value: {"losses": np.log(10) * np.append(np.ones(50), np.full(50, value))}),
    "flat": ("flat_loss", lambda value: {"losses": np.log(10) * np.append(np.ones(50), np.full(50, value))}),
    "noise": (
        "noisy_gradient",
        lambda value: {"gradient_signal_to_noise": (1 + value) / 4, "losses": LEFT, "about": {"accumulate": 4}},
    ),
}
ABOVE = {"exploding", "swelling", "trust", "drowning", "burst", "flat"}  # limits that a value is beyond when larger


def blocks(value: float) -> dict:
    """Two residual blocks in the places of two layers; the first one's branch is `value` of its shortcut."""
    shortcut = at_layers(4.0, 2, 5, otherwise=np.nan)
    branch = shortcut * at_layers(value, 2, otherwise=0.7)
    return {
        "branch_norm": branch,
        "shortcut_norm": shortcut,
        "branch_grad_norm": branch,
        "shortcut_grad_norm": shortcut,
    }


def found(run, rule):
    """The finding of a rule, None without one."""
    return next((one for one in diagnose(run).findings if one.rule == rule), None)


def test_nothing_is_wrong_with_a_healthy_run(tmp_path):
    told = diagnose(made(tmp_path))
    assert told.findings == ()
    reasons = {one.rule: one.reason for one in told.looks}
    assert [*reasons] == [rule.name for rule in RULES]
    assert {rule for rule, reason in reasons.items() if reason} == {"blocks", "noisy_gradient"}
    assert "Nothing found by 10 questions; 2 could not be asked." in as_text(told)


@pytest.mark.parametrize("limit", CASES)
def test_a_limit_decides_and_is_the_one_that_is_told(tmp_path, monkeypatch, limit):
    """Beyond it there is a finding and before it none; with another value the verdict is another, and words say it."""
    rule, record = CASES[limit]
    least, sign = LIMITS[limit].value, 1 if limit in ABOVE else -1
    assert found(made(tmp_path / "within", **record(least * (1 - 0.1 * sign))), rule) is None
    value = least * (1 + 0.1 * sign)
    run = made(tmp_path / "beyond", **record(value))
    one = found(run, rule)
    assert one is not None
    assert one.limit == limit
    assert one.value == pytest.approx(value, rel=2e-5)  # float32, and for slopes a least-squares fit of it
    assert 0 < one.strength <= 3
    monkeypatch.setitem(LIMITS, limit, LIMITS[limit]._replace(value=value * (1 + 0.1 * sign)))
    assert found(run, rule) is None
    looser = LIMITS[limit]._replace(value=value * (1 - 0.3 * sign))
    monkeypatch.setitem(LIMITS, limit, looser)
    told = diagnose(run)
    row = next(row for row in as_json(told)["findings"] if row["rule"] == rule)
    assert row["threshold"] == {"name": limit, "value": looser.value, "of": looser.words, "source": looser.source}
    for words in (as_text(told), as_markdown(told)):
        assert f"{looser.value:.3g}. {looser.source[0].upper()}" in words


def test_every_limit_has_a_test():
    assert {*CASES, "frozen", "dead", "finite", "lasting", "once"} == {*LIMITS}
    assert all(limit.source and limit.words for limit in LIMITS.values())


def test_a_layer_is_frozen_only_if_it_never_moves(tmp_path):
    moves = np.broadcast_to(at_layers(0.0, 2, 3, otherwise=1e-3), (len(STEPS), LAYERS)).copy()
    one = found(
        made(tmp_path / "frozen", update_ratio=moves, weight_grad_norm=at_layers(np.nan, 2, 3, otherwise=0.1)), "frozen"
    )
    assert one.layers == ("conv2", "conv3")
    assert one.strength == 3
    assert (one.value, one.threshold.value) == (0, 0)
    assert "no gradient was computed" in one.words
    assert "25 % of the parameters" in one.words
    assert "the optimizer does not take it" in found(made(tmp_path / "rate", update_ratio=moves), "frozen").words
    moves[5, 2:4] = 1e-12
    assert found(made(tmp_path / "once", update_ratio=moves), "frozen") is None
    still = found(made(tmp_path / "all", update_ratio=0.0), "frozen")
    assert still.title == "No layer moves at all"


def test_channels_are_dead_that_never_came_back(tmp_path):
    def died(count, back=0):
        spans = [("conv3", channel, 20, "died") for channel in range(count)]
        return spans + [("conv3", channel, 50, "revived") for channel in range(back)]

    one = found(made(tmp_path / "four", spans=died(4)), "dead_channels")
    assert (one.value, one.layers, one.first, one.last) == (0.4, ("conv3",), 20, 90)
    assert one.strength == pytest.approx(3 * 0.4 * 0.8)  # dead in eight of ten recorded steps
    assert found(made(tmp_path / "three", spans=died(3)), "dead_channels") is None
    assert found(made(tmp_path / "back", spans=died(5, back=2)), "dead_channels") is None
    # a record without lifetimes: so many were dead at every step from 20 on
    count = np.where(np.array(STEPS)[:, None] >= 20, at_layers(4.0, 3, otherwise=0), 0)
    one = found(made(tmp_path / "counts", dead_channels=count), "dead_channels")
    assert (one.value, one.layers, one.first) == (0.4, ("conv3",), 20)


def test_the_limit_of_dead_channels_decides(tmp_path, monkeypatch):
    run = made(tmp_path, spans=[("conv3", channel, 20, "died") for channel in range(4)])
    monkeypatch.setitem(LIMITS, "dead", LIMITS["dead"]._replace(value=0.41))
    assert found(run, "dead_channels") is None


def test_one_unlucky_step_is_no_finding_but_the_first_one_is(tmp_path, monkeypatch):
    steps = tuple(range(20))
    gradient = lasting(0.05, math.exp(7), 1.0) ** (1 - np.append(np.arange(7), 6) / 6)
    run = made(tmp_path / "once", recorded=steps, output_grad_norm=gradient)
    assert found(run, "exploding_gradient") is None
    monkeypatch.setitem(LIMITS, "lasting", LIMITS["lasting"]._replace(value=0.04))
    assert found(run, "exploding_gradient").share == 0.05
    monkeypatch.undo()
    first = found(
        made(tmp_path / "start", recorded=steps, output_grad_norm=np.roll(gradient, -1, 0)), "exploding_gradient"
    )
    assert (first.first, first.last, first.share) == (0, 0, 0.05)
    fast = lasting(0.05, 1.0, 1e-3)
    assert (
        found(made(tmp_path / "fast", recorded=steps, update_ratio=lasting(0.05, 0.1, 1e-3)), "rate_too_high") is None
    )
    thrown = made(tmp_path / "thrown", recorded=steps, update_ratio=fast)  # by (1 + 1) ** 8 − 1 = 255
    assert found(thrown, "rate_too_high").value == pytest.approx(255, rel=1e-5)
    monkeypatch.setitem(LIMITS, "once", LIMITS["once"]._replace(value=256))
    assert found(thrown, "rate_too_high") is None


def test_a_loss_that_comes_back_from_far_counts(tmp_path, monkeypatch):
    """Five steps, so that a median of five has it; of a hundred fewer than a tenth."""
    losses = np.log(10) * np.concatenate([np.ones(20), np.full(5, 21.0), np.exp(-np.arange(75) / 20)])
    run = made(tmp_path, losses=losses)
    assert found(run, "exploding_loss").value == pytest.approx(21, rel=1e-6)
    monkeypatch.setitem(LIMITS, "once", LIMITS["once"]._replace(value=11))
    assert found(run, "exploding_loss") is None


def test_values_that_are_not_finite_come_first_and_say_where(tmp_path):
    event = {"step": 91, "what": "output", "layer": "conv4", "kind": "inf", "places": 3, "input": "finite", "after": 90}
    event["note"] = "in step 91: the output of conv4 became infinite"
    run = made(tmp_path, events=[event], status="diverged", update_ratio=at_layers(0.7, 4, otherwise=1e-3))
    one = diagnose(run).findings[0]
    assert (one.rule, one.layers, one.first, one.value, one.limit) == ("nonfinite", ("conv4",), 91, 3, "finite")
    assert "the largest update was 0.7 times the weights, of conv4" in one.words
    json.dumps(as_json(diagnose(run)), allow_nan=False)


def test_the_gradient_of_a_layer_may_be_exactly_zero(tmp_path):
    one = found(made(tmp_path, output_grad_norm=at_layers(0.0, 0, 1, otherwise=1.0)), "vanishing_gradient")
    assert one.value == 0
    assert "at 2 layers it is exactly zero" in one.words
    json.dumps(as_json(diagnose(made(tmp_path / "again", output_grad_norm=at_layers(0.0, 0, 1, otherwise=1.0)))))


def test_updates_are_judged_at_the_full_rate(tmp_path):
    """A hundredth of the rate makes a hundredth of the updates: neither too slow nor, at none, frozen."""
    run = made(tmp_path, update_ratio=1e-5, rate=0.1 / 100, losses=LEFT)
    assert found(run, "rate_too_low") is None


def test_what_a_loop_does_after_values_became_nan_is_no_pace(tmp_path):
    """A scaler that skips each later step leaves the weights where they are, which is no matter of the rate."""
    event = {"step": 41, "what": "gradient", "layer": "conv4", "kind": "nan", "places": 3, "input": "", "after": 40}
    event["note"] = "in step 41: the gradient of conv4 became NaN"
    moves = np.where(np.asarray(STEPS) < 41, 1e-3, 0.0)[:, None]
    assert found(made(tmp_path / "finite", update_ratio=moves, losses=LEFT), "rate_too_low") is not None
    ill = made(tmp_path / "ill", update_ratio=moves, losses=LEFT, events=[event])
    assert [one.rule for one in diagnose(ill).findings] == ["nonfinite"]


def test_an_interval_may_be_endless(tmp_path):
    """Of three layers that have nothing in common: beyond what a float holds, and no warning."""
    sizes = np.full(LAYERS, np.nan)
    sizes[:3] = 1e-36, 1e36, 1e-36
    table = Material(made(tmp_path, output_grad_norm=sizes)).profile("output_grad_norm")
    assert (table["layers"] == 3).all()
    assert np.isinf(table["high"]).all()
