"""On which machine, with which versions, and is that process still alive?

What a run needs to know to be repeated, and what a reader needs to know to tell a run in progress from a killed one.
"""

from __future__ import annotations

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
    """Versions, machine, cores and git commit of this process."""
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
    """What `is_alive` needs to know this process by."""
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
    """What tells a process from a later one with the same number; None when it is gone or only waits to be reaped.

    On Linux the boot and the clock ticks from it to the process's start, which stay as they are when the clock is set;
    elsewhere the time of its start to the second, as `ps -o lstart` prints it. Runs keep this string.
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
