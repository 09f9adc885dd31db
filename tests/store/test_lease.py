"""A run has one writer: what the others are told, and what a writer finds that has lost its run."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from labapp.config import LabError
from labapp.store import RunWriter, lease
from tests.store.examples import edit, one_step

OTHER = textwrap.dedent(
    """
    import sys
    from labapp.store import RunWriter

    try:
        writer = RunWriter(sys.argv[1], from_step=1)
    except ValueError as error:
        sys.exit(str(error))
    writer.write("steps", {"step": 1, "loss": 100.0})
    writer.finish()
    """
)


def another_process(writer: RunWriter) -> str:
    """What another process says that wants to write the run; "" where it could."""
    done = subprocess.run(
        [sys.executable, "-c", OTHER, writer.path], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stderr.strip()


def test_another_process_is_refused_as_long_as_the_writer_lives(writer: RunWriter) -> None:
    assert "is being written by process" in another_process(writer)
    edit(writer.path, status="stopped")  # as a reader would write that thinks it knows better
    assert "is being written by another process" in another_process(writer)
    writer.finish()
    assert another_process(writer) == ""
    assert not (writer.path / lease.LOCK).exists()


def test_a_writer_that_lost_its_run_writes_nothing_more(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.write("steps", one_step(0))
    writer.flush()
    writer.write("steps", one_step(1))
    # a machine that was asleep for an hour, on a disk without locks: elsewhere the run was given up and taken over
    lease._HELD.pop(writer.path.resolve()).release()
    edit(writer.path, status="stopped")
    assert another_process(writer) == ""
    before = {path: path.read_bytes() for path in writer.path.rglob("*") if path.is_file()}
    for write in (writer.flush, writer.finish, lambda: writer.update(message="x"), lambda: writer.checkpoint(1, {})):
        with pytest.raises(LabError, match="was taken over by process"):
            write()
    assert {path: path.read_bytes() for path in writer.path.rglob("*") if path.is_file()} == before
    assert writer.run.steps()["loss"].tolist() == [0.0, 100.0]


def test_a_run_that_was_removed_is_missed(writer: RunWriter) -> None:
    writer.write("steps", one_step(0))
    for path in sorted(writer.path.rglob("*"), reverse=True):
        path.unlink()
    writer.path.rmdir()
    with pytest.raises(LabError, match="is no run any more"):
        writer.flush()
    assert not writer.path.exists()


def test_a_writer_that_was_dropped_is_followed_by_another_of_its_process(writer: RunWriter) -> None:
    writer.write("steps", one_step(0))
    writer.flush()
    following = RunWriter(writer.path, from_step=1)
    following.write("steps", one_step(1))
    assert following.finish().steps()["step"].tolist() == [0, 1]
    with pytest.raises(LabError, match="was taken over"):
        writer.update(message="still here")


def test_a_disk_without_locks_still_has_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from labapp.config import Experiment

    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(lease.FileLock, "acquire", refuse)
    with RunWriter.create(tmp_path, Experiment(), run_id="run") as writer:
        writer.write("steps", one_step(0))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["attempts"][0]["token"]
