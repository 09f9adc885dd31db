"""The figures of Grad-CAM, from real small runs."""

import numpy as np
import pandas as pd
import pytest

from analysis import gradcam
from analysis.pixels import enlarged, grid_of, picture_of
from analysis.publish import command
from labapp.probes import explanations
from labapp.store import list_runs


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    monkeypatch.setattr(gradcam, "IMAGES", 24)
    monkeypatch.setattr(gradcam, "SEARCHED", 12)


def run(*options):
    return command(gradcam.PLATES, gradcam.__doc__, [str(option) for option in options])


@pytest.fixture
def out(trained, tmp_path):
    assert run("--runs", trained, "--out", tmp_path / "out") == 0
    return tmp_path / "out"


def test_both_figures_with_the_numbers_and_the_maps_behind_them(trained, out, tmp_path):
    wanted = {f"gradcam_{name}.{kind}" for name in ("families", "training") for kind in ("png", "svg", "pdf", "csv")}
    assert {path.name for path in out.iterdir()} == wanted

    families = pd.read_csv(out / "gradcam_families.csv")
    assert list(families["what"][:2]) == ["picture", "mask"]
    picture, families = families.iloc[0], families[families["what"] == "map"]
    assert list(families["net"].drop_duplicates()) == ["plain-8", "residual-8", "dense-10", "vgg-11"]
    assert families.groupby("net")["depth"].max().eq(1).all()
    assert len(set(families["image"])) == 1

    runs = {each.name: each for each in list_runs(trained)}
    index = int(families["image"].iloc[0].split()[-1])
    sample = explanations.from_set(runs["residual-8"], index)
    shown = explanations.look(explanations.of_run(runs["residual-8"]), sample, target="true").layers[-1]
    row = families[(families["net"] == "residual-8") & (families["layer"] == shown.path)].iloc[0]
    np.testing.assert_allclose(grid_of(row["values"]), shown.evidence, rtol=6e-3)  # three digits
    np.testing.assert_array_equal(picture_of(picture["values"]), sample.picture)
    own = enlarged(shown.evidence, shown.over_image.shape)
    np.testing.assert_allclose(own, shown.over_image, atol=1e-5 * abs(shown.over_image).max())  # float32, twice

    training = pd.read_csv(out / "gradcam_training.csv")
    steps = runs["plain-8"].checkpoints()
    here = training[training["what"] == "map"]
    assert here.groupby("net")["step"].apply(list).to_dict() == {"plain-8": steps, "residual-8": steps}
    many = training[(training["what"] == "mean over images") & training["energy"].notna()]
    assert set(many["net"]) == {"plain-8", "residual-8"}
    assert many["even"].between(0, 1).all()
    assert ((many["low"] <= many["energy"]) & (many["energy"] <= many["high"])).all()

    assert run("--table", *out.glob("*.csv"), "--out", tmp_path / "again") == 0
    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_one_family_alone_has_no_pair(trained, tmp_path):
    assert run("--runs", trained, "--out", tmp_path / "out", "--only", "vgg-11") == 0
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"gradcam_families"}


def test_the_image_is_one_that_all_nets_get_right_if_there_is_one(trained):
    runs = list_runs(trained)
    nets = [explanations.of_run(each) for each in runs]
    chosen = int(gradcam.first_right(nets, runs).name.split()[-1])
    right = np.stack([explanations.survey(net, each, count=12).correct for net, each in zip(nets, runs, strict=True)])
    assert chosen == (int(right.all(0).argmax()) if right.all(0).any() else 0)


def test_runs_without_checkpoints_say_so(archive, tmp_path, capsys):
    assert run("--runs", archive, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "kept no checkpoints" in said
    assert said.count("\n") == 1
