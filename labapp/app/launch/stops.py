"""How is something told to end that was started, from the app or from a terminal?"""

from __future__ import annotations

import signal
import time
from typing import Any

from labapp.app.launch.records import UNENDED, Launch, launches, load
from labapp.config import LabError, require_writing
from labapp.store import Run
from labapp.store.machine import ending_signal, send_signal, why_not_told


def stop(launch: Launch, wait: float = 0.0) -> Launch:
    """Interrupt a launch as Ctrl-C does, or take it out of the queue, and return it as it is then.

    Waits at most `wait` seconds for its end. The supervisor tells its group; where it was killed, the
    process that it had started is told itself.

    Raises:
        LabError: It may not be stopped, runs on another machine, or belongs to another user.
    """
    require_writing(f"stopping `labapp {launch.arguments[0]}`")
    now = load(launch.path)
    if now.status in UNENDED:
        _ = any(send_signal(process, signal.SIGINT) for process in (now.supervisor, now.child) if process)
    until = time.monotonic() + wait
    while (now := load(launch.path)).status in UNENDED and time.monotonic() < until:
        time.sleep(0.05)
    return now


def launch_of(run: Run) -> Launch | None:
    """The launch that writes a run; None where it was begun elsewhere, as from a terminal."""
    writer = run.attempts[-1] if run.attempts else {}
    return next((job for job in launches(run.path.parent) if job.status == "running" and _is(job, writer)), None)


def _is(job: Launch, writer: dict[str, Any]) -> bool:
    return bool(job.child) and all(job.child.get(name) == writer.get(name) for name in ("machine", "pid", "process"))


def why_not_stopped(run: Run) -> str:
    """Why a run that is being written cannot be stopped from here, in a sentence; "" where it can."""
    return why_not_told(run.attempts[-1]) if run.attempts else f"run '{run.id}' does not say which process writes it"


def stop_run(run: Run) -> None:
    """Ask the process that writes a run to end it in order, wherever that was started: its step is made whole first.

    Raises:
        LabError: It may not be stopped, is not being written, runs on another machine, or belongs to another user.
    """
    require_writing(f"stopping run '{run.id}'")
    if run.status != "running":
        raise LabError(f"run '{run.id}' is {run.status}, so there is nothing to stop")
    if reason := why_not_stopped(run):
        raise LabError(reason)
    if job := launch_of(run):
        stop(job)
    else:
        send_signal(run.attempts[-1], ending_signal(run.attempts[-1]))
