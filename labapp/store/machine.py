"""On which machine and with which versions does a process run, and is it still alive?

The first is what it takes to repeat a run, the second tells a run in progress from a killed one.
"""

import contextlib
import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

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
    pid = os.getpid()
    return {
        "started": datetime.now(UTC).isoformat(),
        "host": socket.gethostname(),
        "pid": pid,
        "process": process_identity(pid),
        "command": list(sys.argv),
    }


def is_alive(process: Mapping[str, Any]) -> bool | None:
    """Whether the process noted by `this_process` still runs; None when it belongs to another machine."""
    if process.get("host") != socket.gethostname():
        return None
    identity = process_identity(int(process.get("pid") or -1))
    return identity is not None and identity == process.get("process")


def process_identity(pid: int) -> str | None:
    """A string that tells a process from a later one with the same number; None when it has ended.

    On Linux "<boot id>/<clock ticks from boot to the start of the process>", which does not change when the clock is
    set; elsewhere the second of its start, as `ps -o lstart` prints it. run.json holds this string: keep its form.
    """
    try:
        booted, process = psutil.boot_time(), psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        began = process.create_time()
    except (psutil.Error, ValueError):  # ValueError: a negative number
        return None
    if not psutil.LINUX:
        return time.ctime(began)
    ticks = round((began - booted) * os.sysconf("SC_CLK_TCK"))  # both move by as much when the clock is set
    return f"{_BOOT.read_text().strip()}/{ticks}"


def _ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
