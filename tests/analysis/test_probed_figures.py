"""Figures of what was probed, drawn from small real runs of every family."""

import shutil

import pandas as pd
import pytest

from analysis import (
    architecture_table,
    feature_reuse,
    layer_responses,
    lesions,
    residual_split,
    shattering,
    similarity,
)
from analysis.publish import command
from labapp.config import Experiment
from labapp.probes import measure
from labapp.store import Run
from labapp.training.loop import train

FILES = {
    architecture_table: ["architecture_table"],
    feature_reuse: ["feature_reuse", "block_ablation"],
    layer_responses: ["layer_responses"],
    lesions: ["lesions"],
    residual_split: ["residual_split"],
    shattering: ["shattering"],
    similarity: ["similarity"],
}
PROBED = {
    architecture_table: "architecture",
    feature_reuse: "feature_reuse",
    lesions: "lesions",
    shattering: "shattering",
    similarity: "similarity",
}
SCRIPTS = list(FILES)


def run(script, *options):
    return command(script.draw, script.__doc__, [str(option) for option in options])


@pytest.mark.parametrize("script", SCRIPTS)
def test_writes_three_pictures_and_the_table_behind_them(script, probed_nets, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(script, "--runs", probed_nets, "--out", out) == 0
    assert {path.name for path in out.iterdir()} == {
        f"{name}.{kind}" for name in FILES[script] for kind in ("png", "svg", "pdf", "csv")
    }
    assert all(path.stat().st_size > 300 for path in out.iterdir())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("script", PROBED)
def test_says_which_command_makes_what_is_missing(script, digit_nets, tmp_path, capsys):
    assert run(script, "--runs", digit_nets, "--out", tmp_path) == 2
    said = capsys.readouterr().err
    assert f"these runs hold no {PROBED[script]}; `labapp probe " in said
    assert f"--quantities {PROBED[script]} --root {digit_nets}`" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("script", PROBED)
def test_draws_the_runs_that_were_probed_and_names_the_others(script, probed_nets, tmp_path, capsys):
    for name in ("plain", "original"):
        shutil.rmtree(probed_nets / name / "probes")
    assert run(script, "--runs", probed_nets, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert f"left out: 2 runs without {PROBED[script]}; `labapp probe " in said


@pytest.mark.parametrize("net", ["plain", "vgg"])
def test_a_net_whose_layers_see_one_source_is_drawn_by_what_it_loses(net, probed_nets, tmp_path):
    assert run(feature_reuse, "--runs", probed_nets, "--out", tmp_path, "--only", net) == 0
    assert set(pd.read_csv(tmp_path / "block_ablation.csv")["weighting"]) == {"ablation"}


def test_triangles_hold_every_block_with_its_last_column(probed_nets, tmp_path):
    run(feature_reuse, "--runs", probed_nets, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "feature_reuse.csv")
    assert table.groupby("block")["kind"].last().tolist() == ["transition", "transition", "classifier"]
    assert len(table) == 3 * (1 + 2 + 3 + 4)
    columns = table.groupby(["block", "target"])
    assert columns["value"].mean().abs().max() < 1e-5  # above and below the column's mean; the file has six digits
    shares = table["raw"] / columns["raw"].transform("mean") - 1
    assert table["value"].tolist() == pytest.approx(shares.tolist(), abs=1e-5)
    assert table["null"].notna().all()


def test_seeds_are_one_net(probed_nets, tmp_path):
    shutil.copytree(probed_nets / "dense", probed_nets / "again")
    path = probed_nets / "again" / "run.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    run(feature_reuse, "--runs", probed_nets, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "feature_reuse.csv")
    assert set(table["seeds"]) == {2}
    assert set(table["net"]) == {"dense-13"}
    assert table["deviation"].abs().max() < 1e-7


def test_only_residual_nets_are_split(probed_nets, tmp_path, capsys):
    assert run(residual_split, "--runs", probed_nets, "--out", tmp_path, "--only", "plain", "vgg") == 2
    assert "hold no residual block" in capsys.readouterr().err
    run(residual_split, "--runs", probed_nets, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "residual_split.csv")
    assert table["net"].nunique() == 2
    assert table.groupby(["moment", "net", "quantity"]).size().eq(6).all()


def test_pairs_that_were_compared_are_drawn(probed_nets, tmp_path):
    list(measure.against(Run(probed_nets / "residual"), Run(probed_nets / "vgg"), images=48))
    assert run(similarity, "--runs", probed_nets, "--out", tmp_path) == 0
    table = pd.read_csv(tmp_path / "similarity_pairs.csv")
    assert len(table) == table["layer"].nunique() * table["other_layer"].nunique()
    assert (tmp_path / "similarity_pairs.png").is_file()


def test_a_square_is_symmetric_and_one_on_its_diagonal(probed_nets, tmp_path):
    run(similarity, "--runs", probed_nets, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "similarity.csv")
    square = table[table["net"] == "vgg-11"].pivot_table(index="row", columns="column", values="cka").to_numpy()
    assert square.shape[0] == square.shape[1]
    assert abs(square - square.T).max() < 1e-6
    assert abs(square.diagonal() - 1).max() < 1e-6


def test_lesions_tell_the_whole_net_from_the_wounded(probed_nets, tmp_path):
    run(lesions, "--runs", probed_nets, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "lesions.csv")
    assert set(table["what"]) == {"none", "delete", "permutation"}
    assert table[table["what"] == "none"].groupby("net").size().eq(1).all()
    assert table["error"].between(0, 1).all()


def test_a_table_of_nets_adds_up(probed_nets, tmp_path):
    run(architecture_table, "--runs", probed_nets, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "architecture_table.csv").set_index("net")
    parts = table.drop(
        columns=[
            "parameters",
            "multiply_adds",
            "linear_share",
            "weight_layers",
            "receptive_field",
            "published",
            "source",
        ]
    )
    assert (parts.sum(axis=1) == table["parameters"]).all()
    assert table.loc["dense-13", "weight_layers"] == 13


def test_theory_of_both_ways_stands_beside_the_first_step(digit_nets, tmp_path):
    assert run(residual_split, "--runs", digit_nets, "--out", tmp_path) == 0
    table = pd.read_csv(tmp_path / "residual_split.csv")
    assert table.loc[table["step"] == 0, "theory"].notna().all()
    assert table.loc[table["step"] > 0, "theory"].isna().all()


def test_responses_stand_beside_theory_before_training(digit_nets, tmp_path):
    assert run(layer_responses, "--runs", digit_nets, "--out", tmp_path) == 0
    table = pd.read_csv(tmp_path / "layer_responses.csv")
    assert set(table["moment"]) == {"initialisation", "end of training"}
    assert table.loc[table["step"] == 0, "theory"].notna().all()
    assert table.loc[table["step"] > 0, "theory"].isna().all()


def test_the_published_error_is_of_the_very_net_and_has_its_source(digit_nets, tmp_path):
    small = {"steps": 1, "batch_size": 8, "train_images": 8, "test_images": 8, "checkpoints": 1, "device": "cpu"}
    made = train(Experiment(family="residual", depth=20, imageset="digits", record="none", **small), digit_nets)
    for run_id in (made.id, "original"):
        tasks, _ = measure.tasks(Run(digit_nets / run_id), ["architecture"])
        assert not [outcome.reason for outcome in measure.measure(Run(digit_nets / run_id), tasks) if outcome.reason]
    assert run(architecture_table, "--runs", digit_nets, "--out", tmp_path, "--only", made.id, "original") == 0
    table = pd.read_csv(tmp_path / "architecture_table.csv").set_index("net")
    assert table.loc["residual-20", "published"] == "8.75 % (CIFAR-10)"
    assert table.loc["residual-20", "source"] == "He et al. 2015, Table 6, arXiv:1512.03385"
    assert list(table.drop("residual-20")["published"]) == ["–"]
