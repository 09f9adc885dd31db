"""Rows, runs and their faults, as several files of these tests need them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from labapp.config import Experiment, LabError
from labapp.store import Run, RunWriter
from labapp.store.table import Table


def rows(first: int, last: int, **more: Any) -> pa.Table:
    """Steps from first to last, both included; the loss tells the step."""
    steps = np.arange(first, last + 1)
    return pa.table(
        {"step": steps, "loss": (steps / 2).astype(np.float32)} | {k: [v] * len(steps) for k, v in more.items()}
    )


def steps(table: Table, **options: Any) -> list[int]:
    return table.read(["step"], **options)["step"].to_pylist()


def make(root: Path, run_id: str, status: str = "finished", **options: object) -> Run:
    """A run with two evaluations and nothing else."""
    writer = RunWriter.create(root, Experiment(**options), run_id=run_id)
    writer.write("evals", {"step": [0, 300], "split": "test", "loss": [2.3, 0.4], "accuracy": [0.1, 0.9]})
    return writer.finish(status)


def edit(path: Path, **fields: object) -> None:
    """Write other values into the run.json of a folder."""
    (path / "run.json").write_text(json.dumps(json.loads((path / "run.json").read_text()) | fields))


def edited(run: Run, **fields: object) -> Run:
    """The run with other values in its run.json."""
    edit(run.path, **fields)
    return Run(run.path)


def told(path: Path) -> str:
    """The sentence with which a folder is refused as a run."""
    with pytest.raises(LabError) as raised:
        Run(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def one_step(step: int, **more: Any) -> dict[str, Any]:
    return {"step": [step], "loss": [step / 2]} | more


def part_names(writer: RunWriter, table: str = "steps") -> list[str]:
    """The files of a table, those that wait to be published too, in the order of their numbers."""
    folder = writer.path / table
    found = [str(path.relative_to(folder)) for path in folder.rglob("*.parquet")]
    return sorted(found, key=lambda name: name.rpartition("/")[2])
