"""Figures of what was probed, drawn from small real runs of every family."""

import shutil

import numpy as np
import pandas as pd
import pytest

from analysis import (
    architecture_table,
    brackets,
    feature_reuse,
    layer_responses,
    lesions,
    parameter_efficiency,
    path_lengths,
    residual_split,
    shattering,
    similarity,
)
from analysis.publish import command, put
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
    brackets: ["brackets"],
    path_lengths: ["path_lengths"],
    parameter_efficiency: ["parameter_efficiency"],
}
PROBED = {
    architecture_table: "architecture",
    feature_reuse: "feature_reuse",
    lesions: "lesions",
    shattering: "shattering",
    similarity: "similarity",
    brackets: "gradient_split",
    path_lengths: "path_gradients",
    parameter_efficiency: "architecture",
}
SCRIPTS = list(FILES)
ALIKE = (shattering, brackets, path_lengths, parameter_efficiency)  # curves, as others are


def run(script, *options):
    return command(script.PLATES, script.__doc__, [str(option) for option in options])


def tables(script, *options):
    """The same without a picture, which takes seconds."""
    return run(script, *options, "--formats", "csv")


@pytest.mark.parametrize(
    "script", [pytest.param(each, marks=[pytest.mark.long] if each in ALIKE else []) for each in SCRIPTS]
)
def test_writes_three_pictures_and_the_table_behind_them(script, probed_nets, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(script, "--runs", probed_nets, "--out", out) == 0
    assert {path.name for path in out.iterdir()} == {
        f"{name}.{kind}" for name in FILES[script] for kind in ("png", "svg", "pdf", "csv")
    }
    assert all(path.stat().st_size > 300 for path in out.iterdir())
    told = capsys.readouterr().err
    assert told.startswith("left out: similarity_pairs: no two" if script is similarity else "")
    assert told.count("\n") < 2
    for plate in script.PLATES:
        table = out / f"{plate.name}.csv"
        if table.is_file():
            put(plate, table.read_text(), tmp_path, ["svg"])
            assert (tmp_path / f"{plate.name}.svg").read_text() == (out / f"{plate.name}.svg").read_text()


@pytest.mark.parametrize("script", PROBED)
def test_says_which_command_makes_what_is_missing(script, digit_nets, tmp_path, capsys):
    assert tables(script, "--runs", digit_nets, "--out", tmp_path) == 2
    said = capsys.readouterr().err
    assert f"these runs hold no {PROBED[script]}; `labapp probe " in said
    assert f"--quantities {PROBED[script]} --root {digit_nets}`" in said
    assert said.count("\n") == 1


@pytest.mark.long
@pytest.mark.parametrize("script", PROBED)
def test_draws_the_runs_that_were_probed_and_names_the_others(script, probed_nets, tmp_path, capsys):
    name = "residual" if script is brackets else "original"  # a copy of what can be probed at all
    shutil.copytree(probed_nets / name, probed_nets / "bare")
    shutil.rmtree(probed_nets / "bare" / "probes")
    assert run(script, "--runs", probed_nets, "--out", tmp_path / "out", "--formats", "svg") == 0
    said = capsys.readouterr().err
    assert f"left out: 1 runs without {PROBED[script]}; `labapp probe bare --" in said


@pytest.mark.parametrize("net", ["plain", "vgg"])
def test_a_net_whose_layers_see_one_source_is_drawn_by_what_it_loses(net, probed_nets, tmp_path):
    assert run(feature_reuse, "--runs", probed_nets, "--out", tmp_path, "--only", net, "--formats", "png", "csv") == 0
    assert set(pd.read_csv(tmp_path / "block_ablation.csv")["weighting"]) == {"ablation"}


def test_triangles_hold_every_block_with_its_last_column(probed_nets, tmp_path):
    tables(feature_reuse, "--runs", probed_nets, "--out", tmp_path)
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
    tables(feature_reuse, "--runs", probed_nets, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "feature_reuse.csv")
    assert set(table["seeds"]) == {2}
    assert set(table["net"]) == {"dense-13"}
    assert table["deviation"].abs().max() < 1e-7


def test_only_residual_nets_are_split(probed_nets, tmp_path, capsys):
    assert tables(residual_split, "--runs", probed_nets, "--out", tmp_path, "--only", "plain", "vgg") == 2
    assert "hold no residual block" in capsys.readouterr().err
    tables(residual_split, "--runs", probed_nets, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "residual_split.csv")
    assert table["net"].nunique() == 2
    assert table.groupby(["moment", "net", "quantity"]).size().eq(6).all()


@pytest.mark.long
def test_pairs_that_were_compared_are_drawn(probed_nets, tmp_path):
    list(measure.against(Run(probed_nets / "residual"), Run(probed_nets / "vgg"), images=48))
    assert run(similarity, "--runs", probed_nets, "--out", tmp_path, "--formats", "png", "csv") == 0
    table = pd.read_csv(tmp_path / "similarity_pairs.csv")
    assert len(table) == table["layer"].nunique() * table["other_layer"].nunique()
    assert (tmp_path / "similarity_pairs.png").is_file()


def test_a_square_is_kept_by_half_and_one_on_its_diagonal(probed_nets, tmp_path):
    tables(similarity, "--runs", probed_nets, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "similarity.csv")
    half = table[table["net"] == "vgg-11"]
    assert (half["row"] >= half["column"]).all()  # the figure turns it over
    count = half["row"].nunique()
    assert len(half) == count * (count + 1) / 2
    assert half.loc[half["row"] == half["column"], "cka"].tolist() == pytest.approx([1.0] * count, abs=1e-6)


def test_lesions_tell_the_whole_net_from_the_wounded(probed_nets, tmp_path):
    tables(lesions, "--runs", probed_nets, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "lesions.csv")
    assert set(table["what"]) == {"none", "delete", "permutation"}
    assert table[table["what"] == "none"].groupby("net").size().eq(1).all()
    assert table["error"].between(0, 1).all()


def test_a_table_of_nets_adds_up(probed_nets, tmp_path):
    tables(architecture_table, "--runs", probed_nets, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "architecture_table.csv")
    nets = table.groupby("net")
    assert (nets["part_parameters"].sum() == nets["parameters"].first()).all()
    assert nets["end"].max().tolist() == pytest.approx([1.0] * len(nets), abs=1e-5)  # the file has six digits
    assert nets["weight_layers"].first()["dense-13"] == 13


def test_theory_of_both_ways_stands_beside_the_first_step(digit_nets, tmp_path):
    assert tables(residual_split, "--runs", digit_nets, "--out", tmp_path) == 0
    table = pd.read_csv(tmp_path / "residual_split.csv")
    assert table.loc[table["step"] == 0, "theory"].notna().all()
    assert table.loc[table["step"] > 0, "theory"].isna().all()


def test_responses_stand_beside_theory_before_training(digit_nets, tmp_path):
    assert tables(layer_responses, "--runs", digit_nets, "--out", tmp_path) == 0
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
    assert tables(architecture_table, "--runs", digit_nets, "--out", tmp_path, "--only", made.id, "original") == 0
    table = pd.read_csv(tmp_path / "architecture_table.csv").set_index("net")
    assert set(table.loc["residual-20", "published"]) == {"8.75 % (CIFAR-10)"}
    assert set(table.loc["residual-20", "source"]) == {"He et al. 2015, Table 6, arXiv:1512.03385"}
    assert set(table.drop("residual-20")["published"]) == {"–"}


def test_the_bracket_is_what_it_makes_of_the_gradient_along_itself(tmp_path, record):
    """⟨g_L, g_l⟩ / ‖g_L‖², from vectors, against what the table has made of the shares and norms of the probe."""
    made = record(tmp_path / "runs", family="residual", depth=20, preactivation=True)
    random = np.random.default_rng(0)
    later, earlier = random.normal(size=(2, 40, 7))
    inner = (later * earlier).sum(1)
    size = np.linalg.norm(earlier, axis=1)
    probe = {"block": "b", "position": 1, "example": range(40), "shortcut_share": inner / size**2}
    norms = np.linalg.norm(later, axis=1)
    made.write_probe("gradient_split", 0, pd.DataFrame(probe | {"shortcut_norm": norms / size}))
    assert tables(brackets, "--runs", tmp_path / "runs", "--out", tmp_path) == 0
    table = pd.read_csv(tmp_path / "brackets.csv")
    medians = table[table["what"] == "block"].set_index("number")["median"]
    assert medians["along"] == pytest.approx(np.median(inner / norms**2), rel=1e-5)  # the file has six digits
    assert medians["length"] == pytest.approx(np.median(size / norms), rel=1e-5)
    bins = table[table["what"] != "block"]
    below = float((inner / norms**2 < 0).mean())
    assert bins.loc[bins["bin_end"] <= 1e-9, "share"].sum() == pytest.approx(below, abs=1e-5)


def test_the_share_of_the_gradient_is_the_product_of_the_two_others(probed_nets, tmp_path):
    assert tables(path_lengths, "--runs", probed_nets, "--out", tmp_path) == 0
    for _, rows in pd.read_csv(tmp_path / "path_lengths.csv").groupby(["run", "moment"]):
        product = rows["probability"] * rows["gradient_norm"]
        assert rows["weight"].tolist() == pytest.approx((product / product.sum()).tolist(), rel=1e-4)
