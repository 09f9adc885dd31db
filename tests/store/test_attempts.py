"""What is left of a run that was taken up again, once or often?"""

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.config import Experiment, LabError
from labapp.store import RunWriter
from labapp.store import writer as store_writer
from tests.store.examples import one_step, part_names


def test_a_second_attempt_adds_and_never_erases(writer: RunWriter) -> None:
    for step in range(10):
        writer.write("steps", one_step(step, accuracy=0.1))
    writer.write("evals", {"step": [0, 5, 10], "split": "test", "accuracy": [0.1, 0.2, 0.3]})
    writer.flush()
    again = RunWriter(writer.path, from_step=5)  # as after a kill: from the checkpoint at step 5
    assert again.run.progress == (5, 300)
    assert len(again.run.steps()) == 10
    for step in range(5, 8):
        again.write("steps", one_step(step, accuracy=0.2))
    again.write("evals", {"step": 8, "split": "test", "accuracy": 0.25})
    run = again.finish()
    assert run.steps()["step"].tolist() == list(range(8))
    assert run.steps()["accuracy"].tolist() == pytest.approx([0.1] * 5 + [0.2] * 3)
    assert run.evals()["accuracy"].tolist() == pytest.approx([0.1, 0.2, 0.25])
    assert [attempt["status"] for attempt in run.attempts] == ["interrupted", "finished"]
    assert [attempt["from_step"] for attempt in run.attempts] == [0, 5]
    aside = pd.read_parquet(writer.path / "steps" / "_superseded" / "all-02-000000.parquet")
    assert aside["step"].tolist() == [5, 6, 7, 8, 9]
    assert pd.read_parquet(writer.path / "steps")["step"].tolist() == list(range(8))

    longer = RunWriter(writer.path, from_step=8)
    longer.write("steps", one_step(8))
    assert longer.finish().steps()["step"].tolist() == list(range(9))
    assert len(longer.run.attempts) == 3


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_attempts_killed_anywhere_leave_what_an_unbroken_run_leaves(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Each attempt begins at or before where the last got to, and repeats its numbers, as a resumed training does."""
    root = tmp_path_factory.mktemp("runs")
    writer, reached, total = RunWriter.create(root, Experiment(), run_id="run"), 0, 12
    while reached < total:
        first = data.draw(st.integers(0, reached))
        last = data.draw(st.integers(reached + 1, total))
        writer = writer if first == reached == 0 else RunWriter(root / "run", from_step=first)
        for step in range(first, last):
            writer.write("steps", one_step(step))
            if step % 3 == 0:
                writer.write("evals", {"step": step, "split": ["test", "train"], "accuracy": step / total})
            if data.draw(st.booleans()):
                writer.flush()
        writer.flush()
        if data.draw(st.booleans()):
            writer.finish("stopped")
        reached = last
    run = writer.finish()
    assert run.steps()["step"].tolist() == list(range(total))
    assert run.steps()["loss"].tolist() == [step / 2 for step in range(total)]
    assert run.evals()["step"].tolist() == [0, 0, 3, 3, 6, 6, 9, 9]
    assert run.problems == []
    assert len(part_names(writer)) <= 2  # one file, and what was set aside


def test_a_run_that_is_being_written_elsewhere_is_left_alone(writer: RunWriter) -> None:
    path = writer.path / "run.json"
    record = json.loads(path.read_text())
    record["attempts"][-1] |= {"pid": 1, "process": store_writer.process_identity(1)}
    path.write_text(json.dumps(record))
    with pytest.raises(LabError, match=r"run 'run' is being written by process 1 on .*; stop it first"):
        RunWriter(writer.path)


def test_opening_clears_what_a_kill_left_behind(writer: RunWriter) -> None:
    writer.write("steps", one_step(0))
    writer.flush()
    for left in ("steps/.part-01-000001.parquet.9.tmp", ".run.json.9-1.tmp"):
        (writer.path / left).write_bytes(b"half")
    RunWriter(writer.path)
    assert not list(writer.path.rglob(".*.tmp"))
