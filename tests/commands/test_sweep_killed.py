"""A sweep that is stopped or killed, and whose workers are: the same command goes on, and nothing is trained twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labapp.commands.cli import main
from labapp.commands.sweep.engines import ENGINES
from labapp.config.sweeps import read
from labapp.store import Run, list_runs, resume_points
from labapp.training.loop import train
from tests.commands.in_process import InProcess
from tests.training.interrupted import assert_equal

# Long enough to be met while it trains, which takes a second and more.
SWEEP = """
base: {depth: 8, width: 2, imageset: digits, steps: 300, batch_size: 16, record_every: 50, eval_every: 300,
       checkpoints: 12, train_images: 64, test_images: 40, device: cpu}
seeds: [0, 1, 2]
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "killed.yaml"
    path.write_text(SWEEP)
    return path


def begun(spec, root):
    command = [sys.executable, "-m", "labapp", "sweep", str(spec), "--jobs", "1", "--threads", "1", "--root", str(root)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)


def run_of(experiment, root, process, step=2):
    """The run of an experiment as soon as it has a checkpoint at a step."""
    until = time.monotonic() + 300  # a cluster on a busy machine takes its time
    while time.monotonic() < until:
        for run in list_runs(root) if root.exists() else ():
            if run.experiment == experiment and step in run.checkpoints():
                return run
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("nothing is trained")


@pytest.mark.timeout(480)  # five processes load torch, one after the other
def test_the_same_command_goes_on(spec, tmp_path, monkeypatch, capsys):
    root = tmp_path / "runs"
    first, second, third = (planned.experiment for planned in read(spec).planned)

    with begun(spec, root) as process:  # Ctrl-C: what runs ends at a whole step
        run = run_of(first, root, process)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopped: 0 of 3 are finished, 1 go on where they are; the same command goes on" in said
    assert "labapp: stopped" in said
    assert run.status == "stopped"
    stopped_at = resume_points(run.path)[0].step
    assert len(run.steps()) == stopped_at < 300

    with begun(spec, root) as process:  # kill -9 of a worker takes its training alone, of the sweep none that runs
        lost = run_of(second, root, process)
        os.kill(lost.attempts[-1]["pid"], signal.SIGKILL)
        kept = run_of(third, root, process)
        process.kill()
        assert "the process ended by itself (exit code -9); begun once more" in process.communicate()[0]
    assert Run(run.path).status == "finished"
    assert Run(lost.path).status == "interrupted"

    monkeypatch.setitem(ENGINES, "local", InProcess)
    assert main(["sweep", str(spec), "--root", str(root)]) == 0
    assert "killed: 3 finished" in capsys.readouterr().out
    assert {each.id for each in list_runs(root)} == {run.id, lost.id, kept.id}
    assert [len(Run(each.path).attempts) for each in (run, lost, kept)] == [2, 2, 1]
    assert_equal(train(second, tmp_path / "whole"), Run(lost.path))
