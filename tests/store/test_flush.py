"""When do rows reach the disk, and what if it is slow, full or faulty?"""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from labapp.config import LabError
from labapp.store import RunWriter, compaction, list_runs
from labapp.store import writer as store_writer
from tests.store.examples import one_step, part_names


def test_rows_wait_in_memory_until_a_flush(writer: RunWriter) -> None:
    writer.write("steps", one_step(0))
    assert len(writer.run.steps()) == 0
    writer.flush()
    writer.flush()
    assert writer.run.steps()["loss"].tolist() == [0.0]
    assert part_names(writer) == ["part-01-000000.parquet"]
    assert writer.run.progress == (1, 300)


def test_after_two_seconds_rows_are_written_while_training_goes_on(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_writer, "FLUSH_SECONDS", 0.05)
    slow = threading.Event()
    write_table = store_writer.write_table

    def on_a_slow_disk(*arguments: Any) -> None:
        assert threading.current_thread() is not threading.main_thread()
        slow.wait(10)
        write_table(*arguments)

    monkeypatch.setattr(store_writer, "write_table", on_a_slow_disk)
    writer.write("steps", one_step(0))
    time.sleep(0.06)
    started = time.perf_counter()
    for step in range(1, 100):
        writer.write("steps", one_step(step))
        writer.describe([], {"cost": step})
    assert time.perf_counter() - started < 1.0  # the disk stands still, training does not
    slow.set()
    monkeypatch.setattr(store_writer, "write_table", write_table)
    assert writer.finish().steps()["step"].tolist() == list(range(100))


def test_many_rows_are_written_before_the_time(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "FLUSH_ROWS", 10)
    for step in range(10):
        writer.write("steps", one_step(step))
    until = time.monotonic() + 20
    while len(writer.run.steps()) < 10 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(writer.run.steps()) == 10


def test_single_parts_are_merged_as_they_gather(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "MERGE", 4)
    for step in range(10):
        writer.write("steps", one_step(step))
        writer.flush()
        assert writer.run.steps()["step"].tolist() == list(range(step + 1))
    assert part_names(writer) == [
        "part-01-000000-000003.parquet",
        "part-01-000004-000007.parquet",
        "part-01-000008.parquet",
        "part-01-000009.parquet",
    ]
    assert writer.finish().steps()["step"].tolist() == list(range(10))


def test_the_recorders_cost_comes_with_the_next_flush(writer: RunWriter) -> None:
    writer.describe([{"index": 0, "path": "a"}], {"cost": 1})
    assert writer.run.layers_info == [{"index": 0, "path": "a"}]
    stamp = (writer.path / "run.json").stat().st_mtime_ns
    writer.describe([{"index": 0, "path": "a"}], {"cost": 2})
    assert (writer.path / "run.json").stat().st_mtime_ns == stamp
    assert writer.finish().recorder == {"cost": 2}


def test_a_full_disk_loses_nothing(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table, full = store_writer.write_table, True

    def on_a_full_disk(table: Any, path: Path) -> None:
        if full and path.parent.name == "steps":
            raise OSError(28, "No space left on device")
        write_table(table, path)

    monkeypatch.setattr(store_writer, "write_table", on_a_full_disk)
    for step in range(3):
        writer.write("evals", {"step": step, "split": "test"})
        writer.write("steps", one_step(step))
        with pytest.raises(LabError, match=r"cannot write to .*steps: No space left on device"):
            writer.flush()
    full = False
    run = writer.finish()
    assert run.steps()["step"].tolist() == [0, 1, 2]
    assert run.evals()["step"].tolist() == [0, 1, 2]


def test_a_failure_behind_is_told_once_and_tried_again(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "FLUSH_SECONDS", 0.0)
    write_table = store_writer.write_table

    def fails(table: Any, path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store_writer, "write_table", fails)
    writer.write("steps", one_step(0))
    kept, told, until = 0, "", time.monotonic() + 20
    while not told and time.monotonic() < until:
        time.sleep(0.001)
        kept += 1
        try:
            writer.write("steps", one_step(kept))
        except LabError as error:
            told = str(error)
    assert "Input/output error" in told
    monkeypatch.setattr(store_writer, "write_table", write_table)
    writer.write("steps", one_step(kept + 1))
    assert writer.finish().steps()["step"].tolist() == list(range(kept + 2))


def test_a_table_that_cannot_be_compacted_stays_in_parts(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in range(3):
        writer.write("steps", one_step(step))
        writer.flush()

    def fails(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compaction, "_copy", fails)
    run = writer.finish()
    assert run.status == "finished"
    assert "table 'steps' was left in parts" in run.message
    assert len(part_names(writer)) == 3
    assert run.steps()["step"].tolist() == [0, 1, 2]


def test_several_threads_may_write(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "FLUSH_SECONDS", 0.01)

    def some(name: str) -> None:
        for step in range(200):
            writer.write(name, {"step": step, "x": step})

    threads = [threading.Thread(target=some, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run = writer.finish()
    assert all(run.table(name)["step"].tolist() == list(range(200)) for name in ("one", "two", "three"))
    assert list_runs(writer.path.parent) == [run]
