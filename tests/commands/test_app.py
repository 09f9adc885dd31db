"""Which command opens the app, and what may the app do then?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import labapp
from labapp.commands.cli import main

PROJECT = Path(labapp.__file__).parent.parent


@pytest.fixture
def became(monkeypatch, tmp_path):
    """What the process would become; it stays a test instead."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LABAPP_")]:
        monkeypatch.delenv(name)
    found = {}

    def become(path, words, environment):
        found.update(words=words, environment=environment)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", become)
    return found


def test_the_app_is_opened_on_this_machine_with_every_door_closed(became, tmp_path):
    assert main(["app"]) == 0
    words = became["words"]
    assert words[:3] == [sys.executable, "-m", "labapp.app.serving"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options == {
        "--server.address": "localhost", "--server.port": "8501", "--server.enableXsrfProtection": "true",
        "--server.enableCORS": "true", "--server.maxUploadSize": "20", "--client.showErrorDetails": "none",
        "--browser.gatherUsageStats": "false",
    }  # fmt: skip
    assert not {"LABAPP_RUNS", "LABAPP_ROOTS", "LABAPP_READ_ONLY", "LABAPP_STARTER", "LABAPP_DATA"} & set(
        became["environment"]
    )


def test_what_is_said_reaches_the_app(became, tmp_path):
    line = "app --root a /b --read-only --port 8600 --address 0.0.0.0 --trust mine other.nets --data /d e --starter"
    assert main(line.split()) == 0
    options = dict(zip(became["words"][3::2], became["words"][4::2], strict=True))
    assert (options["--server.address"], options["--server.port"]) == ("0.0.0.0", "8600")
    said = {name: value for name, value in became["environment"].items() if name.startswith("LABAPP_")}
    assert said == {
        "LABAPP_RUNS": str(tmp_path / "a"), "LABAPP_ROOTS": "/b", "LABAPP_READ_ONLY": "1",
        "LABAPP_TRUST": "mine,other.nets", "LABAPP_DATA": f"/d{os.pathsep}{tmp_path / 'e'}",
    }  # fmt: skip


def test_who_opens_the_app_to_others_is_told_what_they_can_do(became, capsys):
    assert main(["app", "--address", "0.0.0.0"]) == 0
    assert "whoever reaches 0.0.0.0:8501 can start trainings" in capsys.readouterr().out
    assert main(["app", "--address", "0.0.0.0", "--read-only"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("app --port 0", "--port is a number from 1 to 65535, so it cannot be 0"),
        ("app --port 70000", "cannot be 70000"),
        ("app --port x", "--port"),
        ("app --root a:b", "'a:b' cannot be a root, because ':' parts folders"),
        ("app runs", "one word too many"),
        ("app --wide", "has no option --wide"),
    ],
)
def test_a_mistake_is_one_sentence(became, capsys, line, says):
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not became


def test_make_app_opens_it_so():
    done = subprocess.run(["make", "-n", "app", "PORT=8600"], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert "-m labapp app --root runs --port 8600 --starter" in done.stdout


def test_a_net_that_somebody_types_is_consent(monkeypatch, tmp_path, capsys):
    (tmp_path / "own_typed.py").write_text(
        "from torch import nn\ndef make(): return nn.Sequential(nn.Flatten(), nn.Linear(1728, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABAPP_TRUST", "")
    line = "train --net own_typed:make --steps 2 --batch-size 8 --train-images 16 --test-images 8 --checkpoints 1"
    assert main([*line.split(), "--device", "cpu"]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert "architecture" in capsys.readouterr().out or (run / "probes").is_dir()
    monkeypatch.setenv("LABAPP_TRUST", "")
    for words in (["probe", run.name], ["explain", run.name, "--index", "0"]):
        assert main(words) == 2
        assert "`--trust own_typed`" in capsys.readouterr().err
    assert main(["probe", run.name, "--quantities", "architecture", "--trust", "own_typed"]) == 0
    monkeypatch.setenv("LABAPP_TRUST", os.environ["LABAPP_TRUST"])
