"""Depth × step, coarse enough to draw."""

import numpy as np
import pandas as pd
import pytest

from labapp import frames
from tests.frames.profiles import one_profile


def test_heatmap_holds_every_cell_of_a_small_run(record, tmp_path):
    table = frames.layer_table([record(tmp_path)])
    cells = frames.gradient_heatmap(table)
    assert len(cells) == len(table)
    merged = cells.merge(table, on=["run", "layer", "step"])
    np.testing.assert_allclose(merged["value_x"], np.log10(merged["value_y"]), rtol=1e-6)
    assert (cells["depth_end"] - cells["depth_start"]).eq(1).all()
    assert sorted(zip(cells["step"].unique(), cells["step_end"].unique(), strict=True)) == [
        (0, 10),
        (10, 20),
        (20, 30),
        (30, 40),
    ]


def test_heatmap_takes_steps_together_but_not_the_first(record, tmp_path):
    run = record(tmp_path, recorded=tuple(range(0, 1000, 2)), steps=1000)
    cells = frames.gradient_heatmap(frames.layer_table([run]), marks=200)
    assert len(cells) <= 200
    assert cells["layer"].nunique() == 10  # 19 layers do not fit beside twenty steps: neighbours are taken together
    assert cells["layer"].str.contains("…").any()
    first = cells[cells["step"] == 0]
    assert set(first["step_end"]) == {2}
    total = (cells["step_end"] - cells["step"]) * (cells["depth_end"] - cells["depth_start"])
    assert total.sum() == 19 * 1000  # no gap, no overlap


def test_a_cell_says_which_steps_it_holds_and_a_spike_survives():
    steps = range(0, 1000, 2)
    values = [1e6 if step == 500 else 1e-9 if step == 700 else 1.0 for step in steps]
    table = pd.concat([one_profile([value], step=step) for step, value in zip(steps, values, strict=True)])
    cells = frames.gradient_heatmap(table.reset_index(drop=True), marks=51)
    assert cells["recorded"].sum() == 500
    assert cells["recorded"].iloc[0] == 1
    assert (cells["step"] <= cells["step_last"]).all()
    assert (cells["step_last"] < cells["step_end"]).all()
    up = cells[(cells["step"] <= 500) & (cells["step_last"] >= 500)].iloc[0]
    assert (up["low"], up["high"], up["extreme"]) == (0, 6, 6)
    assert up["value"] == pytest.approx(6 / up["recorded"])
    down = cells[(cells["step"] <= 700) & (cells["step_last"] >= 700)].iloc[0]
    assert down["extreme"] == pytest.approx(-9)


def test_heatmap_tells_zero_and_broken_cells():
    table = pd.concat([one_profile([1, 0], step=0), one_profile([np.nan, 1], step=1)], ignore_index=True)
    cells = frames.gradient_heatmap(table).set_index(["depth", "step"])
    assert cells["state"].to_dict() == {(1, 0): "finite", (2, 0): "zero", (1, 1): "NaN", (2, 1): "finite"}
    assert cells["value"].isna().sum() == 2


def test_heatmap_of_one_layer_and_one_step():
    cells = frames.gradient_heatmap(one_profile([0.1]))
    assert len(cells) == 1
    assert cells.loc[0, ["step", "step_end"]].tolist() == [0, 1]
    assert cells.loc[0, "value"] == pytest.approx(-1)


def test_thinned_keeps_the_ends_of_each_run():
    table = pd.DataFrame({"run": ["a"] * 100 + ["b"] * 3, "step": [*range(100), *range(3)]})
    thin = frames.thinned(table, marks=20)
    assert thin.groupby("run")["step"].agg(["min", "max", "size"]).loc["a"].tolist() == [0, 99, 10]
    assert (thin["run"] == "b").sum() == 3
