"""A run in S3 is the run that it would be in a folder: written on one machine, read on another, by any tool."""

import numpy as np
import pandas as pd
import pytest

from labapp.config import Experiment, LabError, place, shown
from labapp.store import Run, RunWriter, check, disk_use, find_run, label_run, list_runs, look, remove_run
from labapp.store.remote import sending
from labapp.store.remote.known import UNSENT
from labapp.store.remote.objects import objects_at
from tests.remote.conftest import stored
from tests.store.examples import make, one_step

LAYERS = 5


def record(root, run_id="run", steps=40):
    """A run with two tables, a checkpoint and a probe, flushed again and again."""
    writer = RunWriter.create(root, Experiment(depth=56), run_id=run_id)
    for step in range(steps):
        names = [f"conv{n}" for n in range(LAYERS)]
        writer.write("layers", {"step": step, "layer": names, "output_grad_norm": np.arange(LAYERS) + step})
        writer.write("steps", one_step(step))
        if step % 7 == 0:
            writer.flush()
    writer.checkpoint(steps, {"w": np.ones(3, np.float32)}, b"state")
    writer.write_probe("lesions", steps, pd.DataFrame({"unit": [0, 1], "error": [0.1, 0.2]}))
    return writer


@pytest.fixture
def often(monkeypatch):
    """Whatever is flushed is sent at once."""
    monkeypatch.setattr(sending, "SOONEST", 0.0)
    monkeypatch.setattr(sending, "LATEST", 0.0)


def test_another_machine_reads_what_one_wrote(archive, machine, often, tmp_path):
    record(archive).finish()
    here = record(tmp_path / "runs").finish()
    with machine("two"):
        (there,) = list_runs(archive)
        assert shown(there.path) == f"{archive}/run"
        assert there.status == "finished"
        assert there.tables() == here.tables()
        for table in here.tables():
            pd.testing.assert_frame_equal(there.table(table), here.table(table))
        assert there.checkpoints() == here.checkpoints() == [40]
        assert not list(there.path.glob("checkpoints/*"))  # they come when they are opened
        assert there.checkpoint_path().read_bytes()[:8] == here.checkpoint_path().read_bytes()[:8]
        assert there.state_path().read_bytes() == b"state"
        pd.testing.assert_frame_equal(there.probe("lesions"), here.probe("lesions"))
        assert there.problems == []
        assert check(there.path) == []
        assert disk_use(there).keys() == disk_use(here).keys()
        assert find_run("residual-56", archive) == find_run("run", archive) == Run(f"{archive}/run") == there


def test_what_lies_there_is_an_archive_as_any_other(archive, often, tmp_path):
    record(archive).finish()
    system = objects_at(archive).system
    system.get(archive, str(tmp_path / "copied"), recursive=True)
    copied = Run(next(tmp_path.joinpath("copied").rglob("run/run.json")).parent)
    assert check(copied.path) == []
    assert copied.steps()["step"].tolist() == list(range(40))
    with system.open(
        f"{archive}/run/layers/{next(iter(system.ls(f'{archive}/run/layers'))).rpartition('/')[2]}"
    ) as file:
        assert len(pd.read_parquet(file)) > 0
    rows = pd.concat(pd.read_parquet(system.open(name)) for name in system.ls(f"{archive}/run/steps"))
    assert sorted(rows["step"]) == list(range(40))  # each once


def test_nobody_reads_half_of_a_run_while_it_is_sent(archive, machine, often):
    writer = RunWriter.create(archive, Experiment(), run_id="run")
    last = 0
    for step in range(16):
        writer.write("steps", one_step(step))
        writer.flush()
        with machine("two"):
            there = find_run("run", archive)
            seen = there.steps()["step"].tolist()
            assert seen == list(range(len(seen)))
            assert len(seen) >= max(last, there.progress[0] and 1)
            assert there.problems == []
            assert there.status == "running"
            last = len(seen)
        with machine("one"):
            pass
    writer.finish()
    assert last > 8


def test_on_its_own_machine_a_run_is_read_as_it_is_written(archive, requests):
    writer = RunWriter.create(archive, Experiment(), run_id="run")
    asked = len(requests)
    for step in range(3):
        writer.write("steps", one_step(step))
        writer.flush()
        assert len(writer.run.steps()) == step + 1
    assert len(requests) == asked
    writer.finish()
    assert not (place(archive) / "run" / UNSENT).exists()


def test_a_probe_and_labels_reach_everybody(archive, machine):
    make(archive, "run")
    with machine("two"):
        run = find_run("run", archive)
        run.write_probe("lesions", 3, pd.DataFrame({"error": [0.5]}))
        label_run(archive, "run", add=["good"], name="ours")
    with machine("one"):
        run = find_run("run", archive)
        assert run.probe("lesions", 3)["error"].tolist() == [0.5]
        label_run(archive, "run", add=["better"])
        (entry,) = look(archive).entries
        assert entry.labels.tags == ("better", "good")
    with machine("two"):
        (entry,) = look(archive).entries
        assert (entry.labels.name, entry.labels.tags) == ("ours", ("better", "good"))


def test_of_two_who_label_at_once_both_do(archive, machine, monkeypatch):
    from labapp.store import labels

    make(archive, "run")
    original, once = labels._write, []

    def slow(folder, **words):
        after = original(folder, **words)
        if not once:
            once.append(True)
            with machine("two"):
                label_run(archive, "run", add=["quick"])
            machine("one").__enter__()
        return after

    monkeypatch.setattr(labels, "_write", slow)
    assert set(label_run(archive, "run", add=["slow"]).tags) == {"quick", "slow"}
    with machine("three"):
        assert set(look(archive).entries[0].labels.tags) == {"quick", "slow"}


def test_a_removed_run_is_gone_everywhere(archive, machine):
    make(archive, "gone")
    make(archive, "stays")
    with machine("two"):
        find_run("gone", archive).evals()
        assert [run.id for run in list_runs(archive)] == ["stays", "gone"]
    with machine("one"):
        remove_run(archive, "gone")
        assert not [key for key in stored(archive) if "gone" in key]
    with machine("two"):
        assert [run.id for run in list_runs(archive)] == ["stays"]
        with pytest.raises(LabError, match="there is no run 'gone' in s3://bucket/runs"):
            find_run("gone", archive)


def test_a_run_that_was_copied_into_the_store_is_found(archive, machine, tmp_path):
    run = make(tmp_path / "runs", "by-hand")
    for path in filter(lambda path: path.is_file(), run.path.rglob("*")):
        objects_at(archive).put(f"by-hand/{path.relative_to(run.path).as_posix()}", path)
    for name in ("one", "two"):
        with machine(name):
            (there,) = list_runs(archive)
            pd.testing.assert_frame_equal(there.evals(), run.evals())
