"""Who waits for a command that was started from the app, when the app itself may be closed?

This script, run by its path as `python supervisor.py RECORD`. It lives as long as a training, so it imports nothing but
the standard library: not even the package that it lies in. A stop is Ctrl-C to the whole process group first, so that a
run can be closed in order, then a termination, then a kill.

A launch is several files, each written whole by one process alone, so that nobody overwrites what another knows:
`<id>.json`, what is to be done, and `<id>.supervisor.json`, which process this is, by who started it;
`<id>.child.json`, which process does it, and `<id>.end.json`, how it ended, by this script.

A launch that was queued waits here until it is the first in the line and fewer than `slots` others compute on this
machine. Who looks and begins has the lock of the folder.
"""

import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # what asks a launch to end
PATIENCE = 15.0  # seconds between Ctrl-C and termination, and again to the kill
KNOWN = 10.0  # seconds in which whoever starts this script notes which process it is
PACE = 0.2  # seconds between two looks of one that waits for its turn
STALE = 5.0  # seconds after which it looks also where no file has come or gone: a killed process leaves none
SIGN = 30.0  # seconds between two signs of life, for who looks from another machine
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def supervise(path: Path) -> int:
    """Run the command of a record to its end and write down how it ended."""
    asked: list[float] = []

    def ask(*_: object) -> None:  # a handler, not SIG_IGN, which a child would inherit
        asked.append(time.monotonic())
        if len(asked) == 1 and os.getpgrp() == os.getpid():  # the group is this script's own, so nobody else's
            os.killpg(0, signal.SIGINT)

    for number in SIGNALS:
        signal.signal(number, ask)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    me = _wait_for(part(path, "supervisor"))
    if me is None:  # nobody could stop what nobody knows
        print("the app ended before it could note this launch; start it again", flush=True)  # noqa: T201 - the log
        return 1
    record = read(path)
    with _turn(path, record, me, asked) as share:
        if asked:
            write(part(path, "end"), returncode=-signal.SIGINT, stopped=True, ended=time.time())
            return 0
        command = [sys.executable, "-m", "labapp", *record["arguments"], "--root", record["root"]]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**share, **os.environ})  # as the user decided
        if asked:  # between the look and the start
            child.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # a full disk: the launch goes on, and so does what watches it
            write(part(path, "child"), **{**me, "pid": child.pid, "process": _identity(child.pid)})
    terminated, signed = False, time.monotonic()
    while (returncode := child.poll()) is None:
        waited = time.monotonic() - asked[0] if asked else 0.0
        if waited > 2 * PATIENCE:
            child.kill()
        elif waited > PATIENCE and not terminated:
            terminated = True
            child.terminate()
        if time.monotonic() - signed > SIGN:
            signed = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(part(path, "child"))
        time.sleep(0.1)
    write(part(path, "end"), returncode=returncode, stopped=bool(asked), ended=time.time())
    if asked:  # whoever of the group did not listen
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
    return returncode


@contextlib.contextmanager
def _turn(path: Path, record: dict[str, Any], me: dict[str, Any], asked: list[float]) -> Iterator[dict[str, str]]:
    """Wait until a launch may begin, or is asked to end; its share of the cores, as variables of the environment.

    Nobody else's turn comes within the block.
    """
    slots, seen, looked = record.get("slots"), 0, 0.0
    while slots and not asked:
        now = path.parent.stat().st_mtime_ns
        if now != seen or time.monotonic() - looked > STALE:
            seen, looked = now, time.monotonic()
            with contextlib.suppress(OSError):  # a sign of life, for who looks from another machine
                os.utime(path)
            with _alone(path.parent):
                before, computing, behind = _others(path, record, me)
                if not before and computing < slots:
                    at_once = min(slots, computing + 1 + behind)
                    threads = {"OMP_NUM_THREADS": str(max(1, cores() // at_once)), "OMP_WAIT_POLICY": "passive"}
                    yield threads if at_once > 1 else {}  # alone, torch leaves a core to the app by itself
                    return
        time.sleep(PACE)
    yield {}


def _others(path: Path, record: dict[str, Any], me: dict[str, Any]) -> tuple[int, int, int]:
    """How many launches of this machine wait before this one, compute (a starter on all cores), and wait behind it."""
    names, before, computing, behind = {entry.name for entry in os.scandir(path.parent)}, 0, 0, 0
    for name in names:
        stem = name.removesuffix(".json")
        if stem == name or "." in stem or stem == path.stem or f"{stem}.end.json" in names:
            continue
        other = path.with_name(name)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            said = read(other)
            processes = [read(part(other, who)) for who in ("supervisor", "child") if f"{stem}.{who}.json" in names]
            if not any(_runs(process, me) for process in processes):
                continue
            if len(processes) < 2 and said.get("slots"):
                mine = (float(said["started"]), stem) < (float(record["started"]), path.stem)
                before, behind = before + mine, behind + (not mine)
            else:
                computing += record["slots"] if said["arguments"][0] == "starter" else 1
    return before, computing, behind


def _runs(process: dict[str, Any], me: dict[str, Any]) -> bool:
    """Whether a process of a note runs on this machine."""
    return process.get("machine") == me.get("machine") and _identity(int(process["pid"])) == process["process"]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """As `labapp.store.alone`, with the standard library alone."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def part(path: Path, name: str) -> Path:
    """The file of a launch that says this about it."""
    return path.with_suffix(f".{name}.json")


def read(path: Path) -> dict[str, Any]:
    """What a file of a launch says."""
    said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return said


def write(path: Path, **fields: Any) -> None:
    """Write a file of a launch, whole or not at all; who reads it meanwhile sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(json.dumps(fields, indent=1), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _wait_for(path: Path) -> dict[str, Any] | None:
    until = time.monotonic() + KNOWN
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            return read(path)
        time.sleep(0.01)
    return None


def _identity(pid: int) -> str | None:
    """As `labapp.store.machine.process_identity`, with the standard library alone."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        if fields[0] in "ZX":  # it has ended, and nobody has asked how
            return None
        return f"{_BOOT.read_text().strip()}/{fields[19]}"
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
    return done.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1])))
