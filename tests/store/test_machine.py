"""Is a process known again, and is a later one with its number not taken for it?"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from labapp.store import Run, lease
from labapp.store.machine import (
    SILENCE,
    ending_signal,
    is_alive,
    noted,
    process_identity,
    this_process,
    why_not_told,
)
from tests.store.examples import edit


def test_this_process_is_alive_and_its_record_says_which_it_is() -> None:
    process = this_process()
    assert process["pid"] == os.getpid()
    assert is_alive(process) is True
    assert is_alive(process | {"machine": "another boot/pid:[1]"}) is None
    assert is_alive(process | {"host": "renamed since"}) is True
    older = {name: value for name, value in process.items() if name != "machine"}  # of a lab that noted the name alone
    assert is_alive(older) is True
    assert is_alive(older | {"host": f"not-{socket.gethostname()}"}) is None


@pytest.mark.skipif(not psutil.LINUX, reason="reads /proc")
@pytest.mark.parametrize("pid", [1, os.getpid(), os.getppid()], ids=["first", "own", "parent"])
def test_an_identity_is_the_boot_and_the_ticks_that_proc_tells(pid: int) -> None:
    """What the runs recorded so far hold: the 22nd field of /proc/PID/stat after the id of the boot."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    assert process_identity(pid) == f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{ticks}"


@pytest.mark.skipif(not psutil.LINUX, reason="sets the boot time that psutil reads from /proc")
def test_setting_the_clock_changes_no_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil's time of a process's start moves with the clock; another clock is a /proc that says so."""
    before, began = process_identity(os.getpid()), psutil.Process().create_time()
    stat = Path("/proc/stat").read_text().splitlines()
    (tmp_path / "stat").write_text(
        "\n".join(f"btime {int(line.split()[1]) + 3600}" if line.startswith("btime") else line for line in stat)
    )
    (tmp_path / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    assert psutil.Process().create_time() == pytest.approx(began + 3600)
    assert process_identity(os.getpid()) == before


def test_elsewhere_an_identity_is_the_second_in_which_the_process_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `ps -o lstart` prints it, which the runs recorded so far on macOS hold."""
    monkeypatch.setattr(psutil, "LINUX", False)
    identity = process_identity(os.getpid())
    assert identity
    assert time.mktime(time.strptime(identity)) == int(psutil.Process().create_time())
    printed = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(os.getpid())],
        capture_output=True, text=True, check=True, env=os.environ | {"LC_ALL": "C"},
    )  # fmt: skip
    assert abs(time.mktime(time.strptime(printed.stdout.strip())) - time.mktime(time.strptime(identity))) <= 1


def test_a_process_that_ended_has_no_identity() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        until = time.monotonic() + 30
        while process_identity(child.pid) is not None:  # until it waits to be reaped
            assert time.monotonic() < until
            time.sleep(0.01)
    assert process_identity(child.pid) is None
    assert process_identity(-1) is None
    for process in ("then/1", None, "Mon Jan  1 00:00:00 2024"):
        assert is_alive(this_process() | {"process": process}) is False


SLEEP = "import signal, sys, time; signal.signal(signal.SIGINT, {}); print(flush=True); time.sleep(600)"


@pytest.mark.skipif(not psutil.LINUX, reason="reads /proc")
@pytest.mark.parametrize(
    ("handler", "number"),
    [
        ("signal.SIG_IGN", signal.SIGTERM),
        ("signal.default_int_handler", signal.SIGINT),
        ("signal.SIG_DFL", signal.SIGINT),
    ],
)
def test_a_command_that_ignores_ctrl_c_is_asked_to_terminate(handler: str, number: signal.Signals) -> None:
    """As one that a script began with `&`."""
    with subprocess.Popen([sys.executable, "-c", SLEEP.format(handler)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert ending_signal(noted(process.pid)) == number
        assert why_not_told(noted(process.pid)) == ""
        process.kill()
    assert ending_signal(noted(process.pid)) == signal.SIGINT  # gone


HOLD = """
import json, sys, time
from pathlib import Path
from labapp.config import Experiment
from labapp.store import RunWriter
writer = RunWriter.create(sys.argv[1], Experiment(), run_id="run")
print(flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("disk", ["local", "shared", "of another machine", "without a lock"])
def test_a_run_of_an_earlier_boot_is_interrupted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    """Its lock tells, wherever nobody but this machine can hold it; else signs do, for ten minutes."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        path = tmp_path / "run"
        about = Run(path).attempts[-1] | {"machine": "another boot/pid:[1]"}
        if disk == "of another machine":
            about["host"] = "another"
        edit(path, attempts=[about])
        if disk == "shared":
            monkeypatch.setattr(lease, "LOCAL", set())
            lease._is_local.cache_clear()
        if disk == "without a lock":
            (path / lease.LOCK).unlink()
        assert Run(path).status == "running"
        process.kill()
    assert Run(path).status == ("interrupted" if disk == "local" else "running")
    silent = time.time() - 2 * SILENCE
    os.utime(path / "run.json", (silent, silent))
    assert Run(path).status == "interrupted"
    lease._is_local.cache_clear()
