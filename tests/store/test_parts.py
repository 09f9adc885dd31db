"""Is each row read once, whatever lies in the folder?"""

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
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.config import LabError
from labapp.store import parts as store_parts
from labapp.store.files import write_whole
from labapp.store.parts import Table, part_name, parts, steps_condition, write_table
from labapp.store.schema import NOTHING, TABLES


def rows(first: int, last: int, **more: Any) -> pa.Table:
    """Steps from first to last, both included; the loss tells the step."""
    steps = np.arange(first, last + 1)
    return pa.table(
        {"step": steps, "loss": (steps / 2).astype(np.float32)} | {k: [v] * len(steps) for k, v in more.items()}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "steps"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def table(folder: Path) -> Table:
    return Table(folder, TABLES["steps"])


def steps(table: Table, **options: Any) -> list[int]:
    return table.read(["step"], **options)["step"].to_pylist()


def test_parts_are_read_in_the_order_written(folder: Path, table: Table) -> None:
    for number in (10, 9, 0, 8, 7, 1, 2, 6, 5, 3, 4):
        write_table(rows(number, number), folder / part_name(1, number))
    assert steps(table) == list(range(11))
    assert table.problems == {}
    assert table.read().column_names == ["step", "loss"]


def test_names_sort_by_number_however_many_there_are(folder: Path, table: Table) -> None:
    write_table(rows(0, 0), folder / "part-01-999999.parquet")
    write_table(rows(1, 1), folder / "part-01-1000000.parquet")
    write_table(rows(2, 2), folder / "part-100-000000.parquet")
    assert steps(table) == [0, 1, 2]


def test_a_file_that_covers_others_supersedes_them(folder: Path, table: Table) -> None:
    for number in range(6):
        write_table(rows(number, number), folder / part_name(1, number))
    write_table(rows(0, 3), folder / part_name(1, 0, 3))  # merged, its parts not yet deleted
    assert steps(table) == [0, 1, 2, 3, 4, 5]
    write_table(rows(0, 4), folder / "all-01-000004.parquet")
    assert steps(table) == [0, 1, 2, 3, 4, 5]
    assert [part.path.name for part in parts(folder)] == ["all-01-000004.parquet", "part-01-000005.parquet"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_was_merged_and_whatever_was_left_behind(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any nesting of merges, with any of the covered files still there, is the same table."""
    folder = tmp_path_factory.mktemp("run")
    count = data.draw(st.integers(1, 12))
    for number in range(count):
        pq.write_table(rows(number, number), folder / part_name(1, number))
    done = 0
    while done < count - 1 and data.draw(st.booleans()):
        last = data.draw(st.integers(done + 1, count - 1))
        pq.write_table(rows(done, last), folder / part_name(1, done, last))
        done = last + 1
    if done and data.draw(st.booleans()):
        write_table(rows(0, done - 1), folder / f"all-01-{done - 1:06d}.parquet")
    living = {part.path for part in parts(folder)}
    for path in sorted(set(folder.iterdir()) - living):
        if data.draw(st.booleans()):
            path.unlink()
    table = Table(folder, TABLES["steps"])
    assert steps(table) == list(range(count))
    assert not table.problems
    table.compact()
    assert steps(table) == list(range(count))
    assert len(list(folder.iterdir())) == 1


def test_a_later_attempt_replaces_from_where_it_begins(folder: Path, table: Table) -> None:
    write_table(rows(0, 9, accuracy=0.1), folder / part_name(1, 0))
    write_table(rows(10, 19, accuracy=0.1), folder / part_name(1, 1))
    write_table(rows(15, 21, accuracy=0.2), folder / part_name(2, 0))
    write_table(rows(12, 13, accuracy=0.3), folder / part_name(3, 0))
    expected = {"step": list(range(14)), "accuracy": [0.1] * 12 + [0.3] * 2}
    assert table.read(["step", "accuracy"]).to_pydict() == expected
    table.compact()
    assert table.read(["step", "accuracy"]).to_pydict() == expected
    assert [path.name for path in sorted(folder.glob("*.parquet"))] == ["all-03-000000.parquet"]
    aside = pq.read_table(folder / "_superseded" / "all-03-000000.parquet").to_pydict()
    assert aside["step"] == [*range(12, 20), *range(15, 22)]  # nothing that was recorded is gone
    # other tools see what we see
    assert pq.read_table(folder)["step"].to_pylist() == expected["step"]
    write_table(rows(14, 15, accuracy=0.4), folder / part_name(4, 0))
    assert steps(table) == list(range(16))


def test_temporary_files_and_strangers_are_not_read(folder: Path, table: Table) -> None:
    write_table(rows(0, 4), folder / part_name(1, 0))
    (folder / ".part-01-000001.parquet.77.tmp").write_bytes(b"PAR1 half")
    (folder / "part-01-000001.parquet.tmp").write_bytes(b"")
    (folder / "notes.txt").write_text("mine")
    (folder / "part-01-000002.parquet").mkdir()
    (folder / "part-01-000003.parquet").symlink_to(folder / "nowhere")
    assert steps(table) == [0, 1, 2, 3, 4]


DAMAGES = {
    "empty": lambda whole: b"",
    "half": lambda whole: whole[: len(whole) // 2],
    "garbage": lambda whole: os.urandom(len(whole)),
    "footer": lambda whole: whole[:-20] + bytes(20),
    "a page": lambda whole: whole[:30] + bytes(byte ^ 0xFF for byte in whole[30:60]) + whole[60:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_left_out_and_named(folder: Path, table: Table, damage: str) -> None:
    for number in range(3):
        write_table(rows(10 * number, 10 * number + 9), folder / part_name(1, number))
    path = folder / part_name(1, 1)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert steps(table) == [*range(10), *range(20, 30)]
    (problem,) = table.problems.values()
    assert problem.startswith("steps/part-01-000001.parquet is damaged and was left out (")
    assert "\n" not in problem
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    table.merge(1)
    try:
        table.compact()
    except OSError:
        assert damage == "a page"  # which only reading finds
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before  # nothing is tidied away over a fault


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
    write_table(rows(0, 1), folder / part_name(1, 0))
    write_table(rows(2, 3, surprise=1.5), folder / part_name(1, 1))
    for _ in range(2):
        frame = table.read(["step", "surprise"]).to_pandas()
        assert frame["surprise"].isna().tolist() == [True, True, False, False]
        assert table.read(where={"surprise": 1.5})["step"].to_pylist() == [2, 3]
        assert table.read().column_names == ["step", "loss", "surprise"]
        table.compact()


def test_types_that_differ_between_parts_are_widened(folder: Path) -> None:
    table = Table(folder, NOTHING)
    write_table(pa.table({"step": [0], "count": [3]}), folder / part_name(1, 0))
    write_table(pa.table({"step": [1], "count": pa.array([0.5], pa.float32())}), folder / part_name(1, 1))
    assert table.read()["count"].to_pylist() == [3.0, 0.5]


WHERES: list[tuple[Any, list[int]]] = [
    ([("step", ">=", 18)], [18, 19]),
    ([("step", ">", 3), ("step", "<=", 5)], [4, 5]),
    ([["step", "==", 7]], [7]),
    ([[("step", "=", 1)], [("step", ">", 18)]], [1, 19]),
    ([("step", "in", [3, 5, 99])], [3, 5]),
    ([("step", "not in", range(2, 20))], [0, 1]),
    ({"step": 4}, [4]),
    ({"step": [4, 6], "loss": 3.0}, [6]),
    ({"step": np.array([2])}, [2]),
    ([], list(range(20))),
    ({}, list(range(20))),
    ([("learning_rate", ">", 0)], []),  # known, and in no part: NaN
]


@pytest.mark.parametrize(("where", "expected"), WHERES)
def test_where(folder: Path, table: Table, where: Any, expected: list[int]) -> None:
    write_table(rows(0, 9), folder / part_name(1, 0))
    write_table(rows(10, 19), folder / part_name(1, 1))
    assert steps(table, where=where) == expected
    assert steps(table, where=where, also=steps_condition(slice(0, 1000))) == expected


@pytest.mark.parametrize(
    ("steps_asked", "expected"),
    [
        (3, [3]),
        (slice(0, 3), [0, 1, 2]),
        (slice(17, None), [17, 18, 19]),
        (slice(None, 2), [0, 1]),
        (range(4, 6), [4, 5]),
        ([1, 5, 77], [1, 5]),
        (np.array([2]), [2]),
        (np.int64(2), [2]),
        (None, list(range(20))),
    ],
)
def test_steps(folder: Path, table: Table, steps_asked: Any, expected: list[int]) -> None:
    write_table(rows(0, 19), folder / part_name(1, 0))
    assert steps(table, also=steps_condition(steps_asked)) == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": ["lss"]}, "table 'steps' of run 'run' has no column 'lss' \\(did you mean 'loss'\\?\\)"),
        ({"where": {"split": "test"}}, "has no column 'split'; it has step and loss"),
        ({"columns": ["zzzz"]}, "has no column 'zzzz'; it has step and loss"),
        ({"where": {"lss": 1}}, "has no column 'lss'"),
        ({"where": [("step", "~", 1)]}, "does not fit"),
        ({"where": [("step", ">=", "early")]}, "does not fit"),
        ({"where": "step > 3"}, "does not fit"),
        ({"where": [("step", ">")]}, "does not fit"),
        ({"where": [("step", "in", 3)]}, "does not fit"),
        ({"where": 3}, "does not fit"),
    ],
)
def test_a_question_that_does_not_fit(folder: Path, table: Table, options: dict, words: str) -> None:
    write_table(rows(0, 1), folder / part_name(1, 0))
    with pytest.raises(LabError, match=words) as told:
        table.read(**options)
    assert "\n" not in str(told.value)
    assert table.problems == {}


def test_a_slice_with_a_stride_is_refused() -> None:
    with pytest.raises(LabError, match="without a stride"):
        steps_condition(slice(0, 10, 2))


def test_a_table_without_parts_has_its_columns_and_no_rows(tmp_path: Path) -> None:
    table = Table(tmp_path / "run" / "evals", TABLES["evals"])
    assert table.read().schema == TABLES["evals"]
    assert table.read(["accuracy"], {"split": "test"}).num_rows == 0
    table.compact()
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
    monkeypatch.setattr(store_parts, "_DISK", disk)
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


def test_a_reader_looks_again_when_a_part_was_merged_away(
    folder: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        write_table(rows(number, number), folder / part_name(1, number))
    look = Table.pieces
    looked = []

    def pieces_then_merge(self: Table) -> list[Any]:
        found = look(self)
        looked.append(len(found))
        if len(looked) == 1:  # what another process may do at this moment
            monkeypatch.setattr(Table, "pieces", look)
            Table(folder, TABLES["steps"]).merge(1)
            monkeypatch.setattr(Table, "pieces", pieces_then_merge)
        return found

    monkeypatch.setattr(Table, "pieces", pieces_then_merge)
    assert steps(table) == [0, 1, 2, 3]
    assert looked == [4, 1]
    assert table.problems == {}


def test_a_folder_that_is_removed_while_read(folder: Path, table: Table) -> None:
    write_table(rows(0, 4), folder / part_name(1, 0))
    shutil.rmtree(folder)
    assert steps(table) == []


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_whole(path, lambda file: file.write(b"first"))

    def fails(file: Any) -> None:
        file.write(b"sec")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_whole(path, fails)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]
