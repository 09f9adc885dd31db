"""The laboratory started as a real process, watched and stopped."""

import contextlib
import json
import os
import signal
import time

import pytest

from labapp.app import launch
from labapp.app.launch.supervisor import part, write
from labapp.app.running import how_far
from labapp.config import Experiment, LabError
from labapp.store import Run, list_runs

TINY = ["--family", "plain", "--depth", "8", "--width", "2", "--batch-size", "8", "--train-images", "16"]
TINY += ["--test-images", "8", "--checkpoints", "0"]
PATIENT = 120  # seconds; importing torch on a busy machine takes many of them


@pytest.fixture(autouse=True)
def nothing_left(tmp_path):
    """Whatever a test leaves running is ended with it."""
    yield
    for job in launch.running(tmp_path):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.supervisor["pid"], signal.SIGKILL)
    while any(launch.load(job.path).status in launch.UNENDED for job in launch.launches(tmp_path)):
        time.sleep(0.05)


def wait_until(condition, seconds=PATIENT):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.1)
    return found


def ended(job):
    wait_until(lambda: launch.load(job.path).status not in launch.UNENDED)
    return launch.load(job.path)


@pytest.mark.long
def test_a_training_runs_to_its_end_and_leaves_a_run(tmp_path):
    job = launch.start(["train", *TINY, "--steps", "2"], tmp_path)
    assert job.status == "running"
    assert job.log.parent == tmp_path / ".launches"
    assert launch.running(tmp_path)[0].id == job.id
    job = ended(job)
    assert (job.status, job.returncode) == ("finished", 0), job.tail()
    assert not launch.running(tmp_path)
    (run,) = list_runs(tmp_path)  # the launches' own folder is not taken for a run
    assert (run.status, run.progress) == ("finished", (2, 2))


def test_a_refusal_is_kept_in_its_own_words(tmp_path):
    job = ended(launch.start(["train", "--family", "rezidual"], tmp_path))
    assert (job.status, job.returncode) == ("failed", 2)
    assert "did you mean 'residual'?" in " ".join(job.tail(3))
    assert not any("Traceback" in line for line in job.tail(50))


@pytest.mark.long
def test_stop_ends_a_training_in_order(tmp_path):
    job = launch.start(["train", *TINY, "--steps", "1000000"], tmp_path)
    wait_until(lambda: any(run.progress[0] > 0 for run in list_runs(tmp_path)))
    job = launch.stop(job, wait=PATIENT)
    assert job.status == "stopped", job.tail()
    (run,) = list_runs(tmp_path)
    assert run.status == "stopped"
    assert 0 <= run.progress[0] - len(run.steps(columns=["step"])) <= 1  # a stop may fall between a step and its row
    assert launch.stop(job).status == "stopped"  # again does no harm


@pytest.mark.long
def test_another_app_sees_the_launch_and_can_stop_it(tmp_path):
    """What is known of a launch lies in the archive, not in the process that began it."""
    job = launch.start(["train", *TINY, "--steps", "1000000"], tmp_path)
    wait_until(lambda: list_runs(tmp_path))
    kept, launch.children[:] = launch.children[:], []  # as after a restart
    try:
        (seen,) = launch.running(tmp_path)
        assert (seen.id, seen.arguments[0]) == (job.id, "train")
        assert launch.stop(seen, wait=PATIENT).status == "stopped"
    finally:
        launch.children[:] = kept


def test_a_second_starter_is_refused_while_one_runs(tmp_path):
    job = launch.start(["starter"], tmp_path)
    with pytest.raises(LabError, match="is already being recorded into"):
        launch.start(["starter"], tmp_path)
    assert launch.stop(job, wait=PATIENT).status == "stopped"
    assert len(launch.launches(tmp_path)) == 1


def test_the_starter_begins_once_and_goes_on_after_an_interruption(tmp_path, record):
    archive = tmp_path / "runs"
    job = launch.begin_starter(archive)
    assert job is not None
    assert job.arguments == ("starter",)
    assert launch.begin_starter(archive) is None  # it runs
    launch.stop(job, wait=PATIENT)
    again = launch.begin_starter(archive)
    assert again is not None  # the app is opened again: it goes on
    launch.stop(again, wait=PATIENT)
    write(part(again.path, "end"), returncode=0, stopped=False)
    assert launch.load(again.path).status == "finished"
    assert launch.begin_starter(archive) is None
    record(tmp_path / "others")
    assert launch.begin_starter(tmp_path / "others") is None


@pytest.mark.parametrize(
    ("line", "share", "words"),
    [
        ("[3/12] 41 %, 80 s left: training residual-56, step 20 of 300", 0.41, " · 3 of 12 done · 1 min 20 s left"),
        ("[0/12] 1 %: training plain-20, begins", 0.01, " · 0 of 12 done"),
        ("[3/9] 41 %, 80 s left, 1 failed: training plain-56", 0.41, " · 3 of 9 done · 1 min 20 s left"),
        ("[2/5] lesions at step 6: 9 rows", None, ", 2 of 5"),
        ("loading torch …", None, ""),
    ],
)
def test_how_far_a_launch_is_can_be_read_from_its_log(line, share, words):
    assert how_far(["torch is loaded", line, "[4/12] training plain-20: done", "a remark"]) == (share, words)


def test_a_supervisor_that_was_killed_is_lost(tmp_path):
    job = launch.start(["train", *TINY, "--steps", "1000000"], tmp_path)
    os.killpg(job.supervisor["pid"], signal.SIGKILL)
    assert ended(job).status == "lost"


def test_a_launch_whose_app_died_before_it_began_is_lost(tmp_path):
    path = tmp_path / launch.FOLDER / "20260101-000000-train-aaaa.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"arguments": ["train"], "root": str(tmp_path), "started": 0.0}))
    assert launch.load(path).status == "lost"
    assert launch.stop(launch.load(path)).status == "lost"


def test_an_archive_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match=r"nothing can be recorded into .*file") as caught:
        launch.start(["starter"], tmp_path / "file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ['{"argu', "", "[]", "3", "null", '{"arguments": [], "started": 0}', '{"arguments": ["train"], "started": NaN}',
     '{"arguments": ["train"], "started": "now"}', '{"arguments": 3, "started": 0}', '{"started": 0}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_record_is_passed_over(tmp_path, text):
    folder = tmp_path / launch.FOLDER
    folder.mkdir()
    (folder / "20260101-000000-train-aaaa.json").write_text(text)
    assert launch.launches(tmp_path) == []


@pytest.mark.parametrize(
    "text", ['{"pi', "", "[]", '{"pid": "x"}', '{"pid": [1], "machine": {}}', '{"returncode": "x"}']
)
@pytest.mark.parametrize("name", ["supervisor", "child", "end"])
def test_a_damaged_part_of_a_record_says_nothing(tmp_path, name, text):
    path = tmp_path / launch.FOLDER / "20260101-000000-train-aaaa.json"
    path.parent.mkdir()
    write(path, arguments=["train"], root=str(tmp_path), started=0.0)
    part(path, name).write_text(text)
    (job,) = launch.launches(tmp_path)
    assert job.status == "lost"
    assert launch.stop(job).status == "lost"


def test_an_archive_without_launches(tmp_path):
    assert launch.launches(tmp_path / "nowhere") == []


def test_the_log_is_read_from_its_end(tmp_path):
    job = launch.Launch(tmp_path / "a.json", ("train",), 0.0, returncode=0)
    assert job.tail() == []
    job.log.write_bytes(b"x" * 100_000 + b"\nfirst\r50 %\r100 %\n\n  last \xff \n")
    assert job.tail(3) == ["50 %", "100 %", "  last \ufffd"]


def test_the_command_says_what_was_chosen_and_nothing_else(tmp_path):
    chosen = Experiment(family="plain", depth=56, learning_rate=0.05, nesterov=True, imageset="digits")
    words = launch.arguments_for(chosen)
    assert words[0] == "train"
    assert " ".join(words[1:]) == "--depth 56 --family plain --imageset digits --learning-rate 0.05 --nesterov"


def test_the_command_trains_that_very_experiment(tmp_path):
    chosen = Experiment(
        family="dense", depth=10, growth_rate=2, bottleneck=True, compression=0.5, steps=1, batch_size=8,
        train_images=16, test_images=8, nesterov=False, seed=7, checkpoints=0,
    )  # fmt: skip
    job = ended(launch.start(launch.arguments_for(chosen), tmp_path))
    assert job.status == "finished", job.tail()
    assert Run(list_runs(tmp_path)[0].path).experiment == chosen
