"""How does the app start the laboratory as a process, watch it and stop it?

    launch = start(["starter"], root="runs")      # python -m labapp starter --root runs, detached
    start(["train"], "runs", queued=True)         # waits until a core is free
    launches("runs")[0].status                    # "waiting", "running", "finished", "failed", "stopped" or "lost"
    stop(launch)

A launch is a few files in the archive, `.launches/<id>.json`, `<id>.log` and what `supervisor` writes beside them. They
outlive the app: whoever opens the archive next sees the same launches. What waits for its turn has its supervisor
already, which waits itself: so the queue needs no app to go on, and no two processes can start one entry.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from labapp.app.launch.records import (
    FOLDER,
    UNENDED,
    Launch,
    children,
    launches,
    load,
    running,
    waiting,
)
from labapp.app.launch.stops import launch_of, stop, stop_run, why_not_stopped
from labapp.app.launch.supervisor import SIGNALS, cores, part, write
from labapp.config import Experiment, LabError, is_read_only, place, require_trust, require_writing, shown
from labapp.store import alone, list_runs
from labapp.store.machine import noted

__all__ = [
    "FOLDER", "JOBS", "MOST", "PROJECT", "SUPERVISOR", "UNENDED", "Launch", "arguments_for", "at_once",
    "begin_starter", "children", "cores", "environment", "launch_of", "launches", "load", "running", "start", "stop",
    "stop_run", "waiting", "why_not_stopped",
]  # fmt: skip

SUPERVISOR = Path(__file__).with_name("supervisor.py")
PROJECT = Path(__file__).resolve().parents[3]
JOBS = "LABAPP_JOBS"  # how many trainings compute at once; one a core where it is not set
MOST = 50  # that wait; each has a process of seven megabytes


def start(arguments: Sequence[str], root: str | Path, *, queued: bool = False, title: str = "") -> Launch:
    """Start `python -m labapp ARGUMENTS --root ROOT`; one starter comparison, and one attempt at a run, at a time.

    Args:
        arguments: A command of the laboratory, and its options.
        root: The archive.
        queued: Whether it waits until fewer than `at_once()` launches compute there, after those that wait already; it
            computes with its share of the cores.
        title: What it is about, in words.

    Raises:
        LabError: Where it may not be started or cannot be written, or asks for code that nobody consented to.
    """
    require_writing(f"starting `labapp {arguments[0]}`")
    words = [part for argument in arguments for part in argument.split("=", 1)]
    for option, word in pairwise(words):
        if option == "--net":
            require_trust(word, "this training")
    root = place(root).resolve()
    folder = root / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            if arguments[0] == "starter" and any(other.arguments[0] == "starter" for other in running(root)):
                raise LabError(
                    f"the starter comparison is already being recorded into {shown(root)}; wait for it or stop it"
                )
            if arguments[0] == "resume" and any(other.arguments[:2] == (*arguments[:2],) for other in running(root)):
                raise LabError(f"run '{arguments[1]}' is just being resumed")
            slots = {"slots": at_once()} if queued else {}
            if queued and len(waiting(root)) >= MOST:
                raise LabError(f"{MOST} experiments wait already; start more when some of them have ended")
            path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{arguments[0]}-{secrets.token_hex(4)}.json"
            write(path, arguments=[*arguments], root=str(root), started=time.time(), title=title, **slots)
            with path.with_suffix(".log").open("wb") as log, _held_back(SIGNALS):
                supervisor = subprocess.Popen(
                    [sys.executable, str(SUPERVISOR), str(path)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment(),
                    start_new_session=True,
                )
            children.append(supervisor)
            write(part(path, "supervisor"), **noted(supervisor.pid))
    except OSError as error:
        raise LabError(
            f"nothing can be recorded into {shown(root)}: {error.strerror or error}; choose another folder"
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


def at_once() -> int:
    """How many launches that were queued compute at a time: one a core, or as `LABAPP_JOBS` says.

    Raises:
        LabError: It says something else than a number from 1 on.
    """
    said = os.environ.get(JOBS, "").strip()
    if said and not (said.isdecimal() and int(said) > 0):
        raise LabError(f"{JOBS} is how many trainings compute at once, so it cannot be '{said}'; 1 or more can")
    return int(said) if said else cores()


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


def environment() -> dict[str, str]:
    """Of a process that is started: with this very lab on its path, and what it prints in plain lines."""
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
