"""Who waits for a command that was started from the app, when the app itself may be closed?

This script, run by its path as `python supervisor.py RECORD`. It lives as long as a training, so it imports nothing but
the standard library: not even the package that it lies in. A stop is Ctrl-C to the whole process group first, so that a
run can be closed in order, then a termination, then a kill.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # what asks a launch to end
PATIENCE = 15.0  # seconds between Ctrl-C and termination, and again to the kill


def supervise(path: Path) -> int:
    """Run the command of a record to its end and write down how it ended."""
    asked: list[float] = []
    for number in SIGNALS:  # a handler, not SIG_IGN, which a child would inherit
        signal.signal(number, lambda *_: asked.append(time.monotonic()))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    record = read(path)
    if asked:
        write(path, returncode=-signal.SIGINT, stopped=True, ended=time.time())
        return 0
    command = [sys.executable, "-m", "labapp", *record["arguments"], "--root", record["root"]]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    if asked:  # between the look and the start
        child.send_signal(signal.SIGINT)
    terminated = False
    while (returncode := child.poll()) is None:
        waited = time.monotonic() - asked[0] if asked else 0.0
        if waited > 2 * PATIENCE:
            child.kill()
        elif waited > PATIENCE and not terminated:
            terminated = True
            child.terminate()
        time.sleep(0.1)
    write(path, returncode=returncode, stopped=bool(asked), ended=time.time())
    if asked:  # whoever of the group did not listen
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
    return returncode


def read(path: Path) -> dict[str, Any]:
    """The record as it is now."""
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, **fields: Any) -> None:
    """Add fields to the record; whoever reads it meanwhile sees it either without or with them."""
    record = read(path) | fields
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1])))
