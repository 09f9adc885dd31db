"""Stopping what trains, wherever it was begun. Every training is a real process of its own."""

import json
import signal
import subprocess
import sys
import time

import pytest

from labapp.app import launch
from labapp.config import LabError
from labapp.store import list_runs
from tests.store.examples import edit

TINY = ["--family", "plain", "--depth", "8", "--width", "2", "--batch-size", "8", "--train-images", "16"]
TINY += ["--test-images", "8", "--checkpoints", "0", "--steps", "1000000"]
PATIENT = 120


def wait_until(condition):
    until = time.monotonic() + PATIENT
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
    return found


def training(root):
    return wait_until(lambda: next(iter([run for run in list_runs(root) if run.progress[0] > 0]), None))


@pytest.fixture(params=[pytest.param("in a terminal", marks=pytest.mark.long), "in the background of a script"])
def terminal(tmp_path, request):
    """A training that a user typed, and its run."""
    tmp_path = tmp_path / "runs"
    tmp_path.mkdir()
    ignore = (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if "script" in request.param else None
    with subprocess.Popen(
        [sys.executable, "-m", "labapp", "train", *TINY, "--root", str(tmp_path)], preexec_fn=ignore,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=launch.PROJECT, start_new_session=True,
    ) as process:  # fmt: skip
        yield training(tmp_path), process
        process.kill()


def test_a_training_begun_in_a_terminal_is_stopped_from_any_page(terminal, open_page, monkeypatch):
    run, process = terminal
    app = open_page(run.path.parent, "gradient_flow")
    assert launch.launch_of(run) is None
    with monkeypatch.context() as reading:
        reading.setenv("LABAPP_READ_ONLY", "1")
        with pytest.raises(LabError, match=f"stopping run '{run.id}' is not allowed"):
            launch.stop_run(run)
    app.button(key=f"stop-{run.id}").click().run()
    assert not app.exception
    assert process.wait(PATIENT) == 130
    assert (run.status, run.message) == ("stopped", "stopped by hand")
    with pytest.raises(LabError, match=f"run '{run.id}' is stopped, so there is nothing to stop"):
        launch.stop_run(run)


def test_a_training_begun_in_the_app_is_stopped_through_its_launch(tmp_path, open_page):
    job = launch.start(["train", *TINY], tmp_path, queued=True)
    run = training(tmp_path)
    found = launch.launch_of(run)
    assert found is not None
    assert found.id == job.id
    app = open_page(tmp_path, "gradient_flow")
    assert [button.key for button in app.button if str(button.key).startswith("stop-")] == [f"stop-{job.id}"]
    app.button(key=f"stop-{job.id}").click().run()
    wait_until(lambda: launch.load(job.path).status not in launch.UNENDED)
    assert (launch.load(job.path).status, run.status) == ("stopped", "stopped")


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        ({"machine": "another/pid:[1]", "host": "elsewhere"}, r"process \d+ runs on elsewhere, not on this machine"),
        ({"attempts": []}, ""),
    ],
)
def test_what_cannot_be_stopped_from_here_says_why(tmp_path, record, open_page, note, reason):
    run = record(tmp_path, steps=300, recorded=(0, 10), status=None)
    about = json.loads((run.path / "run.json").read_text())["attempts"][-1]
    edit(run.path, attempts=note["attempts"] if "attempts" in note else [about | note])
    if run.status != "running":  # nobody writes it
        with pytest.raises(LabError, match="there is nothing to stop"):
            launch.stop_run(run)
        return
    with pytest.raises(LabError, match=reason):
        launch.stop_run(run)
    button = open_page(tmp_path).button(key=f"stop-{run.id}")
    assert button.disabled
    assert "stop it there" in button.help


def queue(app):
    return [caption.value for caption in app.sidebar.caption if "one" in caption.value]


def test_what_waits_is_shown_in_its_order_and_removed_by_a_button(tmp_path, record, open_page, monkeypatch):
    monkeypatch.setenv(launch.JOBS, "1")
    record(tmp_path)
    first = launch.start(["train", *TINY], tmp_path, queued=True, title="the first")
    wait_until(lambda: launch.load(first.path).status == "running")
    jobs = [launch.start(["--version"], tmp_path, queued=True, title=f"{word} *one*") for word in ("an", "other")]
    app = open_page(tmp_path)
    assert queue(app) == [r"1\. an \*one\*", r"2\. other \*one\*"]
    app.button(key=f"stop-{jobs[0].id}").click().run()
    assert not app.exception
    wait_until(lambda: launch.load(jobs[0].path).status == "stopped")
    app.run()
    assert queue(app) == [r"1\. other \*one\*"]
    monkeypatch.setenv("LABAPP_READ_ONLY", "1")
    app.run()
    assert not [button for button in app.button if str(button.key).startswith("stop-")]
    monkeypatch.delenv("LABAPP_READ_ONLY")
    launch.stop(jobs[1])
    assert launch.stop(first, wait=PATIENT).status == "stopped"
