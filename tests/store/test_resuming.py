"""From which points can a training go on, and what becomes of the kept one?"""

import json

import numpy as np
import pytest

from labapp.config import LabError
from labapp.store import Run, RunWriter, resume_points
from tests.store.examples import one_step

WEIGHTS = {"weight": np.arange(6.0)}


def steps(run):
    return [point.step for point in resume_points(run.path)]


def kept(run):
    return sorted(path.name for path in (run.path / "_resume").iterdir())


def test_the_kept_point_is_one_and_no_checkpoint_and_no_table(writer: RunWriter) -> None:
    for step in (3, 5, 9):
        writer.write("steps", one_step(step))
        writer.keep(step, WEIGHTS, b"state %d" % step)
        assert kept(writer.run) == [f"step-{step:08d}.pt", f"step-{step:08d}.safetensors"]
        assert writer.run.steps()["step"].iloc[-1] == step  # rows come before the point that builds on them
    run = writer.run
    (point,) = resume_points(run.path)
    assert (point.step, point.problem, point.state()) == (9, "", b"state 9")
    assert run.checkpoints() == []
    assert run.tables() == ["steps"]
    assert run.problems == []
    writer.drop_kept()
    assert not (run.path / "_resume").exists()
    writer.drop_kept()


def test_points_come_latest_first_and_only_with_their_state(writer: RunWriter) -> None:
    writer.checkpoint(0, WEIGHTS, b"state")
    writer.checkpoint(8, WEIGHTS, b"state")
    writer.checkpoint(9, WEIGHTS)
    writer.keep(5, WEIGHTS, b"state")
    assert steps(writer.run) == [8, 5, 0]
    path = resume_points(writer.path)[0].weights
    path.write_bytes(path.read_bytes()[:20])
    assert "is damaged" in resume_points(writer.path)[0].problem
    path.with_suffix(".pt").unlink()
    assert steps(writer.run) == [5, 0]


def test_a_state_that_is_gone_is_told(writer: RunWriter) -> None:
    writer.keep(5, WEIGHTS, b"state")
    (point,) = resume_points(writer.path)
    point.weights.with_suffix(".pt").unlink()
    with pytest.raises(LabError, match=r"step-00000005.safetensors has lost the training state beside it"):
        point.state()


@pytest.mark.filterwarnings("ignore::labapp.store.appending.StoreWarning")
def test_what_fails_is_noted_once_and_the_point_before_stays(writer: RunWriter) -> None:
    writer.keep(3, WEIGHTS, b"state")
    (folder := writer.path / "_resume").rename(writer.path / "_aside")
    folder.write_text("in the way")
    for step in (4, 5):
        writer.keep(step, WEIGHTS, b"state")
    (fault,) = writer.run.record.faults
    assert "no resume point was kept: cannot write to" in fault
    folder.unlink()
    (writer.path / "_aside").rename(folder)
    assert steps(writer.run) == [3]
    writer.keep(6, WEIGHTS, b"state")
    assert steps(writer.run) == [6]


def test_a_writer_that_lost_the_run_keeps_nothing(writer: RunWriter) -> None:
    record = json.loads((writer.path / "run.json").read_text())
    record["attempts"].append({"pid": 1, "host": "elsewhere", "token": "another"})
    (writer.path / "run.json").write_text(json.dumps(record))
    with pytest.raises(LabError, match="was taken over by process 1 on elsewhere"):
        writer.keep(3, WEIGHTS, b"state")
    assert steps(Run(writer.path)) == []
