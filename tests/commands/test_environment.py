"""Does `labapp doctor` tell the truth about the machine, and what to do about what is missing?"""

import json
import os
import shutil
import sys

import pytest
import torch

import labapp
from labapp.commands import environment
from labapp.commands.cli import main
from labapp.config import extras
from labapp.recording import kernels
from tests.conftest import record_run


@pytest.fixture
def found(tmp_path, monkeypatch, capsys):
    """What `labapp doctor --json` says in a folder with one run."""
    monkeypatch.chdir(tmp_path)
    record_run(tmp_path / "runs")
    assert main(["doctor", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_says_where_it_runs(found, tmp_path):
    assert found["labapp"]["version"] == labapp.__version__
    assert found["python"]["executable"] == sys.executable
    assert found["torch"]["version"] == str(torch.__version__)
    assert found["torch"]["threads"] == torch.get_num_threads()
    assert len(found["torch"]["devices"]) == (torch.cuda.device_count() or 0)
    assert found["threads"]["cores"] == len(os.sched_getaffinity(0))
    built, how = kernels.library()
    assert found["kernels"]["used"] == bool(built)
    assert built or found["kernels"]["how"] == how
    assert (found["chromium"] or {}).get("path") == next(filter(None, map(shutil.which, environment.BROWSERS)), None)
    assert found["ray"] == extras.version("ray")
    assert found["runs"]["runs"] == 1
    assert found["runs"]["free"] == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)  # others write meanwhile


def test_it_says_the_same_in_words(found, capsys):
    assert main(["doctor"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in (labapp.__version__, sys.executable, str(torch.__version__), "runs: 1 run,", " GiB free"):
        assert words in said


def test_what_is_missing_comes_with_its_remedy(found, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setitem(extras.EXTRAS, "far", {"far_away": "far-away"})
    monkeypatch.setattr(kernels, "library", lambda: (None, "no C compiler was found"))
    rows = dict(environment.as_rows(environment.surroundings("nowhere")))
    assert "apt install gcc" in rows["C compiler"]
    assert rows["kernels"] == "torch's own, several times slower (no C compiler was found)"
    assert "apt install chromium" in rows["Chromium"]
    assert rows["[far]"] == "without far-away; pip install 'labapp[far]'"
    assert rows["runs"].startswith("nowhere: no archive yet, ")


def test_a_broken_torch_is_told_and_not_raised(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)  # as where its libraries are missing: import fails
    about = environment._torch()
    assert about["problem"]
    assert about["devices"] == []


def test_json_is_of_the_machine_alone(capsys):
    assert main(["doctor", "residual", "--json"]) == 2
    assert "--json prints what `labapp doctor` says of this machine" in capsys.readouterr().err
