"""The cells of feature reuse as pages want them, against closed forms and nets drawn at random."""

import numpy as np
import pandas as pd
import pytest

from labapp import charts, frames
from labapp.config import LabError
from tests.frames.probed_runs import run_of

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


def test_a_weighting_stands_where_it_was_measured(tmp_path):
    run = run_of(tmp_path, paths=DENSE)
    run.write_probe("feature_reuse", 100, cells())
    run.write_probe("feature_reuse", 104, pd.concat([cells(), cells(weighting="ablation")]))
    assert frames.reuse_steps(run, "weights") == [100, 104]
    assert frames.reuse_steps(run, "ablation") == [104]
    assert frames.reuse([run], "weights", 100)["step"].unique() == 100
    assert frames.reuse([run], "ablation", 100)["step"].unique() == 104
    assert frames.reuse([run], "ablation", 50).empty


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


def test_the_first_scale_shows_what_there_is_however_little():
    """A starter's dense net differs by some per cent, which the column's maximum leaves in one colour."""
    table = cells(lambda source, target: 1 + 0.02 * source)
    assert frames.SCALES[0] == "column mean"
    shown = frames.scaled(table, frames.SCALES[0])["value"]
    assert shown.tolist() == pytest.approx([0, -0.01 / 1.01, 0.01 / 1.01, -0.02 / 1.02, 0, 0.02 / 1.02])
    low, high = charts.linear_domain(shown, False, frames.SCALES[0])
    assert (shown.max() - shown.min()) / (high - low) > 0.9
    flat = frames.scaled(table, "column maximum")["value"]
    assert flat.max() - flat.min() < 0.05  # of colours from 0 to 1
    assert frames.scaled(cells(lambda source, target: source - 1.0), "column mean")["value"].isna().all()
    assert charts.linear_domain(shown * np.nan, False, "column mean") == (-1, 1)


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


def drawn(seed, sizes=(2, 3, 6), deviation=0.03):
    """A net that has learnt nothing: independent cells in columns of so many sources."""
    random = np.random.default_rng(seed)
    rows = [
        (1, source, target, "layer", abs(random.normal(1, deviation * (1 + source % 2))))
        for target, sources in enumerate(sizes, start=1)
        for source in range(sources)
    ]
    return pd.DataFrame(rows, columns=["block", "source", "target", "kind", "value"])


@pytest.mark.long
def test_preference_of_untrained_nets_is_where_it_is_drawn():
    """Against nets themselves: 200 for the shares, and how often another one's preference is inside."""
    tables = [drawn(seed) for seed in range(200)]
    shares = [t["value"] / t.groupby("target")["value"].transform("mean") for t in tables]
    null = tables[0].assign(null=np.mean(shares, axis=0), null_deviation=np.std(shares, axis=0, ddof=1), seeds=1)
    low, high = frames.preference_of_untrained(null)
    others = [frames.preference(drawn(seed)) for seed in range(1000, 1200)]
    assert np.mean([low <= other <= high for other in others]) == pytest.approx(
        0.95, abs=0.05
    )  # 3 deviations of a share of 200
    low, high = frames.preference_of_untrained(null.assign(seeds=4))
    fours = [
        frames.preference(tables[0].assign(value=np.mean([drawn(4 * at + i)["value"] for i in range(4)], axis=0)))
        for at in range(300, 400)
    ]
    assert np.mean([low <= four <= high for four in fours]) == pytest.approx(0.95, abs=0.07)
    assert frames.spread_of_untrained(null) == pytest.approx(0.03, abs=0.02)
    unknown = null.assign(null=np.nan, null_deviation=np.nan)
    assert np.isnan(frames.preference_of_untrained(unknown)).all()
    assert np.isnan(frames.spread_of_untrained(unknown))


def test_tables_from_before_there_was_a_null_can_be_read(tmp_path):
    run = run_of(tmp_path, paths=DENSE)
    run.write_probe("feature_reuse", 0, cells())
    assert frames.reuse([run], "weights", 0)[["null", "null_deviation"]].isna().all(axis=None)
    old = {"observation": [1], "claim": ["c"], "number": [0.9], "threshold": [0.5], "seen": [True], "untrained": [1.0]}
    run.write_probe("reuse_observations", 0, pd.DataFrame(old | {"reason": [""], "weighting": ["weights"]}))
    assert frames.observations([run], "weights", 0)["null_low"].isna().all()


def test_what_is_missed_most_stands_first_and_the_input_does_not_count():
    table = cells(lambda source, target: {0: 9.0, 1: 0.5, 2: 0.75}[source]).assign(source_layer="x")
    missed = frames.missed(table)
    assert missed["source"].tolist() == [2, 1]
    assert missed["loss"].tolist() == [0.75, 0.5]
