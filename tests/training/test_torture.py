"""The torture of trainings, in short: a few kills, a short soak."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.parametrize("options", [["--kills", "4", "--readers", "1"], ["--soak", "8", "--readers", "1"]])
def test_torture(options: list[str]) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.torture", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=220, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("equal" if "--kills" in options else "steps recorded") in done.stdout
