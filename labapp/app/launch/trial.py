"""How long does a step of an experiment take here? A few of them, as a real training that leaves nothing behind."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from labapp.config import Experiment, LabError, require_writing
from labapp.frames.costs import STEPS
from labapp.store import Run, list_runs

LONGEST = 90.0  # seconds


@contextlib.contextmanager
def trained(
    experiment: Experiment,
    arguments: list[str],
    environment: dict[str, str],
    tell: Callable[[float, str], None],
) -> Iterator[Run]:
    """A few steps of an experiment as a run, which is gone after the block. `tell` may raise to give it up.

    Raises:
        LabError: It failed, in its own words, or takes too long.
    """
    require_writing("timing a training")
    with tempfile.TemporaryDirectory(prefix="labapp-trial-") as folder, tempfile.TemporaryFile() as said:
        command = [sys.executable, "-m", "labapp", *arguments, "--probe", "none", "--root", folder]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, env=environment
        )
        try:
            until = time.monotonic() + LONGEST
            while process.poll() is None:
                tell(0.1, f"timing {STEPS} steps of {experiment.name}")
                if time.monotonic() > until:
                    raise LabError(f"{STEPS} steps of it take more than {LONGEST:g} s")
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines() or ["it left no message"]
            raise LabError(lines[-1].removeprefix("labapp: "))
        yield list_runs(folder)[0]
