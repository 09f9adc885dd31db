"""Are the kernels cheap on every machine: vectorised by each compiler, timed once, and not used where they lose?"""

import platform
import re
import shutil
import subprocess
import time

import pytest
import torch

from analysis import kernels as table
from labapp.recording.kernels import Speed, build, library, speed

MACHINES = ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"]


@pytest.fixture
def fresh():
    """The library is looked for anew, before and after."""
    library.cache_clear()
    yield
    library.cache_clear()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64 assembly")
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("machine", MACHINES)
def test_comparisons_are_of_whole_registers(compiler, machine, tmp_path):
    if not shutil.which(compiler):
        pytest.skip(f"this machine has no {compiler}")
    compares = {"packed": 0, "single": 0}
    for source in build.SOURCES:
        target = tmp_path / f"{source.stem}.s"
        command = [compiler, *build.FLAGS, f"-march={machine}", "-S", str(source), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "march" in done.stderr:
            pytest.skip(f"this {compiler} does not know {machine}")
        assert done.returncode == 0, done.stderr
        text = target.read_text()
        compares["packed"] += len(re.findall(r"\sv?cmp\w*ps\s", text))
        compares["single"] += len(re.findall(r"\sv?u?comiss\s", text))
    # With vectors wider than the registers GCC 12 compares 179 times a single value, and at AVX2 never a register.
    assert compares["packed"] >= 8
    assert compares["single"] < 60


def test_the_speed_is_told_with_the_machine():
    measured = speed()
    assert measured is not None
    assert measured.ratio > 0
    assert re.fullmatch(r"\d\.\d× the time of torch\.dot \((gcc|clang) [\w.+-]+, .*\d+ lanes\)", str(measured))
    assert library()[1] == f"compiled with {measured.machine}"


class Disturbed:
    """The kernels, on a processor that is someone else's for the first 400 passes: a turn of the timing."""

    def __init__(self, found):
        self.found, self.passes = found, 0

    def labapp_flat(self, address, size, *rest):
        self.passes += 1
        if self.passes <= 400 and size == 4096:
            time.sleep(1e-4)
        self.found.labapp_flat(address, size, *rest)

    def labapp_machine(self):
        return self.found.labapp_machine()


def test_one_slow_moment_is_no_verdict():
    disturbed = Disturbed(build.load(build.build()))
    assert build.timed(disturbed).ratio < 100  # 200 and more after the first turn
    assert 400 < disturbed.passes <= 400 * build.TURNS


def test_where_it_loses_it_is_not_used(monkeypatch, fresh):
    monkeypatch.delenv("LABAPP_KERNELS")
    monkeypatch.setattr(build, "timed", lambda found: Speed(24.0, "gcc 12, 16 lanes"))
    assert library() == (None, "the compiled pass takes 24.0× the time of torch.dot (gcc 12, 16 lanes)")
    assert speed() is None
    library.cache_clear()
    monkeypatch.setenv("LABAPP_KERNELS", "compiled")
    assert library()[0] is not None


def test_kernels_built_elsewhere_are_loaded(monkeypatch, tmp_path, fresh):
    prebuilt = shutil.copy(build.build(), tmp_path / "kernels.so")
    monkeypatch.setenv("CC", "/bin/false")
    monkeypatch.setenv("LABAPP_KERNELS", str(prebuilt))
    assert library()[0] is not None
    library.cache_clear()
    monkeypatch.setenv("LABAPP_KERNELS", str(tmp_path / "none.so"))
    found, reason = library()
    assert found is None
    assert "none.so" in reason


def test_a_home_that_cannot_be_written_is_no_obstacle(monkeypatch, tmp_path, fresh):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert library()[0] is not None


def test_asking_leaves_the_random_numbers_alone():
    before = torch.get_rng_state()
    speed()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_table_prints_a_row_for_each_kernel(monkeypatch, capsys):
    threads = torch.get_num_threads()
    monkeypatch.setattr(table, "SHAPE", (2, 4, 8, 8))
    monkeypatch.setattr("sys.argv", ["kernels", "--pairs", "1", "--threads", "1"])
    try:
        assert table.main() == 0
    finally:
        torch.set_num_threads(threads)
    lines = capsys.readouterr().out.splitlines()
    assert "compiled with" in lines[0]
    assert sum("channels last" in line for line in lines) == sum("contiguous" in line for line in lines) == 9
