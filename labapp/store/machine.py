"""On which machine and with which versions does a process run, is it still alive, and how is it told to end?

The first is what it takes to repeat a run, the second tells a run in progress from a killed one. A process is known by
machine, boot, number and start: none of them changes when the clock is set.
"""

import contextlib
import functools
import importlib.metadata
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from labapp.config import LabError

SILENCE = 600.0  # seconds without a sign after which what runs on another machine counts as lost
_BOOT = Path("/proc/sys/kernel/random/boot_id")
PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "pandas", "pyarrow")  # asked for without importing


def environment() -> dict[str, Any]:
    """Versions of Python and of the packages, the machine, its cores, and the git commit of this code."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "git": git_commit(Path(__file__).parent),
    }


def git_commit(folder: Path) -> str | None:
    """The commit the code in a folder is at, with "+" when files differ from it; None outside a repository."""
    try:
        commit = _ask("git", "-C", str(folder), "rev-parse", "HEAD")
        return commit + ("+" if _ask("git", "-C", str(folder), "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def this_process() -> dict[str, Any]:
    """When and where this process began, its number and its identity, for `is_alive` to know it by."""
    return {"started": datetime.now(UTC).isoformat(), **noted(os.getpid()), "command": list(sys.argv)}


def noted(pid: int) -> dict[str, Any]:
    """Where a process of this machine runs and which it is: what `is_alive` and `send_signal` know it by."""
    return {"host": socket.gethostname(), "machine": this_machine(), "pid": pid, "process": process_identity(pid)}


@functools.cache
def this_machine() -> str:
    """A string that tells this machine from another of the same name, until it is booted again.

    On Linux "<boot id>/<the namespace of its process numbers>", because two containers may share a boot; on macOS the
    id of the boot; elsewhere the machine's name.
    """
    with contextlib.suppress(OSError):
        return f"{_BOOT.read_text().strip()}/{os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - no path
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return _ask("sysctl", "-n", "kern.bootsessionuuid")
    return socket.gethostname()


def is_alive(process: Mapping[str, Any]) -> bool | None:
    """Whether the process of a note still runs.

    None where this process cannot tell: it belongs to another machine, another boot, or to another user whose processes
    the system hides. Then only its signs tell (`gave_sign`).
    """
    pid = _number(process)
    if pid < 0:
        return False
    if not is_here(process):
        return None
    identity = process_identity(pid)
    if identity is None and _is_hidden(pid):
        return None
    return identity is not None and identity == process.get("process")


def gave_sign(when: float) -> bool:
    """Whether a file's time is a sign of life; one from the future is none, because a clock was set since."""
    return abs(time.time() - when) < SILENCE


def is_here(process: Mapping[str, Any]) -> bool:
    """Whether the process of a note is one of this machine; a note of an older lab has the machine's name alone."""
    if process.get("machine"):
        return bool(process["machine"] == this_machine())
    return is_namesake(process)


def send_signal(process: Mapping[str, Any], number: signal.Signals) -> bool:
    """Signal the process of a note, never another that has its number today; whether it was there.

    Raises:
        LabError: It belongs to another machine, or to another user.
    """
    pid = _number(process)
    if not is_here(process):
        raise LabError(_elsewhere(process))
    handle = None
    try:
        with contextlib.suppress(
            AttributeError, OSError
        ):  # newer Linux; it holds this very process, whoever gets the number later
            handle = os.pidfd_open(pid) if pid > 0 else None
        alive = is_alive(process)
        if alive is None:
            raise PermissionError
        if not alive:
            return False
        if handle is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        raise LabError(_SOMEBODYS.format(pid)) from None
    finally:
        if handle is not None:
            os.close(handle)
    return True


_SOMEBODYS = "process {} belongs to another user, who alone can stop it"


def _elsewhere(process: Mapping[str, Any]) -> str:
    return f"process {_number(process)} runs on {process.get('host')}, not on this machine; stop it there"


def why_not_told(process: Mapping[str, Any]) -> str:
    """Why the process of a note cannot be signalled from here, in a sentence; "" where nothing is in the way."""
    pid = _number(process)
    if not is_here(process):
        return _elsewhere(process)
    return _SOMEBODYS.format(pid) if is_alive(process) is not False and _is_hidden(pid) else ""


def is_namesake(process: Mapping[str, Any]) -> bool:
    """Whether the process of a note ran on a machine of this one's name; this one, before it was booted again, say."""
    return process.get("host") == socket.gethostname()


def ending_signal(process: Mapping[str, Any]) -> signal.Signals:
    """What asks the process of a note to end in order: Ctrl-C, or a termination where it was told to ignore that.

    A command that a script began in the background ignores Ctrl-C from its start.
    """
    with contextlib.suppress(OSError, StopIteration, ValueError):
        said = Path(f"/proc/{_number(process)}/status").read_text().splitlines()
        ignored = int(next(line for line in said if line.startswith("SigIgn:")).split()[1], 16)
        return signal.SIGTERM if ignored >> (signal.SIGINT - 1) & 1 else signal.SIGINT
    return signal.SIGINT


def process_identity(pid: int) -> str | None:
    """A string that tells a process from a later one with the same number; None when it has ended.

    On Linux "<boot id>/<clock ticks from boot to the start of the process>", which does not change when the clock is
    set; elsewhere the second of its start, as `ps -o lstart` prints it. run.json holds this string: keep its form.
    """
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        if not psutil.LINUX:
            return time.ctime(process.create_time())
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return f"{_BOOT.read_text().strip()}/{fields[19]}"  # the 22nd; behind the name, which may hold anything
    except (psutil.Error, ValueError, OSError, OverflowError):  # ValueError: a negative number
        return None


def _number(process: Mapping[str, Any]) -> int:
    """The process number of a note; -1, which no process has, where there is none."""
    pid = process.get("pid")
    return pid if isinstance(pid, int) and 0 < pid < 2**31 else -1


def _is_hidden(pid: int) -> bool:
    """Whether there is a process of this number that belongs to another user."""
    try:
        os.kill(pid, 0) if pid > 0 else None
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
