"""Whose processes are the launches of an archive, and which of them may be told to end?

Every process here is a real one; a launch of another machine is one whose files say so.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labapp.app import launch
from labapp.app.launch.supervisor import part, read, write
from labapp.config import LabError
from labapp.store.machine import SILENCE, noted, process_identity, send_signal, this_machine

SLEEP = ["sleep", "600"]  # which has no moment in which an interrupt meets an interpreter that is still starting
PATIENT = 120
PATHS = {"PYTHONPATH": str(launch.PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def sleeper():
    """A process in a group of its own, which nobody may touch."""
    with subprocess.Popen(SLEEP, start_new_session=True) as process:
        yield process
        process.kill()


def record_of(root: Path, **supervisor: object) -> launch.Launch:
    path = root / launch.FOLDER / "20260101-000000-train-aaaa.json"
    path.parent.mkdir()
    write(path, arguments=["train"], root=str(root), started=0.0)
    write(part(path, "supervisor"), **supervisor)
    return launch.load(path)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, "running"),
        ({"process": "another boot/1"}, "lost"),  # the number came round again
        ({"pid": -1}, "lost"),  # which would mean every process
        ({"pid": 0}, "lost"),  # which would mean the app's own group
        ({"pid": "1"}, "lost"),
        ({"pid": None}, "lost"),
    ],
)
def test_only_the_process_of_the_record_counts_and_is_told(tmp_path, sleeper, change, status):
    job = record_of(tmp_path, **noted(sleeper.pid) | change)
    assert job.status == status
    launch.stop(job, wait=PATIENT if status == "running" else 0)
    if status == "running":
        assert sleeper.wait(PATIENT) == -signal.SIGINT
    else:
        time.sleep(0.1)
        assert sleeper.poll() is None


@pytest.mark.parametrize("change", [{"machine": "another boot/pid:[1]"}, {"machine": None, "host": "another"}])
def test_what_runs_on_another_machine_is_never_told_and_is_lost_after_its_lease(tmp_path, sleeper, change):
    """Also where both machines have one name, and the very process is here: the number alone says nothing."""
    job = record_of(tmp_path, **noted(sleeper.pid) | change)
    write(part(job.path, "child"), **noted(sleeper.pid) | change)
    assert launch.load(job.path).status == "running"  # it gave a sign just now
    with pytest.raises(LabError, match=r"process \d+ runs on .*, not on this machine; stop it there"):
        launch.stop(job)
    for when in (time.time() - 2 * SILENCE, time.time() + 2 * SILENCE):  # silent, or a clock that was set back since
        for path in job.path.parent.iterdir():
            os.utime(path, (when, when))
        assert launch.load(job.path).status == "lost"
        assert launch.stop(job).status == "lost"
    assert sleeper.poll() is None


def test_the_child_of_a_killed_supervisor_is_seen_and_can_be_stopped(tmp_path):
    job = launch.start(["train", "--family", "plain", "--depth", "8", "--width", "2", "--steps", "1000000"], tmp_path)
    until = time.monotonic() + PATIENT
    while not (child := launch.load(job.path).child):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert child["process"] == process_identity(child["pid"])
    os.kill(job.supervisor["pid"], signal.SIGKILL)
    while process_identity(job.supervisor["pid"]) is not None:
        assert time.monotonic() < until
        time.sleep(0.02)
    job = launch.load(job.path)
    assert job.status == "running"
    assert launch.stop(job, wait=PATIENT).status == "lost"  # nobody is left to say how it ended
    assert process_identity(child["pid"]) != child["process"]


def test_a_supervisor_that_nobody_knows_begins_nothing(tmp_path):
    """As where the app is killed between the two lines that start and note it."""
    path = tmp_path / "job.json"
    write(path, arguments=["train"], root=str(tmp_path), started=0.0)
    code = (
        "import sys, supervisor; supervisor.KNOWN = 0.2; sys.exit(supervisor.supervise(supervisor.Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=launch.SUPERVISOR.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, sorted(tmp_path.iterdir())) == (1, [path])
    assert "start it again" in done.stdout


def test_no_file_of_a_launch_has_two_writers(tmp_path):
    """However late the parent notes the supervisor: what the supervisor says of the end stays."""
    job = launch.start(["train", "--family", "rezidual"], tmp_path)
    until = time.monotonic() + PATIENT
    while launch.load(job.path).status == "running":
        assert time.monotonic() < until
        time.sleep(0.02)
    write(part(job.path, "supervisor"), **job.supervisor)  # the parent again
    assert (launch.load(job.path).status, launch.load(job.path).returncode) == ("failed", 2)
    names = {path.name.removeprefix(job.id) for path in job.path.parent.iterdir()}
    assert names == {".json", ".log", ".supervisor.json", ".child.json", ".end.json"}
    assert set(read(job.path)) == {"arguments", "root", "started", "title"}


def test_many_writers_of_one_file_leave_a_whole_one(tmp_path):
    """A temporary name each, so that none replaces what another has half written."""
    path = tmp_path / "record.json"
    code = (
        "import sys; from pathlib import Path; import supervisor\n"
        "for turn in range(200): supervisor.write(Path(sys.argv[1]), who=sys.argv[2], turn=turn, much='x' * 20_000)"
    )
    command = [sys.executable, "-c", code, str(path)]
    writers = [subprocess.Popen([*command, str(n)], cwd=launch.SUPERVISOR.parent) for n in range(3)]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        with contextlib.suppress(FileNotFoundError):
            assert set(read(path)) == {"who", "turn", "much"}
            seen += 1
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert seen
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_of_an_older_lab_is_read(tmp_path, sleeper):
    folder = tmp_path / launch.FOLDER
    folder.mkdir()
    about = noted(sleeper.pid)
    old = {"arguments": ["starter"], "root": str(tmp_path), "started": 0.0, "pid": about["pid"], "host": about["host"]}
    (folder / "a.json").write_text(json.dumps(old | {"born": about["process"]}))
    (folder / "b.json").write_text(json.dumps(old | {"born": about["process"], "returncode": 0, "stopped": False}))
    (folder / "c.json").write_text(json.dumps(old | {"born": None}))
    assert {job.id: job.status for job in launch.launches(tmp_path)} == {"a": "running", "b": "finished", "c": "lost"}


def test_a_process_of_another_user_is_one_sentence(sleeper):
    """The first process of a system is root's; root itself asks as nobody."""
    pid = sleeper.pid if os.getuid() == 0 else 1
    code = (
        "import os, sys; from labapp.store.machine import noted, send_signal\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: send_signal(noted(int(sys.argv[1])), 2)\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(pid)], capture_output=True, text=True, check=False, env=PATHS
    )
    assert done.stdout == f"process {pid} belongs to another user, who alone can stop it\n", done.stderr
    assert sleeper.poll() is None


def test_a_number_that_is_given_again_between_the_look_and_the_signal_is_spared(monkeypatch, sleeper):
    """The process is held by a handle before it is looked at; one that ends meanwhile takes the handle with it."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("this system has no handles of processes")
    with subprocess.Popen(SLEEP) as first:
        note = noted(first.pid)
        first.kill()
        first.wait()
    with pytest.raises(ProcessLookupError):
        os.pidfd_open(note["pid"])
    handle = os.pidfd_open(sleeper.pid)  # stands in for what `first` once was: looked at in time, gone when told
    sleeper.kill()
    sleeper.wait()
    monkeypatch.setattr(os, "pidfd_open", lambda pid: handle)
    monkeypatch.setattr("labapp.store.machine.is_alive", lambda process: True)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("told by its number alone"))
    assert send_signal(note, signal.SIGINT) is False


def test_a_hidden_log_of_somebody_else_is_not_shown(tmp_path):
    (tmp_path / "secret").write_text("not for this page\n")
    job = record_of(tmp_path)
    job.log.symlink_to(tmp_path / "secret")
    assert job.tail() == []


def test_this_machine_has_a_name_of_its_own():
    assert this_machine() == this_machine() != ""
    if Path("/proc/self/ns/pid").exists():
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert this_machine() == f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
