"""What is known of the launches of an archive, by the files that they left there?"""

from __future__ import annotations

import contextlib
import math
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labapp.app.launch.supervisor import KNOWN, part, read
from labapp.config import place
from labapp.store.files import files
from labapp.store.machine import gave_sign, is_alive

FOLDER = ".launches"
UNENDED = ("waiting", "running")


@dataclass(frozen=True)
class Launch:
    """A command that was started by `start`, as its record says."""

    path: Path
    arguments: tuple[str, ...]
    started: float
    supervisor: dict[str, Any] = field(default_factory=dict)  # which process it is, see `labapp.store.machine.noted`
    child: dict[str, Any] = field(default_factory=dict)  # the one that does it
    alive: bool = False  # whether one of them was seen when this was read
    returncode: int | None = None
    stopped: bool = False
    title: str = ""  # what it is about, in words
    queued: bool = False  # whether it waits for its turn

    @property
    def id(self) -> str:
        """The name of its record."""
        return self.path.stem

    @property
    def log(self) -> Path:
        """What the command printed."""
        return self.path.with_suffix(".log")

    @property
    def status(self) -> str:
        """waiting, running, finished, failed, stopped, or lost (its supervisor could not say how it ended)."""
        if self.returncode is not None:
            return "stopped" if self.stopped else "failed" if self.returncode else "finished"
        if self.alive:
            return "waiting" if self.queued and not self.child else "running"
        return "lost"

    def tail(self, lines: int = 12) -> list[str]:
        """The last lines that the command printed, without empty ones."""
        if self.log.is_symlink() or not self.log.is_file():  # an archive of somebody else's may name any file
            return []
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 64_000))
            text = file.read().decode(errors="replace")
        return [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()][-lines:]


def load(path: Path) -> Launch:
    """The launch of a record, as it is now.

    Raises:
        ValueError: It is no record; so do KeyError and TypeError.
        OSError: It cannot be read.
    """
    _reap()
    record = read(path)
    arguments, started = tuple(map(str, record["arguments"])), float(record["started"])
    if not arguments or not math.isfinite(started):
        raise ValueError(f"{path} says neither what was started nor when")
    supervisor, child = _said(path, "supervisor") or _of_older_lab(record), _said(path, "child")
    alive = any(_lives(path, process) for process in (supervisor, child) if process)
    if not supervisor:  # it is just being started
        alive = abs(time.time() - started) < KNOWN
    end = record | _said(path, "end")  # looked at last: it is written before the supervisor ends
    returncode = end.get("returncode")
    return Launch(
        path,
        arguments,
        started,
        supervisor,
        child,
        alive,
        returncode if isinstance(returncode, int) else None,
        bool(end.get("stopped")),
        str(record.get("title", "")),
        "slots" in record,
    )


def launches(root: str | Path) -> list[Launch]:
    """All launches into an archive, newest first; a record that cannot be read is passed over."""
    found = []
    for name in files(folder := place(root) / FOLDER):
        path = folder / name
        if path.suffix == ".json" and "." not in path.stem:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                found.append(load(path.resolve()))
    return sorted(found, key=lambda launch: launch.started, reverse=True)


def running(root: str | Path) -> list[Launch]:
    """The launches that have not ended, newest first; also those that wait."""
    return [launch for launch in launches(root) if launch.status in UNENDED]


def waiting(root: str | Path) -> list[Launch]:
    """The launches that wait for their turn, the next one first."""
    there = [launch for launch in launches(root) if launch.status == "waiting"]
    return sorted(there, key=lambda launch: (launch.started, launch.id))


def _said(path: Path, name: str) -> dict[str, Any]:
    """What a file of a launch says; nothing where it is not there, or is no record."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = read(part(path, name))
        return found if isinstance(found, dict) else {}
    return {}


def _of_older_lab(record: dict[str, Any]) -> dict[str, Any]:
    """The supervisor as older labs noted it, in the record itself."""
    return {"pid": record["pid"], "process": record.get("born"), "host": record.get("host")} if "pid" in record else {}


def _lives(path: Path, process: dict[str, Any]) -> bool:
    """Whether a process of a launch runs; of one on another machine its signs tell."""
    alive = is_alive(process)
    if alive is None:
        with contextlib.suppress(OSError):
            return any(gave_sign(file.stat().st_mtime) for file in (part(path, "child"), path) if file.exists())
    return bool(alive)


children: list[subprocess.Popen[bytes]] = []  # supervisors that this process started and must wait for


def _reap() -> None:
    """Wait for supervisors that have ended; else they would stay on as zombies."""
    children[:] = [child for child in children if child.poll() is None]
