"""Tables of probes as pages want them: squares, parts; against closed forms."""

import numpy as np
import pandas as pd
import pytest

from labapp import frames
from labapp.config import LabError
from labapp.probes.catalogue import against_name
from tests.frames.probed_runs import run_of

# representation


def similarity(cka, layers=4, other=None):
    first, second = ([f"{side}{i}" for i in range(count)] for side, count in (("a", layers), ("b", other or layers)))
    if other is None:
        second = first
    rows = []
    for i, one in enumerate(first):
        for j, two in enumerate(second):
            left = {"layer": one, "kind": "conv", "depth": i + 1, "relative_depth": i / 9, "stage": 1, "block": ""}
            right = {"layer": two, "kind": "conv", "depth": j + 1, "relative_depth": j / 9, "stage": 1, "block": ""}
            numbers = {"cka": cka(i, j), "low": np.nan, "high": np.nan, "images": 60, "note": ""}
            rows.append(left | {f"other_{name}": value for name, value in right.items()} | numbers)
    return pd.DataFrame(rows)


def test_one_net_is_a_lower_triangle(tmp_path):
    run = run_of(tmp_path)
    run.write_probe("similarity", 3, similarity(lambda i, j: 1 - abs(i - j) / 10))
    assert frames.self_similarity(run, 0).empty  # step 3 does not stand for step 0
    table = frames.self_similarity(run, 3)
    assert len(table) == 4 * 5 / 2
    assert (table["row"] >= table["column"]).all()
    assert frames.ends(table)[0] == pytest.approx(0.7)
    assert np.isnan(frames.ends(table)[1])


def test_two_nets_are_a_square_whoever_was_asked(tmp_path):
    run, other = run_of(tmp_path, seed=0), run_of(tmp_path, seed=1)
    assert frames.pair_similarity(run, other, 5).empty
    run.write_probe(against_name(other.id, 7), 5, similarity(lambda i, j: i / 10 + j / 100, 3, 4))
    assert frames.pair_similarity(run, other, 0).empty
    forth, back = frames.pair_similarity(run, other, 5), frames.pair_similarity(other, run, 7)
    assert len(forth) == len(back) == 12
    assert (forth["step"].iloc[0], forth["other_step"].iloc[0]) == (5, 7)
    assert (back["step"].iloc[0], back["other_step"].iloc[0]) == (7, 5)
    assert set(forth["layer"]) == {"a0", "a1", "a2"} == set(back["other_layer"])
    there = forth.set_index(["layer", "other_layer"])["cka"]
    again = back.set_index(["other_layer", "layer"])["cka"]
    assert there.to_dict() == again.to_dict()
    assert frames.ends(forth) == pytest.approx((0.0, 0.23))


def test_of_many_layers_evenly_spaced_ones_are_kept(tmp_path):
    run = run_of(tmp_path)
    run.write_probe("similarity", 0, similarity(lambda i, j: 1.0, 60))
    table = frames.self_similarity(run, 0, marks=200)
    assert len(table) <= 210  # 20 · 21 / 2
    assert {"a0", "a59"} <= set(table["layer"])
    assert table["row"].max() == table["layer"].nunique() - 1


def by_depth(value):
    rows = [
        {"layer": f"l{i}", "kind": "conv", "depth": i + 1, "relative_depth": i / 4, "stage": 1, "block": "",
         "quantity": name, "value": value(i), "low": np.nan, "high": np.nan, "note": "why"}
        for i in range(5)
        for name in (*frames.BY_DEPTH, "nc1")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_across_depth_takes_a_step_near_enough_and_three_quantities(tmp_path):
    runs = [run_of(tmp_path, seed=seed) for seed in (0, 1)]
    runs[0].write_probe("by_depth", 0, by_depth(lambda i: -1.0))
    runs[0].write_probe("by_depth", 19, by_depth(lambda i: float(i) if i else np.nan))
    runs[1].write_probe("by_depth", 14, by_depth(lambda i: 1.0))
    table = frames.across_depth(runs, 20)
    assert set(table["quantity"]) == set(frames.BY_DEPTH)
    assert table.groupby("seed")["step"].first().to_dict() == {0: 19}
    assert table["state"].tolist().count("NaN") == 3


def test_a_probe_that_is_missing_is_named(tmp_path):
    with pytest.raises(LabError, match="has no probe 'by_depth'; `labapp probe"):
        frames.across_depth([run_of(tmp_path)], 0)


# architecture


def layers(*rows):
    columns = ["layer", "kind", "depth", "stage", "shape", "parameters", "multiply_adds", "receptive_field"]
    return pd.DataFrame([(f"l{i}", *row) for i, row in enumerate(rows)], columns=columns).assign(block="", jump=1.0)


PLAN = layers(
    ("conv", 1, 1, "4×8×8", 300, 1000, 3.0),
    ("norm", 1, 1, "4×8×8", 50, 0, 3.0),
    ("block", 1, 1, "4×8×8", 350, 1000, 3.0),
    ("conv", 2, 2, "4×4×4", 500, 2000, 5.0),
    ("linear", 3, 2, "10", 150, 150, np.nan),
)


def test_blocks_are_not_counted_twice():
    sizes = frames.sizes(PLAN)
    assert sizes == {
        "parameters": 1000, "multiply_adds": 3150, "linear_share": 0.15, "weight_layers": 3, "receptive_field": 5,
    }  # fmt: skip


def test_parts_are_the_pieces_of_a_bar(tmp_path):
    run = run_of(tmp_path)
    run.write_probe("architecture", 0, PLAN)
    table = frames.parts([run])
    assert table["part"].tolist() == ["stage 1", "stage 2", "normalisation", "linear"]
    assert table["share"].tolist() == pytest.approx([0.3, 0.5, 0.05, 0.15])
    assert table["start"].tolist() == pytest.approx([0, 0.3, 0.8, 0.85])
    assert table["end"].iloc[-1] == pytest.approx(1)


def test_a_net_without_parameters_has_no_parts(tmp_path):
    run = run_of(tmp_path)
    run.write_probe("architecture", 0, PLAN.assign(parameters=0))
    assert frames.parts([run]).empty
    assert np.isnan(frames.sizes(PLAN.assign(parameters=0))["linear_share"])
