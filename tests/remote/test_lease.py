"""A run in S3 has one writer, whatever machines want to be it: conditional writing stands in for the lock."""

import signal
import subprocess
import sys

import pytest

from labapp.config import Experiment, LabError, place
from labapp.store import Run, RunWriter, find_run, list_runs, send_left
from labapp.store.lease import Lease, lease_on
from tests.store.examples import make, one_step

KILLED = """
import os, signal
from labapp.config import Experiment
from labapp.store import RunWriter

writer = RunWriter.create("s3://bucket/runs", Experiment(), run_id="run")
writer.write("steps", {"step": [0, 1], "loss": [2.0, 1.0]})
writer.flush()
writer._lease._send(writer._lease._packed())
writer.write("steps", {"step": [2], "loss": [1.0]})
writer.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def cut(archive):
    """As `killed`, without a process that dies: what holds its locks lets go."""
    writer = RunWriter.create(archive, Experiment(), run_id="run")
    writer.write("steps", {"step": [0, 1], "loss": [2.0, 1.0]})
    writer.flush()
    writer._lease._send(writer._lease._packed())
    writer.write("steps", one_step(2))
    writer.flush()
    Lease.release(writer._lease)
    return writer.path


@pytest.fixture
def killed(archive):
    """A run whose process was killed after something had been sent, and something else had not."""
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return place(archive) / "run"


def test_of_two_that_make_one_run_one_does(archive, machine):
    make(archive, "run")
    with machine("two"), pytest.raises(LabError, match="s3://bucket/runs/run is there already; choose another id"):
        RunWriter.create(archive, Experiment(), run_id="run")
    with machine("two"):
        assert [run.status for run in list_runs(archive)] == ["finished"]
        assert [path.name for path in place(archive).iterdir() if path.name.startswith(".new")] == []


def test_of_two_that_take_a_run_up_one_does(cut, archive, machine):
    with machine("two"):
        two = lease_on(find_run("run", archive).path)
        two.take()
    with machine("three"):
        other = RunWriter(find_run("run", archive).path)
        assert other.run.steps()["step"].tolist() == [0, 1]  # what was never sent is on its machine
        other.finish("stopped")
    with machine("two"), pytest.raises(LabError, match="'run' is being written by another process"):
        two.saved()


def test_a_writer_that_lost_its_run_sends_nothing_more(archive, machine):
    one = RunWriter.create(archive, Experiment(), run_id="run")
    one.write("steps", one_step(0))
    one.flush()
    one._lease._send(one._lease._packed())
    with machine("two"):
        two = RunWriter(find_run("run", archive).path)
    with machine("one"):
        one.write("steps", one_step(1))
        with pytest.raises(LabError, match=r"taken over or removed at s3://bucket/runs/run; .* lies in .*/one/"):
            one.finish()
        assert len(Run(one.path).steps()) == 2  # and is not lost
    with machine("two"):
        two.write("steps", {"step": [0], "loss": [9.0]})
        two.finish()
    with machine("three"):
        run = find_run("run", archive)
        assert (run.steps()["loss"].tolist(), run.problems, len(run.attempts)) == ([9.0], [], 2)
    with (
        machine("one"),
        pytest.raises(LabError, match=r"somebody went on with run 'run' at .*; what this machine recorded"),
    ):
        RunWriter(one.path)


def test_after_a_kill_the_same_machine_goes_on_with_all_that_it_has(killed, archive, machine):
    with machine("one"):
        run = find_run("run", archive)
        assert run.steps()["step"].tolist() == [0, 1, 2]
        again = RunWriter(run.path, from_step=2)
        again.write("steps", {"step": [2, 3], "loss": [0.5, 0.4]})
        again.finish()
    with machine("two"):
        there = find_run("run", archive)
        assert there.steps()["step"].tolist() == [0, 1, 2, 3]
        assert there.steps()["loss"].tolist() == pytest.approx([2.0, 1.0, 0.5, 0.4])
        assert there.problems == []


def test_what_a_killed_process_left_is_sent_by_a_command(cut, archive, machine):
    with machine("one"):
        assert send_left(archive) == (["run"], [])
    with machine("two"):
        assert find_run("run", archive).steps()["step"].tolist() == [0, 1, 2]


def test_a_kill_between_two_requests_costs_no_run(cut, archive, machine):
    """run.json was sent, and the process died before it could note that."""
    (cut / ".remote" / "known.json").unlink()
    with machine("one"):
        RunWriter(find_run("run", archive).path).finish()
    with machine("two"):
        assert find_run("run", archive).steps()["step"].tolist() == [0, 1, 2]
