"""When do rows reach the disk, and what if it is slow, full or faulty?"""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labapp.config import LabError
from labapp.store import Run, RunWriter, appending, list_runs, publishing
from labapp.store import writer as store_writer
from labapp.store.appending import StoreWarning
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
    began, slow = threading.Event(), threading.Event()
    waits: list[bool] = []
    write_table = appending.write_table

    def on_a_slow_disk(*arguments: Any, **options: Any) -> None:
        assert threading.current_thread() is not threading.main_thread()
        began.set()
        waits.append(slow.wait(60))
        write_table(*arguments, **options)

    monkeypatch.setattr(appending, "write_table", on_a_slow_disk)
    writer.write("steps", one_step(0))
    time.sleep(0.06)
    for step in range(1, 100):
        writer.write("steps", one_step(step))
        writer.describe([], {"cost": step})
    assert began.wait(60)
    assert not waits  # the disk stands still, training does not
    slow.set()
    monkeypatch.setattr(appending, "write_table", write_table)
    assert writer.finish().steps()["step"].tolist() == list(range(100))


def test_many_rows_are_written_before_the_time(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "FLUSH_ROWS", 10)
    for step in range(10):
        writer.write("steps", one_step(step))
    until = time.monotonic() + 20
    while len(writer.run.steps()) < 10 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(writer.run.steps()) == 10


def test_what_waits_is_published_when_it_is_an_eighth(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "GATHER", 2)
    for step in range(19):
        writer.write("steps", one_step(step))
        writer.flush()
        assert writer.run.steps()["step"].tolist() == list(range(step + 1))
        published = pd.read_parquet(writer.path / "steps")["step"].tolist()
        assert published == list(range(len(published)))
        assert 9 * len(published) >= 8 * (step + 1)
    assert part_names(writer)[6:] == [
        "part-01-000006.parquet",
        "part-01-000007.parquet",
        "part-01-000008-000009.parquet",
        "part-01-000010-000011.parquet",
        "part-01-000012-000013.parquet",
        "part-01-000014-000015.parquet",
        "part-01-000016-000018.parquet",
    ]
    assert writer.finish().steps()["step"].tolist() == list(range(19))


def test_what_waits_long_is_gathered(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "GATHER", 4)
    writer.write("steps", {"step": np.arange(200)})
    writer.flush()
    for step in range(200, 220):
        writer.write("steps", one_step(step))
        writer.flush()
        assert writer.run.steps()["step"].tolist() == list(range(step + 1))
    waiting = ["001-000003", "004-000007", "008-000011", "012-000015", "016-000019", "020"]
    assert part_names(writer) == ["part-01-000000.parquet", *(f"_fresh/part-01-000{each}.parquet" for each in waiting)]
    run = writer.finish()
    assert part_names(writer) == ["part-01-000000.parquet", "part-01-000001-000020.parquet"]
    assert run.steps()["step"].tolist() == list(range(220))


def test_the_recorders_cost_comes_with_the_next_flush(writer: RunWriter) -> None:
    writer.describe([{"index": 0, "path": "a"}], {"cost": 1})
    assert writer.run.layers_info == [{"index": 0, "path": "a"}]
    stamp = (writer.path / "run.json").stat().st_mtime_ns
    writer.describe([{"index": 0, "path": "a"}], {"cost": 2})
    assert (writer.path / "run.json").stat().st_mtime_ns == stamp
    assert writer.finish().recorder == {"cost": 2}


def test_a_full_disk_loses_nothing(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table, full = appending.write_table, True

    def on_a_full_disk(table: Any, path: Path, **options: Any) -> None:
        if full and path.parent.name == "steps":
            raise OSError(28, "No space left on device")
        write_table(table, path, **options)

    monkeypatch.setattr(appending, "write_table", on_a_full_disk)
    for step in range(3):
        writer.write("evals", {"step": step, "split": "test"})
        writer.write("steps", one_step(step))
        with pytest.raises(LabError, match=r"cannot write to .*steps: No space left on device"):
            writer.flush()
    full = False
    run = writer.finish()
    assert run.steps()["step"].tolist() == [0, 1, 2]
    assert run.evals()["step"].tolist() == [0, 1, 2]


def until_faults(writer: RunWriter, steps: int = 1) -> int:
    """Write steps until a fault stands in run.json; how many there are then."""
    until = time.monotonic() + 20
    while not writer.run.record.faults and time.monotonic() < until:
        time.sleep(0.001)
        writer.write("steps", one_step(steps))
        steps += 1
    return steps


def test_a_failure_behind_is_told_once_and_tried_again(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "FLUSH_SECONDS", 0.0)
    write_table = appending.write_table

    def fails(table: Any, path: Path, **options: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(appending, "write_table", fails)
    writer.write("steps", one_step(0))
    with pytest.warns(StoreWarning, match="Input/output error") as warned:  # noqa: PT031
        kept = until_faults(writer)
        for step in range(kept, kept + 50):  # it fails again and again, and training goes on
            writer.write("steps", one_step(step))
            time.sleep(0.001)
    assert len(warned) == 1
    monkeypatch.setattr(appending, "write_table", write_table)
    writer.write("steps", one_step(kept + 50))
    run = writer.finish()
    assert run.steps()["step"].tolist() == list(range(kept + 51))
    assert run.status == "finished"  # nothing is lost
    assert ["Input/output error" in problem for problem in run.problems] == [True]


def test_memory_is_finite_and_what_is_lost_is_said(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(store_writer, "FLUSH_ROWS", 25)

    def fails(table: Any, path: Path, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(appending, "write_table", fails)
    with pytest.warns(StoreWarning), pytest.raises(LabError, match="No space left"):  # noqa: PT012, PT031
        for step in range(10_000):
            writer.write("steps", one_step(step))
    with pytest.raises(LabError, match="No space left on device"):
        writer.finish()
    assert writer.run.status == "failed"
    assert "rows were not written: cannot write to" in writer.run.message


@pytest.mark.filterwarnings("error")
def test_a_fault_is_no_exception_where_warnings_are(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "FLUSH_SECONDS", 0.0)
    real, calls = appending.write_table, []

    def fails_once(table: Any, path: Path, **options: Any) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise OSError(5, "Input/output error")
        real(table, path, **options)

    monkeypatch.setattr(appending, "write_table", fails_once)
    writer.write("steps", one_step(0))
    kept = until_faults(writer)
    assert writer.finish().steps()["step"].tolist() == list(range(kept))


def flip(path: Path) -> None:
    """Turn over one bit in the first page of data."""
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("flipped", ["part-01-000001.parquet", "_fresh/part-01-000008.parquet"])
def test_a_damaged_part_ends_neither_recording_nor_goes_unsaid(writer: RunWriter, flipped: str) -> None:
    number = int(flipped[-9:-8])
    with pytest.warns(StoreWarning) as warned:  # noqa: PT031
        for step in range(12):
            writer.write("steps", one_step(step, note="word"))
            writer.flush()
            if step == number:
                flip(writer.path / "steps" / flipped)
        run = writer.finish()
    assert any(f"{flipped} is damaged" in str(warning.message) for warning in warned)
    assert run.status == "incomplete"
    assert run.steps()["step"].tolist() == [step for step in range(12) if step != number]
    assert any(f"{flipped} is damaged" in problem for problem in run.problems)
    assert flipped in part_names(writer)  # for whoever can mend it


def test_damage_that_one_reader_finds_every_reader_knows(writer: RunWriter) -> None:
    writer.write("steps", {"step": np.arange(100), "loss": np.random.default_rng(0).random(100)})
    writer.finish()
    flip(writer.path / "steps" / "part-01-000000.parquet")
    assert Run(writer.path).problems == []  # the footer is whole, and nobody has read the rows
    assert Run(writer.path).steps().empty
    assert ["is damaged and was left out" in problem for problem in Run(writer.path).problems] == [True]


@pytest.mark.parametrize("which", ["the last", "all"])
def test_a_part_that_is_gone_is_missed(writer: RunWriter, which: str) -> None:
    for step in range(3):
        writer.write("steps", one_step(step))
        writer.flush()
    for name in part_names(writer)[-1 if which == "the last" else 0 :]:
        (writer.path / "steps" / name).unlink()
    assert writer.run.problems == ["steps/part-01-000002.parquet is missing and its rows with it"]
    assert writer.finish().status == "incomplete"


def test_a_part_is_never_replaced(writer: RunWriter) -> None:
    writer.write("steps", one_step(0))
    (writer.path / "steps").mkdir()
    (writer.path / "steps" / "part-01-000000.parquet").write_bytes(b"somebody else's")
    with pytest.raises(LabError, match="File exists"):
        writer.flush()
    assert (writer.path / "steps" / "part-01-000000.parquet").read_bytes() == b"somebody else's"


def test_a_table_that_cannot_be_published_stays_as_it_is(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in range(11):
        writer.write("steps", one_step(step))
        writer.flush()

    def fails(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    before = part_names(writer)
    monkeypatch.setattr(publishing, "write_new", fails)
    with pytest.warns(StoreWarning, match="table 'steps' was left in parts"):
        run = writer.finish()
    assert run.status == "finished"
    assert "table 'steps' was left in parts" in run.message
    assert part_names(writer) == before
    assert run.steps()["step"].tolist() == list(range(11))


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
