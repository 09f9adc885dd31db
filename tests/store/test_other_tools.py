"""Do the tools that the README names find each row once, at any moment? With a real writer in another process."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import polars
import pytest

from labapp.config import Experiment
from labapp.store import RunWriter

WRITER = """
import sys
from pathlib import Path
from labapp.config import Experiment
from labapp.store import RunWriter, appending, writer as module

module.FLUSH_SECONDS, appending.GATHER = 1e9, 4
writer = RunWriter.create(sys.argv[1], Experiment(), run_id="run")
enough = Path(sys.argv[2])
for step in range(1_000_000):
    writer.write("steps", {"step": [step], "loss": [step / 2]})
    writer.write("layers", {"step": [step] * 3, "layer": ["a", "b", "c"], "weight_norm": 1.0})
    writer.flush()
    if step == 0:
        print("writing", flush=True)
    if step >= 300 and enough.exists():
        break
writer.finish("stopped")
print(step + 1, flush=True)
"""


def by_pandas(run: Path, table: str) -> list[int]:
    return pd.read_parquet(run / table, columns=["step"])["step"].tolist()


def by_polars(run: Path, table: str) -> list[int]:
    return polars.scan_parquet(f"{run.parent}/*/{table}/*.parquet").select("step").collect()["step"].to_list()


def by_duckdb(run: Path, table: str) -> list[int]:
    return [step for (step,) in duckdb.sql(f"SELECT step FROM '{run.parent}/*/{table}/*.parquet'").fetchall()]


def test_each_row_once_at_any_moment(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(tmp_path / "enough")]
    tools = (by_pandas, by_polars, by_duckdb)
    reads, seen = 0, 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "writing\n"
        while writer.poll() is None:
            read = tools[reads % len(tools)]
            steps, layers = sorted(read(tmp_path / "run", "steps")), sorted(read(tmp_path / "run", "layers"))
            assert steps == list(range(len(steps))), read
            assert layers == [step for step in range(len(layers) // 3) for _ in range(3)], read
            assert len(steps) >= seen  # none goes, either
            reads, seen = reads + 1, len(steps)
            if reads == 24:
                (tmp_path / "enough").touch()
        total = int(writer.stdout.readline())
    assert reads > 20  # looks at a table that grew under them
    for read in tools:
        for table, each in (("steps", 1), ("layers", 3)):
            assert sorted(read(tmp_path / "run", table)) == [step for step in range(total) for _ in range(each)]


@pytest.mark.parametrize("read", [by_pandas, by_polars, by_duckdb])
def test_rows_written_anew_count_once(tmp_path: Path, read: Callable[[Path, str], list[int]]) -> None:
    writer = RunWriter.create(tmp_path, Experiment(), run_id="run")
    for begins in (0, 12, 5, 20):
        if begins:
            writer = RunWriter(writer.path, from_step=begins)
            assert sorted(read(writer.path, "steps")) == list(range(begins))
        for step in range(begins, 25):
            writer.write("steps", {"step": [step]})
            writer.flush()
            found = sorted(read(writer.path, "steps"))
            assert found == list(range(len(found)))
            assert 9 * len(found) >= 8 * (step + 1)
    writer.finish()
    assert sorted(read(writer.path, "steps")) == list(range(25))
