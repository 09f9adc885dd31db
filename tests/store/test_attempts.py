"""What is left of a run that was taken up again, once or often?"""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.config import Experiment, LabError
from labapp.store import RunWriter, resume_points, superseding
from labapp.store import writer as store_writer
from tests.store.examples import one_step


def test_a_second_attempt_adds_and_never_erases(writer: RunWriter) -> None:
    for step in range(10):
        writer.write("steps", one_step(step, accuracy=0.1))
    writer.write("evals", {"step": [0, 5, 10], "split": "test", "accuracy": [0.1, 0.2, 0.3]})
    writer.flush()
    again = RunWriter(writer.path, from_step=5)  # as after a kill: from the checkpoint at step 5
    assert again.run.progress == (5, 300)
    assert len(again.run.steps()) == 5
    assert pd.read_parquet(writer.path / "steps")["step"].tolist() == list(range(5))
    for step in range(5, 8):
        again.write("steps", one_step(step, accuracy=0.2))
    again.write("evals", {"step": 8, "split": "test", "accuracy": 0.25})
    run = again.finish()
    assert run.steps()["step"].tolist() == list(range(8))
    assert run.steps()["accuracy"].tolist() == pytest.approx([0.1] * 5 + [0.2] * 3)
    assert run.evals()["accuracy"].tolist() == pytest.approx([0.1, 0.2, 0.25])
    assert [attempt["status"] for attempt in run.attempts] == ["interrupted", "finished"]
    assert [attempt["from_step"] for attempt in run.attempts] == [0, 5]
    aside = pd.read_parquet(writer.path / "steps" / "_superseded" / "part-01-000000.attempt-02.parquet")
    assert aside["step"].tolist() == [5, 6, 7, 8, 9]
    assert pd.read_parquet(writer.path / "steps")["step"].tolist() == list(range(8))

    longer = RunWriter(writer.path, from_step=8)
    longer.write("steps", one_step(8))
    assert longer.finish().steps()["step"].tolist() == list(range(9))
    assert len(longer.run.attempts) == 3


@pytest.mark.long
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
    assert pd.read_parquet(run.path / "steps")["step"].tolist() == list(range(total))
    assert pd.read_parquet(run.path / "evals")["step"].tolist() == [0, 0, 3, 3, 6, 6, 9, 9]


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


def test_checkpoints_and_probes_past_the_point_are_set_aside(writer: RunWriter) -> None:
    for step in (0, 10, 20, 30):
        writer.checkpoint(step, {"w": np.full(3, step)}, b"state")
        writer.write_probe("cka", step, pd.DataFrame({"value": [step]}))
    again = RunWriter(writer.path, from_step=10)
    run = again.run
    assert run.checkpoints() == [0, 10]
    assert run.probes() == {"cka": [0, 10]}
    aside = sorted(str(path.relative_to(run.path)) for path in run.path.rglob("_superseded/*/*"))
    assert aside == sorted(
        f"{folder}/_superseded/attempt-02/{name}"
        for step in (20, 30)
        for folder, name in (
            ("checkpoints", f"step-{step:08d}.pt"),
            ("checkpoints", f"step-{step:08d}.safetensors"),
            ("probes", f"cka.step-{step:08d}.parquet"),
        )
    )
    again.checkpoint(20, {"w": np.zeros(3)})
    third = RunWriter(writer.path, from_step=0)
    assert third.run.checkpoints() == [0]
    assert len(list(run.path.rglob("*.safetensors"))) == 5  # nothing was erased


def test_a_table_without_steps_is_kept(writer: RunWriter) -> None:
    writer.write("mine", {"x": [1, 2]})
    writer.write("steps", one_step(5))
    writer.flush()
    again = RunWriter(writer.path, from_step=0)
    again.write("mine", {"x": [3]})
    run = again.finish()
    assert run.table("mine")["x"].tolist() == [1, 2, 3]
    assert run.steps().empty


def test_opened_without_a_step_a_run_keeps_what_is_not_written_anew(writer: RunWriter) -> None:
    for step in range(10):
        writer.write("steps", one_step(step))
    writer.write("evals", {"step": [0, 10], "split": "test"})
    writer.finish()
    again = RunWriter(writer.path)
    assert len(again.run.steps()) == 10
    again.write("steps", one_step(7))
    again.write("evals", {"step": 20, "split": "test"})
    run = again.finish()
    assert run.steps()["step"].tolist() == list(range(8))
    assert run.evals()["step"].tolist() == [0, 10, 20]


@pytest.mark.filterwarnings("ignore::labapp.store.appending.StoreWarning")
def test_a_run_that_cannot_be_taken_up_says_so(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.write("steps", one_step(0))
    writer.finish("stopped")

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(superseding, "write_whole", fails)
    with pytest.raises(LabError, match="No space left on device"):
        RunWriter(writer.path, from_step=0)
    assert writer.run.status == "failed"
    assert "could not be taken up" in writer.run.message
    assert len(writer.run.steps()) == 1
    monkeypatch.undo()
    RunWriter(writer.path, from_step=0).finish("stopped")
    assert writer.run.steps().empty


def test_no_later_point_to_go_on_from_is_left(writer: RunWriter) -> None:
    """Else a crash soon after would be followed by an attempt that begins behind a gap."""
    writer.write("steps", {"step": np.arange(20)})
    writer.keep(20, {"w": np.zeros(3)}, b"state")
    again = RunWriter(writer.path, from_step=10)
    assert resume_points(writer.path) == []
    again.keep(12, {"w": np.zeros(3)}, b"state")
    assert [point.step for point in resume_points(writer.path)] == [12]
