"""A sweep from the command line: what it trains, skips, keeps, measures and tells."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from labapp.commands.cli import main
from labapp.commands.sweep.engines import ENGINES
from labapp.config import Experiment
from labapp.config.sweeps import read
from labapp.store import Run, RunWriter, list_runs, look
from labapp.training.loop import train
from labapp.training.sweeps import opened, standings
from tests.commands.in_process import InProcess
from tests.store.examples import edit
from tests.training.interrupted import assert_equal, interrupted

TINY = (
    "{family: residual, depth: 8, width: 2, imageset: digits, steps: 12, batch_size: 16, record_every: 4, "
    "eval_every: 6, checkpoints: 2, train_images: 64, test_images: 40, device: cpu}"
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Tasks are worked off in this process; a folder for files."""
    monkeypatch.setitem(ENGINES, "local", InProcess)
    monkeypatch.setattr("labapp.commands.sweep.estimating.Workers", InProcess)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    return tmp_path


def written(folder, text="", name="tiny.yaml"):
    path = folder / name
    path.write_text(f"base: {TINY}\n{text}")
    return str(path)


def typed(words, capsys, code=0):
    assert main(["sweep", *words]) == code
    return capsys.readouterr()


def told(words, capsys, code=0):
    return json.loads(typed([*words, "--json"], capsys, code).out)


def states(said):
    return {each["label"]: each["state"] for each in said["experiments"]}


def test_what_is_there_is_not_trained_again_whoever_trained_it(here, capsys):
    spec = written(here, "seeds: [0, 1]\nprobes: {lesions: {images: 16}, similarity: {images: 16, against: seeds}}")
    first, second = (each.experiment for each in read(spec).planned)
    mine = train(first, "runs", run_id="mine")
    out, _ = typed([spec], capsys)
    assert "tiny: 2 experiments, 1 to train, 1 finished" in out
    assert "training residual-8 seed 1: done, step 12 of 12" in out
    assert "tiny: 2 finished" in out
    entries = {entry.experiment: entry for entry in look("runs").entries}
    assert entries.keys() == {first, second}
    assert entries[second].id == f"residual-8-{second.digest}"
    assert all(entry.labels.tags == ("sweep:tiny",) for entry in entries.values())
    other = Run(Path("runs") / entries[second].id)
    assert mine.probes()["lesions"] == other.probes()["lesions"] == [12]
    assert f"similarity+{other.id}+12" in mine.probes()
    assert mine.probes()["similarity"] == [0, 12]
    assert "architecture" in other.probes()  # as `labapp train` measures it

    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    out, _ = typed([spec], capsys)
    assert "tiny: 2 experiments, 0 to train, 2 finished" in out
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == before


def test_results_do_not_depend_on_how_many_train_at_a_time(tmp_path, capsys, monkeypatch):
    spec = written(tmp_path, "grid: {family: [plain, residual]}")
    typed([spec, "--jobs", "2", "--threads", "1", "--root", str(tmp_path / "two")], capsys)
    monkeypatch.setitem(ENGINES, "local", InProcess)
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        typed([spec, "--jobs", "1", "--root", str(tmp_path / "one")], capsys)
    finally:
        torch.set_num_threads(torch_threads)
    two = {run.id: run for run in list_runs(tmp_path / "two")}
    assert len(two) == 2
    assert {run.environment["threads"] for run in two.values()} == {1}
    for run in list_runs(tmp_path / "one"):
        assert_equal(run, two[run.id])


def test_what_was_interrupted_goes_on_and_what_ended_badly_is_kept(here, capsys, monkeypatch):
    """Five seeds: one failed, one diverged, one was stopped, one is another's, one was never begun."""
    spec = written(here, "seeds: [0, 1, 2, 3, 4]")
    each = [planned.experiment for planned in read(spec).planned]
    for experiment, status in zip(each, ("failed", "diverged", "stopped"), strict=False):
        run = interrupted(here / "runs", 6, run_id=status, **experiment.model_dump())
        edit(run.path, status=status, message=f"it was {status}")
    by_hand = RunWriter.create("runs", each[3], run_id="loop")  # not by `labapp train`, so it may be anything
    by_hand.finish()

    out, _ = typed([spec, "--dry-run"], capsys)
    assert "5 experiments: 1 interrupted (step 6 of 12), 1 diverged, 1 failed and 2 absent; 3 would be trained" in out
    assert "for 3 runs" in out
    assert "by a timing of 8 steps" in out
    said = told([spec, "--dry-run"], capsys)
    assert list(states(said).values()) == ["failed", "diverged", "interrupted", "absent", "absent"]
    assert said["to_train"] == 3
    assert said["experiments"][1]["message"] == "it was diverged"

    said = told([spec], capsys, code=1)
    assert list(states(said).values()) == ["failed", "diverged", "finished", "finished", "finished"]
    assert [one["before"] for one in said["experiments"]][2:] == ["interrupted", "absent", "absent"]
    assert Run("runs/stopped").attempts[-1]["from_step"] == 5
    assert "loop" not in {one["run"] for one in said["experiments"]}
    assert len(list_runs("runs")) == 6

    typed([spec], capsys, code=1)  # is not tried again
    assert len(list_runs("runs")) == 6
    said = told([spec, "--retry-failed"], capsys)
    assert set(states(said).values()) == {"finished"}
    assert said["experiments"][0]["run"] == "failed"  # goes on with the same run
    assert said["experiments"][1]["run"] == f"residual-8-{each[1].digest}"  # begins anew beside the diverged one
    assert Run("runs/diverged").status == "diverged"


def test_a_training_that_diverges_or_fails_takes_no_other_with_it(here, capsys):
    spec = written(
        here,
        "runs:\n  - {norm: none, learning_rate: 1e8, steps: 40}\n  - {imageset: folder, data: nowhere}\n  - {width: 3}",
    )
    out, _ = typed([spec], capsys, code=1)
    assert "diverged (" in out
    assert "data=nowhere seed 0 failed: " in out
    assert "tiny: 1 finished, 1 diverged and 1 failed" in out
    assert "--retry-failed tries it again" in out


def test_a_probe_that_cannot_be_made_is_told(here, capsys):
    spec = written(here, "probes: {lesions: {checkpoints: [5]}, path_gradients: {images: 4}, growth: }")
    said = told([spec], capsys)
    assert "lesions: " in said["experiments"][0]["faults"][0]
    run = Run(Path("runs") / said["experiments"][0]["run"])
    assert "path_gradients" in run.probes()
    assert len(said["experiments"][0]["faults"]) == 1  # growth is a matter of dense nets, which is no fault


def test_dry_run_estimates_by_runs_of_the_archive_without_torch(here, capsys):
    typed([written(here, "seeds: [0, 1]")], capsys)
    spec = written(here, "seeds: [0, 1, 2, 3]\ngrid: {imageset: [digits, cifar10]}", "more.yaml")
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    code = (
        "import sys; from labapp.commands.cli import main; "
        f"code = main(['sweep', {spec!r}, '--dry-run', '--json']); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["counts"] == {
        "finished": 2, "running": 0, "interrupted": 0, "diverged": 0, "failed": 0, "absent": 6,
    }  # fmt: skip
    assert said["unknown"] == 4  # the images are not here
    assert said["experiments"][-1]["unknown"] == "the images of cifar10 are not here yet"
    known = [each for each in said["experiments"] if "low" in each]
    assert len(known) == 2
    assert all("2 runs of this net" in each["by"] and 0 < each["low"] <= each["high"] for each in known)
    assert said["estimate"]["high"] >= known[0]["high"]
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "which sweep? `labapp sweep FILE.yaml` trains the experiments of a file"),
        (["nothing.yaml"], "the sweep nothing.yaml cannot be read: No such file or directory"),
        (["tiny.yaml", "--jobs", "0"], "--jobs is a number from 1 on, so it cannot be 0"),
        (["tiny.yaml", "--threads", "-1"], "--threads is a number from 1 on"),
        (["tiny.yaml", "--engine", "locl"], "unknown engine 'locl'; there are local and ray (did you mean 'local'?)"),
        (["tiny.yaml", "--retries", "-1"], "--retries is a number from 0 on, so it cannot be -1"),
        (["tiny.yaml", "--address", "a:1"], "--address is of a cluster, so it goes with --engine ray"),
        (
            ["tiny.yaml", "--engine", "ray", "--cpus-per-run", "0"],
            "--cpus-per-run is a number above 0, so it cannot be 0",
        ),
        (
            ["tiny.yaml", "--engine", "ray", "--gpus-per-run", "1.5"],
            "or a share of one GPU such as 0.5, so it cannot be 1.5",
        ),
        (["tiny.yaml", "--retry-faild"], "`labapp sweep` has no option --retry-faild (did you mean '--retry-failed'?)"),
        (["code.yaml"], "code.yaml, line 2 asks for the code of module 'mine'"),
        (["wrong.yaml"], "wrong.yaml, line 2: unknown quantity 'lesion'"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(here, capsys, words, sentence):
    written(here)
    (here / "code.yaml").write_text("base: {steps: 3}\nruns: [{net: 'mine:make'}]")
    written(here, "probes: [lesion]", "wrong.yaml")
    _, err = typed(words, capsys, code=2)
    assert err.startswith("labapp: ")
    assert sentence in err
    assert err.count("\n") == 1
    assert not (here / "runs").exists()


def test_of_several_runs_of_an_experiment_a_finished_one_counts(tmp_path):
    experiment = Experiment(steps=4)
    for name, status in (("a", "finished"), ("b", "diverged")):
        writer = RunWriter.create(tmp_path, experiment, run_id=name, environment={"images": {}})
        writer.finish(status)
    (standing,) = standings([experiment], opened(tmp_path))
    assert (standing.state, standing.run.id, set(standing.taken)) == ("finished", "a", {"a", "b"})
    assert standing.next_id == f"residual-20-{experiment.digest}"
    assert experiment.digest == Experiment(steps=4, width=16).digest != Experiment(steps=5).digest


def test_a_run_that_another_process_trains_is_waited_for(here, capsys, monkeypatch):
    spec = written(here)
    (planned,) = read(spec).planned
    writer = RunWriter.create("runs", planned.experiment, run_id="other", environment={"images": {}})
    looks = []

    def ends(seconds):
        looks.append(seconds)
        writer.finish()

    monkeypatch.setattr("labapp.commands.sweep.working.time.sleep", ends)
    out, _ = typed([spec], capsys)
    assert "1 are being trained by another process" in out
    assert "tiny: 1 finished" in out
    assert len(looks) == 1
    assert [run.id for run in list_runs("runs")] == ["other"]


class Losing(InProcess):
    """Loses every training once, behind its end."""

    def finished(self, look=lambda: None):
        for work in super().finished(look):
            if not work.tries:
                work.value, work.fault, work.lost = None, "its worker was lost", True
            yield work


def test_what_is_lost_with_its_process_is_begun_once_more(here, capsys, monkeypatch):
    monkeypatch.setitem(ENGINES, "local", Losing)
    spec = written(here, "seeds: [0, 1]")
    said = told([spec, "--retries", "0"], capsys)
    assert [each["faults"] for each in said["experiments"]] == [["its worker was lost"]] * 2
    out, _ = typed([written(here, "seeds: [2]", "more.yaml")], capsys)
    assert "[0/1] training residual-8 seed 2: its worker was lost; begun once more" in out
    assert "[1/1] training residual-8 seed 2: done" in out
    assert len(list_runs("runs")) == 3


def test_of_two_sweeps_that_begin_a_run_at_one_moment_one_trains_it_and_the_other_waits(here, capsys, monkeypatch):
    """The first look of a task is from before the other's run was made."""
    spec = written(here)
    (planned,) = read(spec).planned
    name = standings([planned.experiment], opened("runs"))[0].next_id
    others = []

    def beaten(*arguments, run_id, **options):
        others.append(RunWriter.create("runs", planned.experiment, run_id=run_id, environment={"images": {}}))
        return train(*arguments, run_id=run_id, **options)

    monkeypatch.setattr("labapp.training.loop.train", beaten)
    monkeypatch.setattr("labapp.commands.sweep.working.PACE", 0.123)
    sleep = time.sleep

    def ends(seconds):  # of the command itself; whatever else waits does so
        if seconds == 0.123:
            others[0].finish()
        sleep(seconds)

    monkeypatch.setattr("labapp.commands.sweep.working.time.sleep", ends)
    out, _ = typed([spec], capsys)
    assert "another process is at it" in out
    assert "tiny: 1 finished" in out
    assert [run.id for run in list_runs("runs")] == [name]
