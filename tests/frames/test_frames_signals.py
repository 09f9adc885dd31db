"""Signals read from a run whose every number has a closed form."""

import numpy as np
import pytest

from labapp import frames
from labapp.config import Experiment
from labapp.store import RunWriter

CHANNELS = 8


def places(family, blocks=3):
    """A residual or plain net in small, with a projection on the second block's shortcut."""
    found = [("stem.conv", "conv", 1, ""), ("stem.norm", "norm", 1, "")]
    for number in range(1, blocks + 1):
        block, depth = f"stage1.block{number}", 2 * number
        found += [
            (f"{block}.branch.conv1", "conv", depth, block),
            (f"{block}.branch.norm1", "norm", depth, block),
            (f"{block}.branch.conv2", "conv", depth + 1, block),
            (f"{block}.branch.norm2", "norm", depth + 1, block),
        ]
        if number == 2 and family == "residual":
            found.append((f"{block}.shortcut.norm", "norm", depth + 1, block))
        found.append((block, "block", depth + 1, block))
    return [*found, ("head.classifier", "linear", 2 * blocks + 2, "")]


def record_signals(root, family="residual", recorded=(0, 10), broken_from=None, relu=True, rates=None, **experiment):
    """Response depth + step/10 behind norms and 50 at convolutions; 25 % silenced; 2 dead channels at depth 2.

    Updates are 1e-3 at even depths, 1e-5 at odd ones; branches are half their shortcut forward, three times backward.
    """
    chosen = Experiment(family=family, depth=8, steps=recorded[-1] + 1, **experiment)
    where = places(family)
    writer = RunWriter.create(root, chosen)
    writer.describe(
        [
            {"path": path, "kind": kind, "depth": depth, "stage": 1, "block": block, "shape": [CHANNELS, 4, 4]}
            for path, kind, depth, block in where
        ],
        {},
    )  # fmt: skip
    for step in recorded:
        if rates is not None:
            writer.write("steps", {"step": [step], "loss": [1.0], "learning_rate": [rates[step]]})
        rows = []
        for path, kind, depth, block in where:
            weights, split = kind in ("conv", "linear"), kind == "block" and family == "residual"
            rectified = relu and (
                path == "stem.norm" or path.endswith("norm1") or kind == "block"
                or (family == "plain" and path.endswith("norm2"))
            )  # fmt: skip
            nan = broken_from is not None and step >= broken_from
            rows.append(
                {
                    "layer": path,
                    "kind": kind,
                    "depth": depth,
                    "relative_depth": (depth - 1) / 7,
                    "stage": 1,
                    "block": block,
                    "output_std": np.nan if nan else {"norm": depth + step / 10, "conv": 50.0}.get(kind, 1.0),
                    "zero_fraction": (0.99 if kind == "block" else 0.25) if rectified else np.nan,
                    "dead_channels": (2.0 if depth == 2 else 0.0) if rectified else np.nan,
                    "update_ratio": (np.nan if nan else 1e-3 if depth % 2 == 0 else 1e-5) if weights else np.nan,
                    "nonfinite": 8.0 if nan else 0.0,
                    "branch_norm": 2.0 if split else np.nan,
                    "shortcut_norm": 4.0 if split else np.nan,
                    "branch_grad_norm": (np.nan if nan else 3.0) if split else np.nan,
                    "shortcut_grad_norm": (np.nan if nan else 1.0) if split else np.nan,
                }
            )
        writer.write("layers", {"step": step} | {name: [row[name] for row in rows] for name in rows[0]})
    return writer.finish("finished")


def quantity(table, name, step=0):
    return table[(table["quantity"] == name) & (table["step"] == step)]


def test_every_signal_is_read_where_it_belongs(tmp_path):
    table = frames.signals([record_signals(tmp_path)])
    columns = [*frames.IDENTITY, *frames.LAYER, "quantity", "value", "part", "whole", "rate"]
    assert list(table.columns) == columns
    response = quantity(table, "output_std", 10)
    assert response["value"].tolist() == [depth + 1 for depth in (1, 2, 3, 4, 5, 6, 7)]
    assert not response["layer"].str.contains("shortcut").any()
    silent = quantity(table, "zero_fraction")
    assert silent["layer"].tolist()[:3] == ["stem.norm", "stage1.block1.branch.norm1", "stage1.block1"]
    dead = quantity(table, "dead_share").set_index("layer").loc["stage1.block1.branch.norm1"]
    assert (dead["value"], dead["part"], dead["whole"]) == (2 / CHANNELS, 2, CHANNELS)
    assert quantity(table, "update_ratio")["layer"].tolist()[-1] == "head.classifier"
    assert quantity(table, "forward_ratio")["value"].tolist() == [0.5] * 3
    assert quantity(table, "backward_ratio")["value"].tolist() == [3.0] * 3


def test_of_a_block_and_its_last_layer_the_layer_speaks(tmp_path):
    silent = quantity(frames.signals([record_signals(tmp_path, "plain")]), "zero_fraction")
    assert silent["value"].tolist() == [0.25] * 7  # the blocks, which repeat the norms, would say 0.99


@pytest.mark.parametrize(
    ("experiment", "kind"),
    [
        ({"family": "residual"}, "norm"),
        ({"family": "residual", "preactivation": True}, "conv"),
        ({"family": "plain", "norm": "none"}, "conv"),
    ],
)
def test_a_response_is_read_behind_the_normalisation_unless_it_stands_in_front(tmp_path, experiment, kind):
    response = quantity(frames.signals([record_signals(tmp_path, **experiment)]), "output_std")
    assert set(response["kind"]) == {kind}


def test_totals_count_dead_channels_and_healthy_updates(tmp_path):
    run = record_signals(tmp_path)
    totals = frames.totals(frames.at_step(frames.signals([run]), 0)).iloc[0]
    assert (totals["dead"], totals["channels"]) == (2, 7 * CHANNELS)
    assert (totals["healthy"], totals["layers"]) == (4, 8)


def test_medians_leave_out_what_is_not_finite(tmp_path):
    table = frames.signals([record_signals(tmp_path, broken_from=10)])
    row = frames.medians(frames.at_step(table, 0), "output_std").iloc[0]
    assert (row["median"], row["low"], row["high"], row["layers"]) == (4, 1, 7, 7)
    assert np.isnan(frames.medians(frames.at_step(table, 10), "output_std")["median"]).all()


def test_what_is_not_finite_stays_and_is_named(tmp_path):
    table = frames.signals([record_signals(tmp_path, broken_from=10)])
    at = frames.at_step(table, 10)
    for name in ("output_std", "update_ratio", "backward_ratio"):
        assert set(quantity(at, name, 10)["state"]) == {"NaN"}, name
    shares = {name: quantity(at, name, 10) for name in ("zero_fraction", "dead_share")}
    assert {state for rows in shares.values() for state in rows["state"]} == {"NaN"}  # whatever was counted of NaN
    assert frames.totals(at).iloc[0]["channels"] == 0
    before = frames.at_step(table, 0)
    assert set(quantity(before, "dead_share")["state"]) == {"finite"}  # a share of 0 is a value


def test_each_run_stands_at_a_step_near_enough(tmp_path):
    runs = [
        record_signals(tmp_path, recorded=(0, 40)),
        record_signals(tmp_path, "plain", recorded=(0, 38, 50)),
        record_signals(tmp_path, "plain", recorded=(0, 20), seed=1),
    ]
    at = frames.at_step(frames.signals(runs), 40)
    assert at.groupby("run")["step"].first().to_dict() == {"residual-8": 40, "plain-8": 38}


def test_updates_are_judged_by_the_rate_in_force(tmp_path):
    rates = {0: 0.1, 10: 0.001, 20: 0.0}
    table = frames.signals([record_signals(tmp_path, recorded=(0, 10, 20), rates=rates)])
    full, annealed, none = (frames.totals(frames.at_step(table, step)).iloc[0] for step in rates)
    assert (full["healthy"], full["layers"], full["rate"]) == (4, 8, 1.0)
    # updates of 1e-3 and 1e-5 at a hundredth of the rate are those of 1e-1 and 1e-3 at the full one
    assert (annealed["healthy"], annealed["layers"], annealed["rate"]) == (4, 8, pytest.approx(0.01))
    assert (none["healthy"], none["layers"]) == (0, 0)
    moved = frames.at_step(table, 10)
    assert frames.healthy_band(frames.totals(moved)) == pytest.approx((1e-6, 1e-4))
    assert frames.healthy_band(frames.totals(frames.at_step(table, 20))) is None


def test_runs_of_different_rates_have_no_common_band(tmp_path):
    runs = [
        record_signals(tmp_path, rates=dict.fromkeys((0, 10), rate), seed=seed) for seed, rate in enumerate((0.1, 0.05))
    ]
    totals = frames.totals(frames.at_step(frames.signals(runs), 10))
    assert sorted(totals["rate"]) == pytest.approx([0.5, 1.0])
    assert frames.healthy_band(totals) is None


def test_a_net_without_rectifiers_has_no_dead_channels(tmp_path):
    table = frames.signals([record_signals(tmp_path, relu=False, activation="tanh")])
    assert not set(table["quantity"]) & {"zero_fraction", "dead_share"}
    assert frames.totals(frames.at_step(table, 0))["channels"].tolist() == [0]


def test_a_run_that_recorded_nothing_has_no_signals(record, tmp_path):
    table = frames.signals([record(tmp_path, layers=0)])
    assert table.empty
    assert frames.at_step(table, 0).empty


def test_no_picture_gets_more_marks_than_it_can_show(tmp_path):
    at = frames.at_step(frames.signals([record_signals(tmp_path)]), 0, marks=4)
    assert at.groupby("quantity").size().max() <= 4
    assert quantity(at, "output_std")["depth"].tolist()[:: len(quantity(at, "output_std")) - 1] == [1, 7]
