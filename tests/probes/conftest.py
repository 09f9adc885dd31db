"""Runs with checkpoints, a module of the user's own, and a picture, to ask questions about."""

import shutil

import numpy as np
import pytest
from PIL import Image

from labapp.store import Run, list_runs
from tests.probes.own_nets import OWN


@pytest.fixture
def runs(trained):
    return {run.name: run for run in list_runs(trained)}


@pytest.fixture
def run(runs):
    return runs["residual-8"]


@pytest.fixture
def copy(run, tmp_path):
    """A copy of a run, to be damaged."""
    return Run(shutil.copytree(run.path, tmp_path / run.id))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's own, in the folder where the command is typed, under a name of its own."""
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.fixture
def picture_file(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    return path
