"""Does a kernel read or write a byte that is not its own, or rely on undefined behaviour? Watched by the compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labapp.recording.kernels import build

PROJECT = Path(__file__).parents[3]
FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g")


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Runs `sanitized.py` on kernels built with the sanitizers."""
    if not shutil.which("gcc"):
        pytest.skip("this machine has no gcc")
    ask = ["gcc", "-print-file-name=libasan.so", "-print-file-name=libstdc++.so"]  # the second so that torch can throw
    answers = [subprocess.run([ask[0], name], capture_output=True, text=True, check=True).stdout for name in ask[1:]]
    libraries = [Path(answer.strip()) for answer in answers]
    if not libraries[0].is_absolute():
        pytest.skip("this machine's gcc has no AddressSanitizer")
    cache = tmp_path_factory.mktemp("sanitized")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv("CC", "gcc")
        built = build.build(FLAGS)

    def run(*arguments):
        environment = os.environ | {
            "LD_PRELOAD": " ".join(str(path.resolve()) for path in libraries if path.is_absolute()),
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONPATH": str(PROJECT),
            "OMP_NUM_THREADS": "2",
        }
        command = [
            sys.executable,
            "-W",
            "ignore",
            str(Path(__file__).with_name("sanitized.py")),
            str(built),
            *arguments,
        ]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)

    return run


@pytest.mark.long
def test_no_byte_beyond_a_tensor_is_touched(watched):
    done = watched()
    assert (done.returncode, done.stdout.strip()) == (0, "nothing found"), done.stderr[-3000:]


@pytest.mark.long
def test_one_value_too_many_would_be_noticed(watched):
    done = watched("overflow")
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
