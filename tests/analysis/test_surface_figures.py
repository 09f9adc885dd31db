"""Planes of the loss and maps over training, of pairs of a plain and a residual net."""

import shutil

import numpy as np
import pandas as pd
import pytest

from analysis import gradcam_drift, loss_surface
from analysis.pairs import deepest_pair
from analysis.publish import command
from labapp.config import LabError
from labapp.store import Run
from tests.frames.probed_runs import run_of
from tests.frames.test_surface import plane


def drawn(script, *options):
    return command(script.PLATES, script.__doc__, [str(option) for option in options])


@pytest.fixture
def bowls(tmp_path):
    """Two seeds of a plain and a residual net of two depths with a bowl each; one with losses that are not finite."""
    root = tmp_path / "runs"
    for depth in (8, 14):
        for family in ("plain", "residual"):
            for seed in (0, 1):
                run = run_of(root, family=family, depth=depth, seed=seed)
                table = plane(lambda a, b, depth=depth: depth + a**2 + b)
                if family == "plain" and seed:
                    table.loc[table["alpha"] > 0.9, "loss"] = np.nan
                run.write_probe("loss_surface", 10, table)
    return root


def test_the_deepest_pair_is_drawn_with_its_seeds_and_again_from_its_table(bowls, tmp_path, capsys):
    assert drawn(loss_surface, "--runs", bowls, "--out", tmp_path / "out") == 0
    table = pd.read_csv(tmp_path / "out" / "loss_surface.csv")
    assert set(table["net_depth"]) == {14}
    assert table.groupby(["net", "seed"]).size().to_dict() == {
        (net, s): 25 for net in set(table["net"]) for s in (0, 1)
    }
    known = table.dropna(subset="loss")
    assert known["loss"].tolist() == pytest.approx((14 + known["alpha"] ** 2 + known["beta"]).tolist())
    assert table["loss"].isna().sum() == 5
    assert table["guessing"].tolist() == pytest.approx([np.log(10)] * 100, abs=1e-5)  # six digits
    assert drawn(loss_surface, "--table", tmp_path / "out" / "loss_surface.csv", "--out", tmp_path / "again") == 0
    for kind in ("png", "svg", "pdf", "csv"):
        first, second = (tmp_path / folder / f"loss_surface.{kind}" for folder in ("out", "again"))
        assert first.read_bytes() == second.read_bytes()
    said = (tmp_path / "again" / "loss_surface.svg").read_text()
    assert all(words in said for words in ("seed 0: 14.0", "seed 1: 14.0", "loss of guessing, 2.30", ">NaN<"))


def test_a_plane_that_is_missing_is_asked_for(bowls, tmp_path, capsys):
    for run in bowls.iterdir():
        shutil.rmtree(run / "probes", ignore_errors=True)
    assert drawn(loss_surface, "--runs", bowls, "--out", tmp_path / "out") == 2
    assert "--quantities loss_surface" in capsys.readouterr().err


def test_a_pair_differs_in_its_shortcuts_alone(tmp_path):
    def of(family, **options):
        return run_of(tmp_path, family=family, **{"depth": 14, **options})

    plain = [of("plain", seed=seed) for seed in range(4)]
    others = [of("plain", depth=20, learning_rate=0.3), of("residual", depth=20), of("dense", depth=22)]
    others.append(of("residual", preactivation=True))
    with pytest.raises(LabError, match="trained alike"):
        deepest_pair([*plain, *others], 3)
    residual = [of("residual", seed=seed) for seed in (2, 0)]
    found = deepest_pair([*residual, *plain, *others], 3)
    assert [run.id for run in found] == [run.id for run in (*plain[:3], *residual[::-1])]


def test_maps_are_compared_with_the_last_one_of_their_run(digit_nets, tmp_path):
    shutil.copytree(digit_nets / "plain", digit_nets / "again")
    path = digit_nets / "again" / "run.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    assert drawn(gradcam_drift, "--runs", digit_nets, "--out", tmp_path / "out") == 0
    table = pd.read_csv(tmp_path / "out" / "gradcam_drift.csv").set_index("what")
    formed = table.loc[gradcam_drift.FORMED]
    assert set(formed["net"]) == {"plain-14", "residual-14 (no preactivation)"}
    assert set(formed["step"]) == {0, 12}
    assert formed.loc[formed["step"] == 12, "value"].tolist() == pytest.approx([1, 1, 1])
    assert formed.loc[formed["step"] == 0, "value"].abs().max() < 0.9
    alike = table.loc[[gradcam_drift.SEEDS_ALIKE]]
    assert alike["value"].tolist() == pytest.approx([1])  # one net under two seeds
    assert set(table["layer"].dropna()) == {"stage2.block2"}
    assert table.loc[gradcam_drift.ENERGY, "value"].isna().all()  # digits have no masks
    again = tmp_path / "again"
    assert drawn(gradcam_drift, "--table", tmp_path / "out" / "gradcam_drift.csv", "--out", again) == 0
    assert "these images have no masks" in (again / "gradcam_drift.svg").read_text()
    assert (tmp_path / "out" / "gradcam_drift.png").read_bytes() == (again / "gradcam_drift.png").read_bytes()


def test_one_checkpoint_is_too_few_for_a_change(digit_nets, tmp_path, capsys):
    for name in ("plain", "original"):
        run = Run(digit_nets / name)
        for path in run.checkpoint_path(0).parent.glob("step-00000000*"):
            path.unlink()
    assert drawn(gradcam_drift, "--runs", digit_nets, "--out", tmp_path, "--only", "plain", "original") == 2
    assert "fewer than two checkpoints" in capsys.readouterr().err
