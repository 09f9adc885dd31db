"""On a device: no wait in a recorded step, one copy a flush, the numbers of a CPU. And its own clock."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_on_a_device_made_of_python() -> None:
    """In a process of its own, because torch knows such a device for good."""
    program = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*program, "tests/recording/far_checks.py"], cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=230, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
