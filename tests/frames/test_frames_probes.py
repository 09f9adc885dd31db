"""Tables of probes as pages want them: cells, squares, parts; against closed forms."""

import numpy as np
import pandas as pd
import pytest

from labapp import frames
from labapp.config import Experiment, LabError
from labapp.probes.catalogue import against_name
from labapp.store import RunWriter


def run_of(root, family="dense", depth=10, paths=(), **experiment):
    """A finished run with these recorded layers: (path, kind, block)."""
    writer = RunWriter.create(root, Experiment(family=family, depth=depth, steps=1, **experiment))
    info = [
        {"index": i, "path": path, "kind": kind, "depth": i + 1, "stage": 1, "block": block, "shape": [4, 2, 2]}
        for i, (path, kind, block) in enumerate(paths)
    ]
    writer.describe(info, {})
    return writer.finish("finished")


DENSE = (
    ("stem.conv", "conv", ""),
    ("block1.layer1.norm1", "norm", "block1"),
    ("block1.layer1.conv1", "conv", "block1"),
    ("block1.layer1.conv2", "conv", "block1"),
    ("block1.layer2.conv1", "conv", "block1"),
    ("block1", "block", "block1"),
    ("transition1.conv", "conv", ""),
    ("block2.layer1.conv1", "conv", "block2"),
    ("block2", "block", "block2"),
    ("head.classifier", "linear", ""),
)
RESIDUAL = (
    ("stem.conv", "conv", ""),
    ("stage1.block1.branch.conv1", "conv", "stage1.block1"),
    ("stage1.block1", "block", "stage1.block1"),
    ("stage2.block1.branch.conv1", "conv", "stage2.block1"),
    ("stage2.block1", "block", "stage2.block1"),
    ("head.classifier", "linear", ""),
)


def cells(value=lambda source, target: float(target - source), weighting="weights", kinds=("layer", "transition")):
    """Two layers and what comes behind them: three targets, 1 + 2 + 3 sources."""
    rows = [
        (weighting, 1, source, target, kinds[1] if target == 3 else kinds[0], value(source, target), 64)
        for target in (1, 2, 3)
        for source in range(target)
    ]
    return pd.DataFrame(rows, columns=["weighting", "block", "source", "target", "kind", "value", "images"])


# feature reuse


def test_cells_name_both_layers_of_a_dense_net(tmp_path):
    run = run_of(tmp_path, paths=DENSE)
    second = cells().query("target == 2").assign(block=2, kind="classifier")
    run.write_probe("feature_reuse", 0, pd.concat([cells(), second]))
    table = frames.reuse([run], "weights", 0)
    names = {(row.block, row.source, row.target): (row.source_layer, row.target_layer) for row in table.itertuples()}
    assert names[1, 0, 1] == ("stem.conv", "block1.layer1")
    assert names[1, 1, 2] == ("block1.layer1", "block1.layer2")
    assert names[1, 2, 3] == ("block1.layer2", "transition1.conv")
    assert names[2, 0, 2] == ("transition1.conv", "head.classifier")


def test_cells_name_both_blocks_of_a_residual_net(tmp_path):
    run = run_of(tmp_path, "residual", 8, RESIDUAL)
    run.write_probe("feature_reuse", 0, cells(weighting="ablation", kinds=("block", "classifier")))
    table = frames.reuse([run], "ablation", 0).set_index(["source", "target"])
    assert table.loc[(0, 1), "source_layer"] == "stem.conv"
    assert table.loc[(1, 2), ["source_layer", "target_layer"]].tolist() == ["stage1.block1", "stage2.block1"]
    assert table.loc[(2, 3), "target_layer"] == "head.classifier"


def test_a_net_whose_layers_are_unknown_has_numbers_for_names(tmp_path):
    run = run_of(tmp_path)
    run.write_probe("feature_reuse", 0, cells())
    assert frames.reuse([run], "weights", 0)["source_layer"].tolist()[0] == "source 0"


def test_seeds_become_a_mean_and_a_deviation(tmp_path):
    runs = [run_of(tmp_path, paths=DENSE, seed=seed) for seed in (0, 1)]
    for seed, run in enumerate(runs):
        run.write_probe("feature_reuse", 5, cells(lambda s, t, seed=seed: 1.0 + 2 * seed))
    assert frames.reuse(runs, "weights", 0).empty
    table = frames.reuse(runs, "weights", 5)
    assert (table["value"].unique(), table["seeds"].unique(), table["step"].unique()) == (2.0, 2, 5)
    assert table["deviation"].to_numpy() == pytest.approx(np.sqrt(2))


def test_a_mean_over_seeds_is_of_one_step(tmp_path):
    runs = [run_of(tmp_path, paths=DENSE, seed=seed) for seed in (0, 1, 2)]
    for run, step in zip(runs, (100, 100, 101), strict=True):
        run.write_probe("feature_reuse", step, cells(lambda s, t, step=step: float(step)))
    for asked, value, seeds in ((100, 100, 2), (101, 101, 1)):
        table = frames.reuse(runs, "weights", asked)
        assert (table["value"].unique(), table["seeds"].unique(), table["step"].unique()) == (value, seeds, asked)


def test_a_cell_that_is_nan_in_one_seed_is_nan(tmp_path):
    runs = [run_of(tmp_path, paths=DENSE, seed=seed) for seed in (0, 1)]
    for seed, run in enumerate(runs):
        run.write_probe("feature_reuse", 5, cells(lambda s, t, seed=seed: np.nan if seed else 1.0))
    assert frames.reuse(runs, "weights", 5)["value"].isna().all()


def test_different_blocks_are_not_laid_over_each_other(tmp_path):
    runs = [run_of(tmp_path, paths=DENSE, seed=seed) for seed in (0, 1)]
    runs[0].write_probe("feature_reuse", 0, cells())
    runs[1].write_probe("feature_reuse", 0, cells().query("target < 3"))
    with pytest.raises(LabError, match="different blocks"):
        frames.reuse(runs, "weights", 0)


def test_scales_work_on_each_column_for_itself():
    table = cells(lambda source, target: 10.0**target * (source + 1))
    largest = frames.scaled(table, "column maximum")
    assert largest.groupby("target")["value"].max().tolist() == [1, 1, 1]
    assert largest["value"].tolist() == pytest.approx([1, 1 / 2, 1, 1 / 3, 2 / 3, 1])
    spread = frames.scaled(table, "column min–max")["value"].tolist()
    assert np.isnan(spread[0])
    assert spread[1:] == pytest.approx([0, 1, 0, 0.5, 1])
    assert frames.scaled(table, "raw")["value"].tolist() == table["value"].tolist()
    assert largest["raw"].tolist() == table["value"].tolist()


def test_a_column_below_zero_is_scaled_by_its_largest_size():
    table = frames.scaled(cells(lambda source, target: -float(source + 1)), "column maximum")
    assert table["value"].between(-1, 0).all()
    assert table.groupby("target")["value"].min().tolist() == [-1, -1, -1]


def test_a_column_of_zeros_has_no_scale():
    assert frames.scaled(cells(lambda source, target: 0.0), "column maximum")["value"].isna().all()


def test_an_unknown_scale_is_refused():
    with pytest.raises(LabError, match="did you mean 'raw'"):
        frames.scaled(cells(), "row")


def test_preference_is_one_for_equal_weights():
    assert frames.preference(cells(lambda source, target: 0.3)) == pytest.approx(1)
    assert frames.preference(cells()) == pytest.approx(2 / 1.5)  # the only layer with several sources has 2 and 1
    assert np.isnan(frames.preference(cells(lambda source, target: -1.0)))
    assert np.isnan(frames.preference(cells(lambda source, target: np.nan)))
    assert np.isnan(frames.preference(cells().query("target == 1")))


def test_what_is_missed_most_stands_first_and_the_input_does_not_count():
    table = cells(lambda source, target: {0: 9.0, 1: 0.5, 2: 0.75}[source]).assign(source_layer="x")
    missed = frames.missed(table)
    assert missed["source"].tolist() == [2, 1]
    assert missed["loss"].tolist() == [0.75, 0.5]


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
    assert table["state"].tolist().count("not finite") == 3


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
