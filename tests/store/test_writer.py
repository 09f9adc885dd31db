"""Is what was written there, once, in order, and does training not wait for it?"""

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.config import Experiment, LabError
from labapp.store import Run, RunWriter, list_runs
from labapp.store import parts as store_parts
from labapp.store import writer as store_writer


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    return RunWriter.create(tmp_path / "runs", Experiment(depth=56), run_id="run")


def one_step(step: int, **more: Any) -> dict[str, Any]:
    return {"step": [step], "loss": [step / 2]} | more


def part_names(writer: RunWriter, table: str = "steps") -> list[str]:
    return sorted(path.name for path in (writer.path / table).iterdir())


def test_a_round_trip(writer: RunWriter) -> None:
    layers = {
        "step": np.repeat([0, 5], 3),
        "layer": ["stem", "a#2", "größe"] * 2,
        "kind": ["conv", "norm", "linear"] * 2,
        "depth": [1, 1, 2] * 2,
        "relative_depth": [0, 0, 1.0] * 2,
        "stage": 1,
        "block": "",
        "output_grad_norm": np.array([1, np.nan, np.inf, -np.inf, 1e-45, 3.4e38], np.float32),
    }
    writer.write("layers", layers)
    writer.write("evals", {"step": 300, "split": "test", "loss": float("nan"), "accuracy": 0.5})
    expected = pd.DataFrame(layers).astype({"output_grad_norm": "float32", "relative_depth": "float32"})
    run = writer.finish()
    pd.testing.assert_frame_equal(run.layers(), expected)
    assert run.layers()["output_grad_norm"].to_numpy().tobytes() == layers["output_grad_norm"].tobytes()
    assert np.isnan(run.evals()["loss"]).all()
    assert run.layers(columns=["depth", "layer"], where={"kind": ["conv", "norm"]}, steps=5).to_dict("list") == {
        "depth": [1, 1],
        "layer": ["stem", "a#2"],
    }


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


def test_a_finished_run_is_one_file_a_table(writer: RunWriter) -> None:
    for step in range(5):
        writer.write("steps", one_step(step))
        writer.write("mine", {"x": [step], "word": ["a"]})
        writer.flush()
    before = writer.run.steps()
    run = writer.finish()
    assert part_names(writer) == ["all-01-000004.parquet"]
    assert part_names(writer, "mine") == ["all-01-000004.parquet"]
    pd.testing.assert_frame_equal(run.steps(), before)
    assert run.status == "finished"
    assert writer.finish("failed").status == "finished"  # a second finish changes nothing
    with pytest.raises(LabError, match="run 'run' is finished; RunWriter"):
        writer.write("steps", one_step(9))


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


def test_a_new_quantity_in_a_later_part(writer: RunWriter) -> None:
    writer.write("layers", {"step": [0], "layer": "a", "weight_norm": 1.0})
    writer.flush()
    writer.write("layers", {"step": [1], "layer": "a", "weight_norm": 1.0, "branch_norm": 2.0, "my_own": 3.0})
    writer.flush()
    for run in (writer.run, writer.finish()):
        frame = run.layers(columns=["step", "branch_norm", "my_own", "shortcut_norm"])
        assert frame["branch_norm"].isna().tolist() == [True, False]
        assert frame["my_own"].isna().tolist() == [True, False]
        assert frame["shortcut_norm"].isna().all()  # a known quantity that nobody recorded
        assert frame["shortcut_norm"].dtype == np.float32


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


def test_the_block_says_how_it_ended(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, Experiment(), run_id="well") as writer:
        writer.write("steps", one_step(0))
    assert Run(tmp_path / "well").status == "finished"

    def fall(error: BaseException, run_id: str) -> Run:
        with (  # noqa: PT012 -- the error passes through the block, as in training
            pytest.raises(type(error)),
            RunWriter.create(tmp_path, Experiment(), run_id=run_id) as writer,
        ):
            writer.write("steps", one_step(0))
            raise error
        return Run(tmp_path / run_id)

    failed = fall(RuntimeError("out of memory\nat line 3"), "failed")
    assert (failed.status, failed.message) == ("failed", "RuntimeError: out of memory")
    stopped = fall(KeyboardInterrupt(), "stopped")
    assert (stopped.status, stopped.message) == ("stopped", "stopped by hand")
    assert all(len(run.steps()) == 1 for run in (failed, stopped))


def test_checkpoints(writer: RunWriter) -> None:
    run = writer.run
    with pytest.raises(LabError, match="run 'run' has no checkpoint"):
        run.checkpoint_path()
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3).T, "n": np.array(3)}
    writer.write("steps", one_step(4))
    path = writer.checkpoint(5, arrays)
    assert len(run.steps()) == 1  # the tables reach as far as the weights
    assert path == run.checkpoint_path(5) == run.checkpoint_path()
    assert path.name == "step-00000005.safetensors"
    loaded = safetensors.numpy.load_file(path)
    assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())
    assert run.state_path() is None
    writer.checkpoint(12, {"w": torch.ones(2, 3).T.requires_grad_()}, b"state")
    assert run.checkpoints() == [5, 12]
    assert run.state_path() == run.checkpoint_path(12).with_suffix(".pt")
    assert run.state_path(12).read_bytes() == b"state"  # type: ignore[union-attr]
    assert torch.equal(safetensors.torch.load_file(run.checkpoint_path(12))["w"], torch.ones(3, 2))
    with pytest.raises(LabError, match="has no checkpoint at step 7; it has 5 and 12"):
        run.checkpoint_path(7)
    assert not list(writer.path.rglob("*.tmp"))


def test_whoever_sees_weights_finds_their_state(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    names, write_whole = [], store_writer.write_whole
    monkeypatch.setattr(
        store_writer, "write_whole", lambda path, fill: names.append(path.suffix) or write_whole(path, fill)
    )
    writer.checkpoint(1, {"w": np.ones(2)}, b"state")
    assert names == [".pt", ".safetensors"]


def test_checkpoints_in_types_that_numpy_lacks(writer: RunWriter) -> None:
    weights = {"w": torch.randn(3, 4, dtype=torch.bfloat16).T, "b": torch.ones(2), "n": torch.tensor(7)}
    weights["tied"] = weights["b"]
    writer.checkpoint(1, weights)
    loaded = safetensors.torch.load_file(writer.run.checkpoint_path())
    assert all(
        torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype for name, tensor in weights.items()
    )


def test_a_models_state_goes_there_and_back(writer: RunWriter) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last), torch.nn.BatchNorm2d(4))
    writer.checkpoint(1, model.state_dict())
    loaded = safetensors.torch.load_file(writer.run.checkpoint_path())
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())


def test_update(writer: RunWriter) -> None:
    writer.update(recorder={"share": 0.01}, seconds=12.5, progress={"step": 40})
    writer.update(recorder={"every": 10}, message="so far so good")
    run = writer.run
    assert run.recorder == {"share": 0.01, "every": 10}
    assert run.progress == (40, 300)
    assert 12.5 <= run.seconds < 13
    assert run.message == "so far so good"
    for fields, words in (
        ({"status": "ended"}, "status is 'running', 'finished', 'diverged', 'failed' or 'stopped', not 'ended'"),
        ({"mesage": "x"}, r"'mesage' of run.json cannot be changed \(did you mean 'message'\?\)"),
        ({"id": "x"}, "'id' of run.json cannot be changed"),
        ({"seconds": "long"}, "seconds is a finite number, not 'long'"),
    ):
        with pytest.raises(LabError, match=words):
            writer.update(**fields)
    assert writer.run.status == "running"


def test_the_recorders_cost_comes_with_the_next_flush(writer: RunWriter) -> None:
    writer.describe([{"index": 0, "path": "a"}], {"cost": 1})
    assert writer.run.layers_info == [{"index": 0, "path": "a"}]
    stamp = (writer.path / "run.json").stat().st_mtime_ns
    writer.describe([{"index": 0, "path": "a"}], {"cost": 2})
    assert (writer.path / "run.json").stat().st_mtime_ns == stamp
    assert writer.finish().recorder == {"cost": 2}


def test_progress_counts_steps_done(writer: RunWriter) -> None:
    writer.write("evals", {"step": 0, "split": "test", "accuracy": 0.1})
    writer.flush()
    assert writer.run.progress == (0, 300)
    writer.write("steps", one_step(9))
    writer.write("evals", {"step": 10, "split": "test", "accuracy": 0.1})
    assert writer.finish().progress == (10, 300)


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        ("steps", {"loss": ["low"]}, "column 'loss' of table 'steps' holds numbers, so 'low' does not fit"),
        ("evals", {"split": [1]}, "column 'split' of table 'evals' holds words, so '1' does not fit"),
        ("mine", {"x": ["a"]}, "column 'x' of table 'mine' holds numbers"),
        ("probes", {"x": [1]}, "'probes' cannot name a table"),
        ("../up", {"x": [1]}, "'../up' cannot name a table"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_the_others_kept(
    writer: RunWriter, table: str, columns: dict, words: str
) -> None:
    writer.write("mine", {"x": [1.5]})
    with pytest.raises(LabError, match=words):
        writer.write(table, columns)
    writer.write("steps", one_step(0))
    run = writer.finish()
    assert run.table("mine")["x"].tolist() == [1.5]
    assert len(run.steps()) == 1


def test_a_run_id_is_taken_once(tmp_path: Path) -> None:
    RunWriter.create(tmp_path, Experiment(), run_id="a").finish()
    with pytest.raises(LabError, match="a is there already; choose another id, or resume that run"):
        RunWriter.create(tmp_path, Experiment(), run_id="a")
    for bad in ("", "..", "a/b", ".hidden", "-x", "ü"):
        if bad:
            with pytest.raises(LabError, match="cannot name a run"):
                RunWriter.create(tmp_path, Experiment(), run_id=bad)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert RunWriter.create(tmp_path, Experiment()).id != RunWriter.create(tmp_path, Experiment()).id


def test_an_archive_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for root in (tmp_path / "file", tmp_path / "file" / "runs", Path("/proc/runs")):
        with pytest.raises(LabError, match=f"cannot write to {root}: .*; mend that place, or name another with --root"):
            RunWriter.create(root, Experiment())
    assert (tmp_path / "file").read_text() == "mine"


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

    monkeypatch.setattr(store_parts.Table, "_copy", fails)
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
