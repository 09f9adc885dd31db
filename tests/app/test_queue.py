"""Launches that wait for their turn. Every one is a real process; what they do is quick, or ends when it is told."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

import labapp
from labapp.app import launch
from labapp.app.launch.supervisor import part, read
from labapp.config import LabError
from labapp.store.machine import process_identity

QUICK = ["--version"]  # a moment, without torch
LONG = ["train", "--family", "plain", "--depth", "8", "--width", "2", "--steps", "1000000", "--train-images", "64"]
PATIENT = 120  # seconds, on a busy machine


@pytest.fixture(autouse=True)
def nothing_left(tmp_path, monkeypatch):
    """One at a time; whatever a test leaves is ended with it."""
    monkeypatch.setenv(launch.JOBS, "1")
    yield
    for job in launch.running(tmp_path):
        for process in (job.child, job.supervisor):
            with contextlib.suppress(ProcessLookupError, KeyError):
                os.kill(process["pid"], signal.SIGKILL)
    while launch.running(tmp_path):
        time.sleep(0.02)


def queue(root, *, words=QUICK, title=""):
    return launch.start(words, root, queued=True, title=title)


def wait_until(condition, seconds=PATIENT):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
    return found


def status(job):
    return launch.load(job.path).status


def ended(job):
    wait_until(lambda: status(job) not in launch.UNENDED)
    return launch.load(job.path)


def when(job):
    """When a launch began and ended."""
    return part(job.path, "child").stat().st_mtime, read(part(job.path, "end"))["ended"]


@pytest.fixture
def occupied(tmp_path):
    """An archive in which one long launch computes."""
    job = queue(tmp_path, words=LONG)
    wait_until(lambda: status(job) == "running")
    return job


def test_one_after_another_in_the_order_in_which_they_came(tmp_path):
    jobs = [queue(tmp_path, title=f"number {number}") for number in range(2)]
    assert [job.title for job in jobs] == ["number 0", "number 1"]
    times = [when(ended(job)) for job in jobs]
    assert all(one[1] <= two[0] for one, two in pairwise(times)), times


def test_what_waits_stands_in_its_order_and_can_be_taken_out(tmp_path, occupied):
    jobs = [queue(tmp_path) for _ in range(3)]
    assert [status(job) for job in (occupied, *jobs)] == ["running", "waiting", "waiting", "waiting"]
    assert [job.id for job in launch.waiting(tmp_path)] == [job.id for job in jobs]
    assert launch.stop(jobs[1], wait=PATIENT).status == "stopped"
    assert not part(jobs[1].path, "child").exists()  # it never began
    assert [job.id for job in launch.waiting(tmp_path)] == [jobs[0].id, jobs[2].id]
    assert launch.stop(occupied, wait=PATIENT).status == "stopped"
    assert [ended(job).status for job in jobs] == ["finished", "stopped", "finished"]


def test_two_at_a_time_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.setenv(launch.JOBS, "2")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    jobs = [queue(tmp_path, words=LONG) for _ in range(3)]
    wait_until(lambda: [status(job) for job in jobs] == ["running", "running", "waiting"])
    pid = launch.load(jobs[1].path).child["pid"]  # the first may have begun when it was alone
    said = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert {f"OMP_NUM_THREADS={max(1, launch.cores() // 2)}".encode(), b"OMP_WAIT_POLICY=passive"} <= set(said)


BEGIN = """
import os, signal, sys
from labapp.app import launch
for number in range(2):
    launch.start(["--version"], sys.argv[1], queued=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_queue_goes_on_when_the_app_is_killed(tmp_path, occupied):
    began = subprocess.run([sys.executable, "-c", BEGIN, str(tmp_path)], check=False)
    assert began.returncode == -signal.SIGKILL
    jobs = launch.waiting(tmp_path)  # another app sees them
    assert len(jobs) == 2
    launch.stop(occupied)
    assert [ended(job).status for job in jobs] == ["finished"] * 2


@pytest.mark.long
def test_two_apps_at_once_start_nothing_twice_and_never_more_than_there_are_cores(tmp_path):
    apps = [subprocess.Popen([sys.executable, "-c", BEGIN, str(tmp_path)]) for _ in range(2)]
    for app in apps:
        app.wait()
    jobs = launch.launches(tmp_path)
    assert len(jobs) == 4
    times = sorted(when(ended(job)) for job in jobs)
    assert all(one[1] <= two[0] for one, two in pairwise(times)), times
    assert [job.log.read_text().count(labapp.__version__) for job in jobs] == [1] * 4


@pytest.mark.parametrize("whom", ["supervisor", "child"])
def test_a_process_that_was_killed_holds_up_nobody(tmp_path, occupied, whom):
    waits, behind = queue(tmp_path), queue(tmp_path)
    os.kill(waits.supervisor["pid"], signal.SIGKILL)  # one that waits
    wait_until(lambda: status(waits) == "lost")
    job = launch.load(occupied.path)
    if whom == "child":
        os.kill(job.child["pid"], signal.SIGKILL)
        assert ended(job).status == "failed"
    else:
        os.kill(job.supervisor["pid"], signal.SIGKILL)
        time.sleep(0.5)
        assert status(behind) == "waiting"  # what the supervisor had begun still computes
        launch.stop(job)
        wait_until(lambda: process_identity(job.child["pid"]) != job.child["process"])
    assert ended(behind).status == "finished"
    assert status(waits) == "lost"


def test_what_runs_at_once_does_not_wait_but_counts(tmp_path):
    at_once = launch.start(LONG, tmp_path)
    waits = queue(tmp_path)
    wait_until(lambda: status(at_once) == "running")
    time.sleep(0.5)
    assert status(waits) == "waiting"
    launch.stop(at_once)
    assert ended(waits).status == "finished"


def test_who_may_not_write_neither_waits_nor_takes_anything_out(tmp_path, occupied, monkeypatch):
    waits = queue(tmp_path)
    monkeypatch.setenv("LABAPP_READ_ONLY", "1")
    with pytest.raises(LabError, match="starting `labapp --version` is not allowed"):
        queue(tmp_path)
    with pytest.raises(LabError, match="stopping `labapp --version` is not allowed"):
        launch.stop(waits)
    assert status(waits) == "waiting"
    assert len(launch.launches(tmp_path)) == 2


def test_a_run_that_waits_to_be_resumed_is_not_queued_again(tmp_path, occupied):
    queue(tmp_path, words=["resume", "cut"])
    with pytest.raises(LabError, match="run 'cut' is just being resumed"):
        queue(tmp_path, words=["resume", "cut"])


def test_too_many_are_refused(tmp_path, occupied, monkeypatch):
    monkeypatch.setattr(launch, "MOST", 1)
    queue(tmp_path)
    with pytest.raises(LabError, match="1 experiments wait already"):
        queue(tmp_path)


@pytest.mark.parametrize("said", ["0", "-1", "two", "1.5"])
def test_how_many_at_once_is_a_number(tmp_path, monkeypatch, said):
    monkeypatch.setenv(launch.JOBS, said)
    with pytest.raises(LabError, match=f"LABAPP_JOBS is how many trainings compute at once, so it cannot be '{said}'"):
        queue(tmp_path)
    assert launch.launches(tmp_path) == []
