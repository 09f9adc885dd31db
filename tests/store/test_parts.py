"""Is each row read once, whatever lies in the folder?"""

import itertools
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.store.parquet import write_table
from labapp.store.parts import FRESH, part_name, parts
from labapp.store.publishing import gather, publish
from labapp.store.schema import TABLES
from labapp.store.superseding import set_rows_aside
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
    (folder / FRESH).mkdir()
    count = data.draw(st.integers(1, 12))
    for number in range(count):
        pq.write_table(rows(number, number), folder / FRESH / part_name(1, number))
    ends = [0]  # where a file ends and the next begins, as they are gathered, then published
    while ends[-1] < count:
        ends.append(data.draw(st.integers(ends[-1] + 1, count)))
    for first, end in itertools.pairwise(ends):
        pq.write_table(rows(first, end - 1), folder / FRESH / part_name(1, first, end - 1))
    done = 0
    for end in ends[1:]:
        if data.draw(st.booleans()):
            if data.draw(st.booleans()):
                write_table(rows(done, end - 1), folder / part_name(1, done, end - 1))
            else:  # by an earlier version of the lab
                write_table(rows(0, end - 1), folder / f"all-01-{end - 1:06d}.parquet")
            done = end
    living = {part.path for part in parts(folder)}
    for path in sorted(set(folder.rglob("*.parquet")) - living):
        if data.draw(st.booleans()):
            path.unlink()
    table = Table(folder, TABLES["steps"])
    assert steps(table) == list(range(count))
    assert not table.problems
    for arrange in (lambda: gather(table, 1), lambda: publish(table)):
        arrange()
        assert steps(table) == list(range(count))
        assert not table.problems
    assert not list((folder / FRESH).iterdir())


def test_a_later_attempt_replaces_from_where_it_begins(folder: Path, table: Table) -> None:
    write_table(rows(0, 9, accuracy=0.1), folder / part_name(1, 0))
    write_table(rows(10, 19, accuracy=0.1), folder / part_name(1, 1))
    write_table(rows(15, 21, accuracy=0.2), folder / part_name(2, 0))
    write_table(rows(12, 13, accuracy=0.3), folder / part_name(3, 0))
    expected = {"step": list(range(14)), "accuracy": [0.1] * 12 + [0.3] * 2}
    assert table.read(["step", "accuracy"]).to_pydict() == expected
    for attempt, begins in ((2, 15), (3, 12)):  # by earlier versions of the lab they were left where they are
        set_rows_aside(table, begins, attempt)
    assert table.read(["step", "accuracy"]).to_pydict() == expected
    # other tools see what we see
    found = pq.read_table(folder)
    assert {name: found[name].to_pylist() for name in expected} == expected
    aside = pq.read_table(folder / "_superseded").to_pydict()
    assert sorted(aside["step"]) == sorted([*range(12, 20), *range(15, 22)])  # nothing that was recorded is gone
    assert table.problems == {}


def test_temporary_files_and_strangers_are_not_read(folder: Path, table: Table) -> None:
    write_table(rows(0, 4), folder / part_name(1, 0))
    (folder / ".part-01-000001.parquet.77.tmp").write_bytes(b"PAR1 half")
    (folder / "part-01-000001.parquet.tmp").write_bytes(b"")
    (folder / "notes.txt").write_text("mine")
    (folder / "part-01-000002.parquet").mkdir()
    (folder / "part-01-000003.parquet").symlink_to(folder / "nowhere")
    assert steps(table) == [0, 1, 2, 3, 4]
