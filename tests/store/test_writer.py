"""Is what was written there, once, in order, and does training not wait for it?"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labapp.config import Experiment, LabError
from labapp.store import Run, RunWriter
from tests.store.examples import one_step, part_names


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


@pytest.mark.long
def test_a_finished_run_has_few_files_a_table(writer: RunWriter) -> None:
    for step in range(500):
        writer.write("steps", one_step(step))
        writer.write("mine", {"x": [step], "word": ["a"]})
        writer.flush()
    before = writer.run.steps()
    run = writer.finish()
    few = 8 + 8 * np.log2(500 / 8) + 1  # one each until there are eight, then an eighth more each
    assert len(part_names(writer)) <= few
    assert part_names(writer, "mine") == part_names(writer)
    assert not any(name.startswith("_fresh") for name in part_names(writer))
    pd.testing.assert_frame_equal(run.steps(), before)
    assert run.status == "finished"
    assert writer.finish("failed").status == "finished"  # a second finish changes nothing
    with pytest.raises(LabError, match="run 'run' is finished; RunWriter"):
        writer.write("steps", one_step(9))


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


def test_update(writer: RunWriter) -> None:
    writer.update(recorder={"share": 0.01}, seconds=12.5, progress={"step": 40})
    writer.update(recorder={"every": 10}, message="so far so good")
    run = writer.run
    assert run.recorder == {"share": 0.01, "every": 10}
    assert run.progress == (40, 300)
    assert 12.5 <= run.seconds < 13
    assert run.message == "so far so good"
    for fields, words in (
        (
            {"status": "ended"},
            "status is 'running', 'finished', 'incomplete', 'diverged', 'failed' or 'stopped', not 'ended'",
        ),
        ({"mesage": "x"}, r"'mesage' of run.json cannot be changed \(did you mean 'message'\?\)"),
        ({"id": "x"}, "'id' of run.json cannot be changed"),
        ({"seconds": "long"}, "seconds is a finite number, not 'long'"),
    ):
        with pytest.raises(LabError, match=words):
            writer.update(**fields)
    assert writer.run.status == "running"


def test_progress_counts_steps_done(writer: RunWriter) -> None:
    writer.write("evals", {"step": 0, "split": "test", "accuracy": 0.1})
    writer.flush()
    assert writer.run.progress == (0, 300)
    writer.write("steps", one_step(9))
    writer.write("evals", {"step": 10, "split": "test", "accuracy": 0.1})
    writer.write("my_scores", {"step": 10, "score": 0.3})  # after ten steps too: of a table of one's own nobody knows
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
