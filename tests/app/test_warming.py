"""Torch is loaded behind the first page, so that the first question about a net is answered at once."""

import os
import subprocess
import sys
from collections import OrderedDict

import pytest

from labapp.app import background, launch, questions
from labapp.store import list_runs
from tests.app.pages import MAIN

PATIENT = 120
OPEN = """
import sys, time
from streamlit.testing.v1 import AppTest
from labapp.app import background, questions
questions.AFTER = 1.0
app = AppTest.from_file(sys.argv[1], default_timeout=60)
app.run()
print("title", app.title[0].value)
print("torch with the page", "torch" in sys.modules)
job = questions.warm([])  # the same one
print("done", background.wait([job], 120), repr(job.fault))
print("torch", "torch" in sys.modules, "compiler", "torch._dynamo" in sys.modules)
"""


def test_the_first_page_does_without_torch_and_the_next_ones_find_it(digit_nets):
    """Also where nothing may be written, because nets may be asked there."""
    told = os.environ | {"LABAPP_RUNS": str(digit_nets), "LABAPP_WARM": "1", "LABAPP_READ_ONLY": "1"}
    told["PYTHONPATH"] = str(launch.PROJECT)
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(MAIN)], capture_output=True, text=True, env=told, check=False
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0].startswith("title ")
    assert said[0] != "title Nothing is recorded here yet."
    assert said[1:] == ["torch with the page False", "done True ''", "torch True compiler False"]


@pytest.fixture
def cold(monkeypatch):
    """No question was asked yet."""
    monkeypatch.setenv(questions.WARM, "1")
    monkeypatch.setattr(questions, "AFTER", 0.0)
    monkeypatch.setattr(background, "_JOBS", OrderedDict())


def test_what_the_page_asks_first_is_answered_before_it_asks(digit_nets, cold, open_gradcam):
    runs = list_runs(digit_nets)
    job = questions.warm(runs)
    assert job is not None
    assert questions.warm(runs) is job  # once for all who open this server
    assert background.wait([job], PATIENT)
    assert job.fault == ""
    known = set(background._JOBS)
    app = open_gradcam(digit_nets)
    assert not app.exception
    asked = {key for key in background._JOBS if key[0] in ("strip", "look")}
    assert asked <= known, asked - known


def test_a_run_that_cannot_be_asked_holds_up_no_other(digit_nets, cold):
    first, *others = list_runs(digit_nets)
    for path in (first.path / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    job = questions.warm([first, *others])
    assert job is not None
    assert background.wait([job], PATIENT)
    assert job.fault == ""
    assert sum(key[0] == "look" for key in background._JOBS) == len(others)


def test_who_does_not_want_it_is_left_alone(digit_nets, cold, monkeypatch):
    monkeypatch.setenv(questions.WARM, "0")
    assert questions.warm(list_runs(digit_nets)) is None
    assert not background._JOBS
