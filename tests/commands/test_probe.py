"""`labapp probe`: what it prints, what it writes, and mistakes in one sentence."""

import shutil

import pytest

from labapp.config import Experiment
from labapp.probes.catalogue import command
from labapp.store import Run, list_runs
from tests.probes.probing import typed


def test_a_run_without_checkpoints(digit_nets, capsys):
    shutil.rmtree(digit_nets / "plain" / "checkpoints")
    code, _, err = typed(["probe", "plain", "--root", digit_nets], capsys)
    assert code == 2
    assert "has no checkpoint" in err


def test_a_damaged_checkpoint_is_one_sentence(digit_nets, capsys):
    run = Run(digit_nets / "plain")
    path = run.checkpoint_path(12)
    path.write_bytes(path.read_bytes()[:100])
    code, _, err = typed(["probe", "plain", "--root", digit_nets, "--checkpoints", 12], capsys)
    assert code == 2
    assert "no checkpoint at step 12" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "which run?"),
        (["plian"], "did you mean 'plain'"),
        (["plain", "--quantities", "lesion"], "unknown quantity 'lesion'"),
        (["plain", "--checkpoints", "first"], "--checkpoints takes all, few, ends, last or steps, not 'first'"),
        (["plain", "--cheap", "--checkpoints", "5"], "--cheap takes every checkpoint of a run alone"),
        (["plain", "--checkpoints", "5"], "has no checkpoint at step 5"),
        (["plain", "--images", "0"], "cannot be 0"),
        (["plain", "--images", "5000"], "has 200 test images here, so 5000 of them cannot be taken"),
        (["plain", "--against-checkpoint", "0"], "name it with --against RUN"),
        (["plain", "--against", "dense", "--quantities", "lesions"], "only similarity compares two runs"),
        (["plain", "--against", "plain", "--against-checkpoint", "7"], "has no checkpoint at step 7"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, sentence, digit_nets, capsys):
    code, _, err = typed(["probe", *words, "--root", digit_nets], capsys)
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1


# the command


def test_a_log_has_a_line_for_every_table(digit_nets, capsys):
    words = [*command(["lesions", "growth", "architecture"], "plain"), "--root", digit_nets, "--images", 20]
    code, out, err = typed(words, capsys)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[1].startswith("growth: growth and compression are a matter of dense nets; this one is plain")
    assert lines[2].startswith("[1/2] architecture: ")
    assert lines[3].startswith("[2/2] lesions at step 12: ")
    assert lines[4].startswith("probed plain: 2 tables in ")
    assert Run(digit_nets / "plain").probes() == {"architecture": [0], "lesions": [12]}


def test_only_what_does_not_apply_is_an_error(digit_nets, capsys):
    code, out, _ = typed(["probe", "vgg", "--quantities", "path_gradients", "--root", digit_nets], capsys)
    assert code == 2
    assert "path_gradients: path lengths speak of sums of paths" in out


def test_a_part_that_cannot_be_measured_is_told_and_the_rest_is_kept(digit_nets, tmp_path, capsys):
    from labapp.training.loop import train

    about = {"imageset": "digits", "steps": 1, "batch_size": 16, "device": "cpu"}
    train(Experiment(family="dense", depth=10, growth_rate=4, norm="group", **about), tmp_path / "runs", run_id="group")
    words = ["probe", "group", "--quantities", "feature_reuse", "--checkpoints", "last", "--root", tmp_path / "runs"]
    code, out, _ = typed([*words, "--images", 16], capsys)
    assert code == 0
    assert "feature_reuse at step 1: bn-folded: bn-folded needs a batch norm" in out
    stored = Run(tmp_path / "runs" / "group").probe("feature_reuse", 1)
    assert set(stored["weighting"]) == {"weights", "activation", "gradient", "ablation"}


def test_two_runs_from_the_command_line(digit_nets, capsys):
    words = ["probe", "residual", "--against", "plain", "--checkpoints", "ends", "--images", 64, "--root", digit_nets]
    code, out, err = typed(words, capsys)
    assert (code, err) == (0, "")
    assert "[2/2] similarity+plain+12 at step 12: 36 rows" in out
    assert Run(digit_nets / "residual").probes() == {"similarity+plain+12": [0, 12]}


def test_what_costs_nothing_and_what_is_missing(digit_nets, capsys):
    run = Run(digit_nets / "dense")
    code, out, _ = typed(["probe", "dense", "--cheap", "--root", digit_nets], capsys)
    assert code == 0
    plans, weights = (
        ("architecture", "stages", "growth", "stacks", "accepted_sizes"),
        ("feature_reuse", "reuse_observations"),
    )
    assert run.probes() == {name: [0] for name in plans} | {name: run.checkpoints() for name in weights}
    assert set(run.probe("feature_reuse", 12)["weighting"]) == {"weights"}
    assert f"{len(plans) + 2 * len(run.checkpoints())} tables in" in out
    assert "0 tables in" in typed(["probe", "dense", "--cheap", "--root", digit_nets], capsys)[1]  # all is there

    words = ["probe", "dense", "--missing", "--quantities", *plans, *weights, "--images", 16, "--root", digit_nets]
    out = typed(words, capsys)[1]
    assert "4 tables in" in out  # of the ends only the cheap part was there
    assert set(run.probe("feature_reuse", 12)["weighting"]) > {"gradient", "ablation"}
    code, out, _ = typed(words, capsys)
    assert (code, "0 tables in" in out) == (0, True)


def test_a_training_measures_what_costs_nothing(tmp_path, capsys):
    small = ["--family", "plain", "--depth", 8, "--width", 4, "--steps", 2, "--imageset", "digits", "--batch-size", 8]
    for probe, there in (
        ("none", set()),
        ("cheap", {"architecture", "stages", "stacks", "accepted_sizes", "feature_reuse"}),
    ):
        code, _, err = typed(["train", *small, "--probe", probe, "--root", tmp_path / probe], capsys)
        assert (code, err) == (0, "")
        (run,) = list_runs(tmp_path / probe)
        assert set(run.probes()) == there
    assert run.probes()["feature_reuse"] == run.checkpoints()
