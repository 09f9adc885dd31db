"""What does a reader see of parts that are damaged, missing, different, or going away?"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec.implementations.local
import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from labapp.store import parquet
from labapp.store.filters import steps_condition
from labapp.store.parquet import write_table
from labapp.store.parts import FRESH, part_name
from labapp.store.publishing import gather, publish
from labapp.store.schema import NOTHING, TABLES
from labapp.store.superseding import set_rows_aside
from labapp.store.table import Table
from tests.store.examples import rows, steps

DAMAGES = {
    "empty": lambda whole: b"",
    "half": lambda whole: whole[: len(whole) // 2],
    "garbage": lambda whole: os.urandom(len(whole)),
    "footer": lambda whole: whole[:-20] + bytes(20),
    "a page": lambda whole: whole[:30] + bytes(byte ^ 0xFF for byte in whole[30:60]) + whole[60:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_left_out_and_named(folder: Path, table: Table, damage: str) -> None:
    (folder / FRESH).mkdir()
    for number in range(5):
        write_table(rows(10 * number, 10 * number + 9), folder / FRESH / part_name(1, number))
    path = folder / FRESH / part_name(1, 2)
    damaged = DAMAGES[damage](path.read_bytes())
    path.write_bytes(damaged)
    left = [*range(20), *range(30, 50)]
    assert steps(table) == left
    (problem,) = table.problems.values()
    assert problem.startswith("steps/_fresh/part-01-000002.parquet is damaged and was left out (")
    assert "\n" not in problem
    for arrange in (lambda: gather(table, 1), lambda: publish(table)):
        with contextlib.suppress(OSError):  # a faulty page is found by reading only
            arrange()
        assert steps(table) == left
        assert path.read_bytes() == damaged  # nothing is tidied away over a fault


def test_a_single_wrong_bit_is_noticed(folder: Path, table: Table) -> None:
    """Numbers that do not compress lie in the file as they are: only a checksum tells that one of them changed."""
    noise = np.random.default_rng(0).integers(0, 2**32, 1000, np.uint32).view(np.float32)
    write_table(pa.table({"step": np.arange(1000), "loss": noise}), folder / part_name(1, 0))
    path = folder / part_name(1, 0)
    whole = path.read_bytes()
    assert table.read(["loss"])["loss"].to_numpy().tobytes() == noise.tobytes()
    at = whole.index(noise[500:502].tobytes())
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert table.read(["loss"]).num_rows == 0
    assert "part-01-000000.parquet is damaged" in next(iter(table.problems.values()))
    assert table.read(["step"]).num_rows == 1000  # the other columns are whole


def test_a_part_that_is_gone_is_named(folder: Path, table: Table) -> None:
    for number in (0, 2, 3):
        write_table(rows(number, number), folder / part_name(1, number))
    assert steps(table) == [0, 2, 3]
    assert list(table.problems.values()) == ["steps/part-01-000001.parquet is missing and its rows with it"]
    write_table(rows(1, 1), folder / part_name(1, 1))
    assert steps(table) == [0, 1, 2, 3]
    assert table.problems == {}


def test_a_new_column_is_nan_before(folder: Path, table: Table) -> None:
    (folder / FRESH).mkdir()
    write_table(rows(0, 1), folder / FRESH / part_name(1, 0))
    write_table(rows(2, 3, surprise=1.5), folder / FRESH / part_name(1, 1))
    for _ in range(2):
        frame = table.read(["step", "surprise"]).to_pandas()
        assert frame["surprise"].isna().tolist() == [True, True, False, False]
        assert table.read(where={"surprise": 1.5})["step"].to_pylist() == [2, 3]
        assert table.read().column_names == ["step", "loss", "surprise"]
        publish(table)


def test_types_that_differ_between_parts_are_widened(folder: Path) -> None:
    table = Table(folder, NOTHING)
    write_table(pa.table({"step": [0], "count": [3]}), folder / part_name(1, 0))
    write_table(pa.table({"step": [1], "count": pa.array([0.5], pa.float32())}), folder / part_name(1, 1))
    assert table.read()["count"].to_pylist() == [3.0, 0.5]


def test_a_table_without_parts_has_its_columns_and_no_rows(tmp_path: Path) -> None:
    table = Table(tmp_path / "run" / "evals", TABLES["evals"])
    assert table.read().schema == TABLES["evals"]
    assert table.read(["accuracy"], {"split": "test"}).num_rows == 0
    publish(table)
    assert not table.folder.exists()


class Counting(fsspec.implementations.local.LocalFileSystem):
    """A disk that counts the bytes it gives."""

    cachable = False
    given = 0

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        return Counted(super()._open(path, mode, **options))


class Counted:
    """A file that counts the bytes it gives."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        found = self.file.read(size)
        Counting.given += len(found)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Counting]]:
    disk = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(Counting()))
    monkeypatch.setattr(parquet, "DISK", disk)
    Counting.given = 0
    yield Counting
    Counting.given = 0


def test_only_the_columns_asked_for_are_read(folder: Path, counted: type[Counting]) -> None:
    rng = np.random.default_rng(0)
    count = 100_000
    columns = {f"q{i}": rng.standard_normal(count).astype(np.float32) for i in range(20)}
    path = folder / part_name(1, 0)
    write_table(pa.table({"step": np.arange(count)} | columns), path)
    table, size = Table(folder, NOTHING), path.stat().st_size
    whole = table.read()
    assert counted.given >= 0.95 * size
    assert whole.num_rows == count

    counted.given = 0
    assert table.read(["q7"])["q7"].equals(whole["q7"])
    assert counted.given < 0.07 * size  # one of 21 columns, and the footer

    counted.given = 0
    early = table.read(["q7"], also=steps_condition(slice(0, 100)))
    assert early["q7"].to_pylist() == whole["q7"][:100].to_pylist()
    assert counted.given < 0.12 * size  # q7 and step of the first row group of two


def test_a_reader_looks_again_when_a_part_was_published(
    folder: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / FRESH).mkdir()
    for number in range(4):
        write_table(rows(number, number), folder / FRESH / part_name(1, number))
    look = Table.pieces
    looked = []

    def pieces_then_publish(self: Table) -> list[Any]:
        found = look(self)
        looked.append(len(found))
        if len(looked) == 1:  # what another process may do at this moment
            monkeypatch.setattr(Table, "pieces", look)
            publish(Table(folder, TABLES["steps"]))
            monkeypatch.setattr(Table, "pieces", pieces_then_publish)
        return found

    monkeypatch.setattr(Table, "pieces", pieces_then_publish)
    assert steps(table) == [0, 1, 2, 3]
    assert looked == [4, 1]
    assert table.problems == {}


def test_a_reader_looks_again_when_a_file_lost_rows(
    folder: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it knows of the old file, such as where its pages are, does not hold for the new one."""
    write_table(rows(0, 9999), folder / part_name(1, 0))
    look = Table.pieces
    looked = []

    def pieces_then_cut(self: Table) -> list[Any]:
        found = look(self)
        looked.append(len(found))
        if len(looked) == 1:
            set_rows_aside(Table(folder, TABLES["steps"]), 7, 2)
        return found

    monkeypatch.setattr(Table, "pieces", pieces_then_cut)
    assert steps(table) == list(range(7))
    assert table.problems == {}


def test_a_folder_that_is_removed_while_read(folder: Path, table: Table) -> None:
    write_table(rows(0, 4), folder / part_name(1, 0))
    shutil.rmtree(folder)
    assert steps(table) == []


@pytest.mark.parametrize(
    "columns",
    [
        {"step": ["a", "b"]},
        {"step": [1], "loss": ["low"]},
        {"step": [1], "loss": [[0.5]]},
        {"step": [1], "mine": [{"a": 1}]},
    ],
)
def test_a_part_of_other_kinds_is_left_out_and_named(folder: Path, table: Table, columns: dict) -> None:
    write_table(rows(0, 4), folder / part_name(1, 0))
    pq.write_table(pa.table(columns), folder / part_name(1, 1))
    pq.write_table(pa.table(columns), folder / part_name(2, 0))
    assert steps(table) == list(range(5))
    assert len(table.problems) == 2
    assert all("is damaged and was left out (its column" in problem for problem in table.problems.values())
