"""Going on with a training from the command line."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labapp.commands.cli import main
from labapp.store import Run, list_runs, resume_points
from labapp.training.beginnings import ResumeWarning
from labapp.training.loop import train
from tests.store.examples import edit
from tests.training.interrupted import assert_equal, interrupted
from tests.training.small import small

DIGITS = {"imageset": "digits", "steps": 8, "record_every": 3}


def typed(words, capsys, code=0):
    """What a command prints, and what it complains about."""
    assert main(words) == code
    return capsys.readouterr()


def test_a_run_goes_on_by_its_name_and_is_measured(tmp_path, capsys):
    whole = train(small(**DIGITS), tmp_path / "whole", run_id="whole")
    cut = interrupted(tmp_path / "runs", 6, **DIGITS)
    out, _ = typed(["runs", "show", "cut", "--root", str(tmp_path / "runs")], capsys)
    assert "`labapp resume cut` goes on at step 5" in out
    out, err = typed(["resume", "residual-8", "--root", str(tmp_path / "runs")], capsys)
    assert err == ""
    assert "cut goes on at step 5 of 8; loading torch" in out
    assert "residual-8: step 8/8, loss" in out
    assert "finished in" in out
    assert "architecture" in cut.probes()
    assert_equal(whole, cut)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "which run? `labapp runs list` shows them, `labapp resume RUN` goes on with one"),
        (["nothing"], "there is no run 'nothing' in"),
        (["over"], "run 'over' is finished: its training has ended, so there is nothing to resume"),
        (["lost"], "run 'lost' diverged"),
        (["cut", "--keep-every", "-1"], "keep_every is a number of seconds, 0 or above"),
        (["cut", "--keep-evry", "1"], "`labapp resume` has no option --keep-evry (did you mean '--keep-every'?)"),
        (["cut", "--probe", "some"], "--probe"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(tmp_path, capsys, words, sentence):
    for name, status in (("cut", "failed"), ("over", "finished"), ("lost", "diverged")):
        edit(interrupted(tmp_path, 2, run_id=name, **DIGITS).path, status=status)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    _, err = typed(["resume", *words, "--root", str(tmp_path)], capsys, code=2)
    assert err.startswith("labapp: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_it_begins_again_where_that_is_asked_for(tmp_path, capsys):
    whole = train(small(**DIGITS), tmp_path / "whole", run_id="whole")
    cut = interrupted(tmp_path, 6, **DIGITS)
    out, err = typed(["resume", "cut", "--from-start", "--probe", "none", "--root", str(tmp_path)], capsys)
    assert "cut goes on at step 0 of 8" in out
    assert err == ""
    assert_equal(whole, Run(cut.path))


def test_a_damaged_state_is_told(tmp_path, capsys):
    cut = interrupted(tmp_path, 6, **DIGITS)
    resume_points(cut.path)[0].weights.write_bytes(b"")
    with pytest.warns(
        ResumeWarning, match=r"run 'cut' cannot go on from step 5: _resume/step-00000005.saf.* is damaged"
    ):
        typed(["resume", "cut", "--root", str(tmp_path)], capsys)
    assert Run(cut.path).attempts[-1]["from_step"] == 2


@pytest.mark.long
def test_a_termination_stops_all_processes_where_the_training_can_go_on(tmp_path):
    """Only their parent is asked; Ctrl-C at a single process is among the endings of a training."""
    options = (
        "--imageset digits --depth 8 --width 4 --steps 100000 --batch-size 16 --train-images 64 --test-images 40 "
        "--eval-every 50000 --record-every 2 --checkpoints 0 --device cpu --keep-every inf --devices 2"
    )
    command = [sys.executable, "-m", "labapp", "train", *options.split(), "--root", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("*/steps/**/*.parquet")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.terminate()
        _, complaint = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "labapp: stopped; what was recorded until now is in the archive\n" in complaint
    (run,) = list_runs(tmp_path)
    assert (run.status, run.message) == ("stopped", "stopped by hand")
    steps = run.steps()["step"].tolist()
    assert steps == list(range(len(steps)))
    assert resume_points(run.path)[0].step == len(steps)  # nothing is lost
