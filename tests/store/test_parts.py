"""Is each row read once, whatever lies in the folder?"""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.store.compaction import compact
from labapp.store.parquet import write_table
from labapp.store.parts import part_name, parts
from labapp.store.schema import TABLES
from labapp.store.table import Table
from tests.store.examples import rows, steps


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
    compact(table)
    assert steps(table) == list(range(count))
    assert len(list(folder.iterdir())) == 1


def test_a_later_attempt_replaces_from_where_it_begins(folder: Path, table: Table) -> None:
    write_table(rows(0, 9, accuracy=0.1), folder / part_name(1, 0))
    write_table(rows(10, 19, accuracy=0.1), folder / part_name(1, 1))
    write_table(rows(15, 21, accuracy=0.2), folder / part_name(2, 0))
    write_table(rows(12, 13, accuracy=0.3), folder / part_name(3, 0))
    expected = {"step": list(range(14)), "accuracy": [0.1] * 12 + [0.3] * 2}
    assert table.read(["step", "accuracy"]).to_pydict() == expected
    compact(table)
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
