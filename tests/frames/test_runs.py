"""Who are the runs, and how did they train?"""

import numpy as np
import pytest

from labapp import frames, palette
from labapp.config import Experiment, LabError
from labapp.frames import naming
from labapp.store import label_run


def test_names_say_only_what_differs(record, tmp_path):
    runs = [record(tmp_path, depth=20), record(tmp_path, depth=20, seed=1), record(tmp_path, depth=56)]
    assert frames.names(runs) == ["plain-20", "plain-20 (seed 1)", "plain-56"]
    assert frames.names(runs, seeds=False) == ["plain-20", "plain-20", "plain-56"]


def test_a_name_and_a_look_do_not_depend_on_what_else_is_chosen(record, tmp_path):
    made = [{}, {"seed": 1}, {"width": 8}, {"norm": "none", "activation": "tanh"}, {"steps": 40}, {}, {"depth": 56}]
    runs = [record(tmp_path, **each) for each in made]
    together = frames.describe(runs)
    for run, (_, row) in zip(runs, together.iterrows(), strict=True):
        alone = frames.describe([run]).iloc[0]
        assert alone.to_dict() == row.to_dict()
    assert together["run"].is_unique
    assert together["run"].tolist()[:5] == [
        "plain-20", "plain-20 (seed 1)", "plain-20 (width 8)", "plain-20 (no norm, tanh)", "plain-20 (steps 40)",
    ]  # fmt: skip
    assert together["place"].tolist() == list(range(7))
    looks = palette.styles(together)
    assert len(set(zip(looks["dash"].map(tuple), looks["shape"], strict=True))) == 7


def test_a_newer_run_changes_no_name(record, tmp_path):
    first = record(tmp_path, norm="none")
    before = frames.names([first])
    second = record(tmp_path)
    assert before == frames.names([first]) == ["plain-20 (no norm)"]
    assert frames.names([second]) == ["plain-20 (batch norm)"]


def test_what_follows_from_other_settings_goes_without_saying(record, tmp_path):
    runs = [record(tmp_path, recorded=(0,), steps=30), record(tmp_path, recorded=(0,), steps=60)]
    assert [run.experiment.warmup_steps for run in runs] == [10, 20]  # a third of the steps, which nobody asked for
    assert frames.names(runs) == ["plain-20", "plain-20 (steps 60)"]


def test_names_of_repetitions_end_in_their_folder(record, tmp_path):
    runs = [record(tmp_path, run_id=f"plain-20-{end}") for end in ("first", "second", "other-second")]
    assert frames.names(runs) == ["plain-20", "plain-20 (second)", "plain-20-other-second"]
    assert frames.describe(runs)["net"].tolist() == ["plain-20"] * 3


def test_a_given_name_is_said_everywhere_and_changes_no_other_runs_name(record, tmp_path):
    runs = [record(tmp_path, run_id=f"plain-20-{end}", seed=seed) for seed, end in enumerate(("aa", "bb", "cc", "dd"))]
    before = frames.names(runs)
    given = ["mine", "mine", "plain-20 (seed 3)", runs[0].id]
    for run, name in zip(runs, given, strict=True):
        label_run(tmp_path, run.id, name=name)
    assert frames.names(runs) == ["mine", "mine (bb)", "plain-20 (seed 3) (cc)", "plain-20-aa (dd)"]
    table = frames.describe(runs)
    assert table["run"].tolist() == frames.names(runs)
    assert table["net"].tolist() == ["plain-20"] * 4  # still repetitions of one experiment
    label_run(tmp_path, runs[0].id, name="")
    assert frames.names(runs[:2]) == [before[0], "mine"]
    for run in runs:
        label_run(tmp_path, run.id, name="")
    assert frames.names(runs) == before


def test_what_was_asked_for_is_told_as_by_leaving_out_each_setting_in_turn():
    """The quick way, which searches once for all runs that are equal in the settings on which others depend."""
    some = np.random.default_rng(0)
    values = {
        "family": ["plain", "residual", "dense", "vgg"], "form": ["cifar", "imagenet"], "depth": [11, 18, 20, 40, 121],
        "width": [8, 16], "norm": ["none"], "activation": ["tanh"], "block": ["basic", "bottleneck"],
        "bottleneck": [True, False], "compression": [0.5, 1.0], "dropout": [0.0, 0.2], "imageset": ["cifar10"],
        "augment": [True, False], "recipe": ["he", "densenet"], "steps": [10, 300, 64_000], "batch_size": [64, 128],
        "learning_rate": [0.1, 0.05], "nesterov": [True, False], "schedule": ["cosine", "he"], "warmup_steps": [0, 3],
        "accumulate": [2], "histograms": [True], "seed": [0, 1], "record_every": [100], "shortcut": ["A", "B"],
    }  # fmt: skip
    tried = 0
    while tried < 60:
        asked = {name: some.choice(values[name]).item() for name in some.choice(list(values), 6, replace=False)}
        try:
            made = Experiment(**Experiment(**asked).model_dump())
        except LabError:
            continue
        tried += 1
        assert naming.asked_for(made) == naming._search(made), asked


def test_names_of_a_large_archive_are_looked_for_once(record, tmp_path, monkeypatch):
    runs = [record(tmp_path, seed=seed, recorded=(0,), steps=2) for seed in range(3)]
    frames.names(runs)
    monkeypatch.setattr(naming, "name_all", None)
    assert frames.names(runs[:1]) == ["plain-20"]
    assert frames.describe(runs)["run"].tolist() == frames.names(runs)


def test_runs_of_two_archives_and_a_run_that_is_gone_have_names(record, tmp_path):
    runs = [record(tmp_path / "a", run_id="one"), record(tmp_path / "b", run_id="two")]
    assert frames.names(runs) == ["one", "two"]
    runs[0].path.rename(tmp_path / "elsewhere")
    assert frames.names(runs[:1]) == ["plain-20"]


def test_describe_lists_its_columns(record, tmp_path):
    table = frames.describe([record(tmp_path, family="dense", depth=40)])
    columns = "run net run_id family net_depth seed norm activation init imageset status place net_place"
    assert list(table.columns) == columns.split()
    assert table.loc[0, ["family", "net_depth", "status"]].tolist() == ["dense", 40, "finished"]
    assert list(frames.describe([]).columns) == columns.split()


# overview and curves


def test_overview_has_what_the_run_was_made_of(record, tmp_path):
    row = frames.overview([record(tmp_path, growth=1.2, accuracy=0.9)]).iloc[0]
    assert row["accuracy"] == row["best_accuracy"] == pytest.approx(0.9)
    assert row["slope_start"] == pytest.approx(-np.log10(1.2), rel=1e-6)  # float32 on disk
    assert row["ratio_start"] == pytest.approx(1.2**18, rel=1e-5)
    assert row["ratio_end"] == pytest.approx(1.2**18, rel=1e-5)
    assert (row["step"], row["steps"]) == (31, 31)
    assert row["loss"] == pytest.approx(np.mean([2.3 / (1 + step) for step in (28, 29, 30)]), rel=1e-6)
    assert row["recorder_cost"] == 0.03
    assert set(frames.SUMMARY) <= set(row.index)


def test_overview_of_a_run_that_recorded_nothing(record, tmp_path):
    row = frames.overview([record(tmp_path, recorded=(), layers=0)]).iloc[0]
    assert np.isnan(row["slope_start"])
    assert np.isnan(row["ratio_end"])
    assert row["accuracy"] == pytest.approx(0.9)


def test_overview_of_a_diverged_run(record, tmp_path):
    row = frames.overview([record(tmp_path, nan_from=15, status="diverged")]).iloc[0]
    assert row["status"] == "diverged"
    assert np.isfinite(row["slope_start"])
    assert np.isnan([row["slope_end"], row["loss"], row["accuracy"]]).all()


def test_curves_keep_every_row_that_can_be_drawn(record, tmp_path):
    runs = [record(tmp_path), record(tmp_path, family="residual")]
    table = frames.curves(runs)
    assert list(table.columns) == [
        *frames.IDENTITY,
        *["step", "split", "loss", "accuracy", "error", "nonfinite"],
        *["step_first", "step_last", "low", "high", "bad_step", "bad"],
    ]
    train = table[(table["split"] == "train") & (table["run"] == "plain-20")]
    assert train["step"].tolist() == list(range(31))
    np.testing.assert_allclose(train["loss"], 2.3 / (1 + np.arange(31)), rtol=1e-6)
    test = table[(table["split"] == "test") & (table["run"] == "residual-20")]
    np.testing.assert_allclose(test["error"], 1 - test["accuracy"])


def test_curves_are_means_where_there_is_too_much_to_draw(record, tmp_path):
    run = record(tmp_path, steps=400, nan_from=390, status="diverged")
    table = frames.curves([run], marks=40)
    train = table[table["split"] == "train"]
    assert len(train) == 40
    assert train["loss"].iloc[0] == pytest.approx(np.mean(2.3 / np.arange(1, 11)), rel=1e-6)
    assert train["nonfinite"].tolist() == [0] * 39 + [10]
    assert np.isnan(train["loss"].iloc[-1])
    assert train[["step_first", "step_last"]].iloc[1].tolist() == [10, 19]
    assert train[["low", "high"]].iloc[1].tolist() == pytest.approx([2.3 / 20, 2.3 / 11], rel=1e-6)


def test_curves_of_nothing():
    assert frames.curves([]).empty
