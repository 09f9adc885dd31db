"""A folder of parts, a table of it, and a run that is being written."""

from pathlib import Path

import pytest

from labapp.config import Experiment
from labapp.store import RunWriter
from labapp.store.schema import TABLES
from labapp.store.table import Table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "steps"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def table(folder: Path) -> Table:
    return Table(folder, TABLES["steps"])


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    return RunWriter.create(tmp_path / "runs", Experiment(depth=56), run_id="run")
