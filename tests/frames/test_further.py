"""The tables behind the tabs of the pages, against closed forms and a slow count."""

import numpy as np
import pandas as pd
import pytest

from labapp import frames
from labapp.config import Experiment
from labapp.frames.whole import outermost
from labapp.store import RunWriter
from tests.frames.probed_runs import run_of


def written(root, tables, steps=(0, 10, 20, 30), **experiment):
    """A finished run with these tables, recorded at these steps."""
    writer = RunWriter.create(root, Experiment(family="plain", depth=8, steps=40, **experiment))
    info = [
        {"index": i, "path": name, "kind": "conv", "depth": i + 1, "shape": [3, 2, 2]} for i, name in enumerate("ab")
    ]
    writer.describe(info, {})
    writer.write("totals", {"step": list(steps), "loss_scale": 1.0, "skipped": 0})
    for name, columns in tables.items():
        writer.write(name, columns)
    return writer.finish("finished")


# lives of channels


def lived(events):
    names = ["step", "layer", "channel", "event"]
    return {name: list(column) for name, column in zip(names, zip(*events, strict=True), strict=True)}


def test_spans_are_what_a_count_of_dead_channels_at_each_step_gives(tmp_path):
    rng = np.random.default_rng(0)
    steps, channels = list(range(0, 200, 10)), 3
    dead = rng.random((len(steps), channels)) < 0.4  # of layer b
    events = []
    for at, step in enumerate(steps):
        before = dead[at - 1] if at else np.zeros(channels, bool)
        events += [
            (step, "b", channel, "died" if dead[at, channel] else "revived")
            for channel in np.flatnonzero(before != dead[at])
        ]
    run = written(tmp_path, {"lifetimes": lived(events)}, steps)
    spans = frames.dead_spans([run])
    count = [
        int(((spans["step"] <= step) & ((spans["end"] > step) | ~spans["back"].astype(bool))).sum()) for step in steps
    ]
    assert count == dead.sum(1).tolist()
    assert set(spans["depth"]) == {2}
    assert set(spans["channels"]) == {3}
    last = spans[~spans["back"].astype(bool)]
    assert len(last) == dead[-1].sum()
    assert set(last["end"]) <= {190}
    assert frames.judged_steps(run) == (0, 190)


def test_the_longest_spans_are_kept_in_their_order(tmp_path):
    events = [(0, "a", channel, "died") for channel in range(3)]
    events += [(10 * (channel + 1), "a", channel, "revived") for channel in range(3)]
    spans = frames.dead_spans([written(tmp_path, {"lifetimes": lived(events)})])
    assert frames.longest(spans, 2)["channel"].tolist() == [1, 2]
    assert frames.longest(spans).equals(spans)


def test_a_run_whose_channels_all_live_has_no_spans(tmp_path):
    assert frames.dead_spans([written(tmp_path, {})]).empty


# magnitudes


def binned(values):
    """Exponents and counts as a recorder has them, by numpy."""
    with np.errstate(all="ignore"):
        exponent = np.where(values == 0, -127, np.floor(np.log2(np.abs(values))))
    exponent = np.where(np.isfinite(values), exponent, 128).astype(int)
    return np.unique(exponent, return_counts=True)


def test_shares_of_magnitudes_are_those_of_the_values(tmp_path):
    rng = np.random.default_rng(1)
    held = {step: np.append(rng.normal(size=50), [0.0] * step + [np.nan, np.inf]) for step in (0, 10)}
    rows = {name: [] for name in ("step", "layer", "of", "exponent", "count")}
    for step, values in held.items():
        for exponent, count in zip(*binned(values), strict=True):
            for name, value in zip(rows, (step, "b", "output", int(exponent), int(count)), strict=True):
                rows[name].append(value)
    run = written(tmp_path, {"histograms": rows}, (0, 10))
    assert frames.layers_with(run, "histograms") == ["b"]
    assert frames.layers_with(run, "spreads") == []
    table = frames.magnitudes(run, "b", "output")
    for step, values in held.items():
        own = table[table["step"] == step]
        assert own["share"].sum() == pytest.approx(1)
        apart = own.set_index("apart")["count"]
        assert apart.get("zero", 0) == step
        assert apart["NaN or infinite"] == 2
        for row in own[own["apart"] == ""].itertuples():
            size = np.abs(values[np.isfinite(values)])
            assert row.count == ((size >= 2.0**row.low) & (size < 2.0 ** (row.low + 1))).sum()
        places = own[own["apart"] == ""]["low"]
        assert (own[own["apart"] == "NaN or infinite"]["low"] > places.max() + 1).all()
        assert (own[own["apart"] == "zero"]["low"] < places.min() - 1).all()
    assert frames.magnitudes(run, "a", "output").empty


def test_more_steps_than_can_be_drawn_are_added_up(tmp_path):
    steps = list(range(100))
    rows = {"step": steps * 2, "layer": "a", "of": "output", "exponent": [0] * 100 + [1] * 100, "count": [3] * 200}
    table = frames.magnitudes(written(tmp_path, {"histograms": rows}, steps), "a", "output", marks=20)
    assert len(table) == 20
    assert table["count"].sum() == 600
    assert table["share"].tolist() == [0.5] * 20
    assert (table["step_end"] - table["step"]).tolist() == [10] * 20


def test_a_spread_keeps_its_outermost_steps(tmp_path):
    steps = list(range(1000))
    rows = {"step": steps, "layer": "a", "of": "gradient", "minimum": [-1.0] * 1000, "maximum": [1.0] * 1000}
    rows["minimum"][417], rows["maximum"][613] = -9.0, 7.0
    rows |= {"lower": -0.5, "median": 0.0, "upper": 0.5}
    table = frames.spread(written(tmp_path, {"spreads": rows}, steps), "a", "gradient", marks=60)
    assert len(table) <= 60
    assert table["minimum"].min() == -9
    assert table["maximum"].max() == 7
    assert {0, 417, 613, 999} <= set(table["step"])


# whole steps


def test_numbers_of_whole_steps_are_those_written_down(tmp_path):
    totals = {"step": [40, 50], "grad_norm": [8.0, 9.0], "grad_norm_used": [np.nan, 1.0], "loss_scale": 2.0}
    run = written(tmp_path, {"totals": totals | {"skipped": [1, 1]}}, (0,))
    own = frames.whole_steps([run]).set_index("quantity")
    assert own.loc["grad_norm", "value"].tolist()[1:] == [
        8,
        9,
    ]  # of the recorded steps, since no other were written down
    assert own.loc[["grad_norm_used"], "value"].tolist() == [1]
    assert own.loc["skipped", "value"].tolist() == [0, 1, 2]
    assert "learning_rate" not in own.index
    steps = {"step": [0, 1], "grad_norm": [3.0, np.inf], "accuracy": [0.1, 0.2], "learning_rate": 0.5}
    own = frames.whole_steps([written(tmp_path, {"steps": steps, "totals": totals})]).set_index("quantity")
    assert own.loc["grad_norm", "value"].tolist() == [3, np.inf]
    assert own.loc["train_accuracy", "value"].tolist() == pytest.approx([0.1, 0.2])


def test_a_spike_and_an_ill_step_survive_the_thinning():
    value = np.sin(np.arange(5000.0))
    value[1234], value[4321] = 50.0, np.nan
    kept = outermost(pd.DataFrame({"step": range(5000), "value": value}), 90)
    assert len(kept) <= 95
    assert kept["value"].max() == 50
    assert 4321 in set(kept["step"])
    assert {0, 4999} <= set(kept["step"])


# checkpoints


def test_paths_stand_beside_what_there_is_of_them(tmp_path):
    run = run_of(tmp_path, family="residual", depth=8)
    share = np.array([0.125, 0.375, 0.375, 0.125])
    weight = share * 0.5 ** np.arange(4)
    table = pd.DataFrame(
        {"length": range(4), "paths": [1, 3, 3, 1], "probability": share, "weight": weight / weight.sum()}
    )
    table = table.assign(gradient_norm=0.5 ** np.arange(4), sum_norm=0.1, deviation=0.0, reason="", decay=0.5)
    run.write_probe("path_gradients", 5, table.assign(effective_length=1.0))
    rows = frames.paths([run], 5)
    for quantity, full, pale in (("path_share", "weight", "probability"), ("path_norm", "gradient_norm", "sum_norm")):
        own = rows[rows["quantity"] == quantity]
        assert own[~own["beside"].astype(bool)]["value"].tolist() == table[full].tolist()
        assert own[own["beside"].astype(bool)]["value"].tolist() == table[pale].tolist()
    assert frames.paths([run], 50).empty


def test_shortcut_shares_are_means_and_percentiles_over_images(tmp_path):
    run = run_of(tmp_path, family="residual", depth=8, preactivation=True)
    rng = np.random.default_rng(2)
    shares = rng.random((2, 40))
    rows = pd.DataFrame({"shortcut_share": shares.ravel(), "block": np.repeat(["b1", "b2"], 40)})
    rows = rows.assign(position=np.repeat([1, 3], 40), stage=1, example=np.tile(range(40), 2), reason="", cosine=0.1)
    rows = rows.assign(shortcut_norm=0.2, branch_norm=0.3, forward_error=1e-7, backward_error=rows.index * 1e-9)
    run.write_probe("gradient_split", 0, rows)
    table = frames.shortcut_shares([run], 0)
    assert table["value"].tolist() == pytest.approx(shares.mean(1).tolist())
    assert table["low"].tolist() == pytest.approx(np.quantile(shares, 0.025, axis=1).tolist())
    assert table["high"].tolist() == pytest.approx(np.quantile(shares, 0.975, axis=1).tolist())
    assert table["relative_depth"].tolist() == [0, 1]
    assert table["backward_error"].tolist() == pytest.approx([39e-9, 79e-9])


def test_the_extreme_singular_values_are_the_outermost_of_the_images(tmp_path):
    run = run_of(tmp_path, family="residual", depth=8)
    rows = pd.DataFrame({"span": "block", "block": ["b1", "b1", "b2"], "position": [1, 1, 2], "example": [0, 1, 0]})
    rows = rows.assign(largest=[3.0, 4.0, 2.0], smallest=[0.2, 0.1, np.nan], largest_error=[0.0, 0.5, 0.0], blocks=1)
    run.write_probe("singular_values", 0, rows.assign(smallest_error=0.0))
    table = frames.singular_values([run], 0, "block").set_index(["quantity", "layer"])
    assert table.loc[("largest_singular_value", "b1"), ["value", "error", "examples"]].tolist() == [4, 0.5, 2]
    assert table.loc[("smallest_singular_value", "b1"), "value"] == 0.1
    assert table.loc[("smallest_singular_value", "b2"), "state"] == "NaN"
    assert frames.singular_values([run], 0, "stage").empty


def test_lesions_and_orders_tell_what_they_cost(tmp_path):
    run = run_of(tmp_path)
    rows = pd.DataFrame({"lesion": ["none", "delete", "swap"], "block": ["", "b1", "b1"], "other": ["", "", "b2"]})
    rows = rows.assign(
        position=[0, 1, 1], accuracy=[0.9, 0.5, 0.6], loss_change=[0.0, 1.5, np.nan], reason=["", "", "why"]
    )
    run.write_probe("lesions", 0, rows.assign(accuracy_change=0.0, images=9, chance=0.1))
    table = frames.lesions([run], 0)
    assert table["value"].tolist() == pytest.approx([1.5, np.nan], nan_ok=True)
    assert table["whole"].tolist() == [0.9, 0.9]
    assert table["note"].tolist() == ["", "why"]
    orders = pd.DataFrame({"kendall_tau": [1.0, 0.5, 0.5], "loss_change": [0.0, 1.0, 2.0], "swaps": [0, 1, 2]})
    run.write_probe("permutations", 0, orders.assign(accuracy=0.5, accuracy_change=0.0, chance=0.1, reason=""))
    told = frames.reordered([run], 0).set_index("kendall_tau")
    assert told.loc[0.5, ["value", "low", "high", "orders", "swaps"]].tolist() == [1.5, 1, 2, 2, 2]


def test_collapse_and_shattering_keep_both_images_and_layers(tmp_path):
    run = run_of(tmp_path)
    rows = pd.DataFrame(
        {"quantity": ["nc1", "nc1_test"], "value": [0.1, 0.2], "low": np.nan, "high": np.nan, "note": ""}
    )
    for step in (0, 9):
        run.write_probe("neural_collapse", step, rows.assign(images=60, split=["train", "test"]))
    table = frames.collapse([run])
    assert table["step"].tolist() == [0, 0, 9, 9]
    assert table["quantity"].tolist() == ["nc1"] * 4
    assert table["beside"].tolist() == [False, True] * 2
    rows = pd.DataFrame(
        {"layer": ["input", "a"], "kind": ["input", "conv"], "depth": [0, 1], "relative_depth": [0.0, 1.0]}
    )
    run.write_probe("shattering", 0, rows.assign(cosine=[0.1, 0.5], deviation=0.2, examples=3, reason=""))
    told = frames.shattering([run], 0)
    assert told["low"].tolist() == pytest.approx([-0.1, 0.3])
    assert told["examples"].tolist() == [3, 3]


@pytest.mark.parametrize(("share", "layer"), [(0.0, "input"), (0.4, "a"), (1.0, "b")])
def test_along_a_line_the_layer_nearest_to_a_share_of_the_depth_is_taken(tmp_path, share, layer):
    run = run_of(tmp_path)
    rows = pd.DataFrame({"layer": np.repeat(["input", "a", "b"], 2), "relative_depth": np.repeat([0, 0.5, 1.0], 2)})
    rows = rows.assign(
        depth=np.repeat([0, 1, 2], 2), lag=[0, 1] * 3, distance=0.1, autocorrelation=1.0, points=9, reason=""
    )
    run.write_probe("autocorrelation", 0, rows)
    assert set(frames.along_line([run], 0, share)["layer"]) == {layer}
