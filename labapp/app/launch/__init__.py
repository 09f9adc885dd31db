"""How does the app start the laboratory as a process, watch it and stop it?

    launch = start(["starter"], root="runs")      # python -m labapp starter --root runs, detached
    launches("runs")[0].status                    # "running", "finished", "failed", "stopped" or "lost"
    stop(launch)

A launch is a few files in the archive, `.launches/<id>.json`, `<id>.log` and what `supervisor` writes beside them. They
outlive the app: whoever opens the archive next sees the same launches.
"""

import contextlib
import math
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from labapp.app.launch.supervisor import KNOWN, SIGNALS, part, read, write
from labapp.config import Experiment, LabError, is_read_only, require_trust, require_writing
from labapp.store import alone, list_runs
from labapp.store.files import files
from labapp.store.machine import gave_sign, is_alive, noted, send_signal

FOLDER = ".launches"
SUPERVISOR = Path(__file__).with_name("supervisor.py")
PROJECT = Path(__file__).resolve().parents[3]


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
        """running, finished, failed, stopped, or lost (its supervisor is gone and could not say how it ended)."""
        if self.returncode is not None:
            return "stopped" if self.stopped else "failed" if self.returncode else "finished"
        return "running" if self.alive else "lost"

    def tail(self, lines: int = 12) -> list[str]:
        """The last lines that the command printed, without empty ones."""
        if self.log.is_symlink() or not self.log.is_file():  # an archive of somebody else's may name any file
            return []
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 64_000))
            text = file.read().decode(errors="replace")
        return [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()][-lines:]


def start(arguments: Sequence[str], root: str | Path) -> Launch:
    """Start `python -m labapp ARGUMENTS --root ROOT`; one starter comparison, and one attempt at a run, at a time.

    Raises:
        LabError: Where it may not be started or cannot be written, or asks for code that nobody consented to.
    """
    require_writing(f"starting `labapp {arguments[0]}`")
    words = [part for argument in arguments for part in argument.split("=", 1)]
    for option, word in pairwise(words):
        if option == "--net":
            require_trust(word, "this training")
    root = Path(root).resolve()
    folder = root / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            if arguments[0] == "starter" and any(other.arguments[0] == "starter" for other in running(root)):
                raise LabError(f"the starter comparison is already being recorded into {root}; wait for it or stop it")
            if arguments[0] == "resume" and any(other.arguments[:2] == (*arguments[:2],) for other in running(root)):
                raise LabError(f"run '{arguments[1]}' is just being resumed")
            path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{arguments[0]}-{secrets.token_hex(4)}.json"
            write(path, arguments=[*arguments], root=str(root), started=time.time())
            with path.with_suffix(".log").open("wb") as log, _held_back(SIGNALS):
                supervisor = subprocess.Popen(
                    [sys.executable, str(SUPERVISOR), str(path)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    start_new_session=True,
                )
            _children.append(supervisor)
            write(part(path, "supervisor"), **noted(supervisor.pid))
    except OSError as error:
        raise LabError(
            f"nothing can be recorded into {root}: {error.strerror or error}; choose another folder"
        ) from None
    return load(path)


def begin_starter(root: str | Path) -> Launch | None:
    """Start the starter comparison where there are no runs, or go on with one that was interrupted; else nothing."""
    if is_read_only():
        return None
    before = [job for job in launches(root) if job.arguments[0] == "starter"]
    if before:
        wanted = before[0].status in ("stopped", "failed", "lost")
    else:
        try:
            wanted = not list_runs(root)
        except LabError:  # there is no archive yet; or it cannot be read, and then `start` says so
            wanted = True
    return start(["starter"], root) if wanted else None


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
    )


def launches(root: str | Path) -> list[Launch]:
    """All launches into an archive, newest first; a record that cannot be read is passed over."""
    found = []
    for name in files(folder := Path(root) / FOLDER):
        path = folder / name
        if path.suffix == ".json" and "." not in path.stem:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                found.append(load(path.resolve()))
    return sorted(found, key=lambda launch: launch.started, reverse=True)


def running(root: str | Path) -> list[Launch]:
    """The launches that have not ended, newest first."""
    return [launch for launch in launches(root) if launch.status == "running"]


def stop(launch: Launch, wait: float = 0.0) -> Launch:
    """Interrupt a launch as Ctrl-C does, wait at most `wait` seconds for its end, and return it as it is then.

    The supervisor tells its group; where it was killed, the process that it had started is told itself.

    Raises:
        LabError: It may not be stopped, runs on another machine, or belongs to another user.
    """
    require_writing(f"stopping `labapp {launch.arguments[0]}`")
    now = load(launch.path)
    if now.status == "running":
        _ = any(send_signal(process, signal.SIGINT) for process in (now.supervisor, now.child) if process)
    until = time.monotonic() + wait
    while (now := load(launch.path)).status == "running" and time.monotonic() < until:
        time.sleep(0.05)
    return now


def arguments_for(experiment: Experiment) -> list[str]:
    """The words of the command that trains this experiment: `train`, then an option for each value that was given."""
    words = ["train"]
    for name in sorted(experiment.model_fields_set):
        value, flag = getattr(experiment, name), name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", str(value)]
    return words


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


_children: list[subprocess.Popen[bytes]] = []  # supervisors that this process started and must wait for


def _reap() -> None:
    """Wait for supervisors that have ended; else they would stay on as zombies."""
    _children[:] = [child for child in _children if child.poll() is None]


def _environment() -> dict[str, str]:
    paths = [str(PROJECT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "160",  # a sentence stays on one line of the log
        "NO_COLOR": "1",
        "TERM": "dumb",
    }


@contextlib.contextmanager
def _held_back(signals: Sequence[signal.Signals]) -> Iterator[None]:
    """Let a process that is started here receive these signals only once it says that it is ready for them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
