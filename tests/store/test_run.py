"""Does an archive stay readable, whatever lies in it?"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labapp.config import Experiment, LabError
from labapp.store import Run, RunWriter, broken_runs, list_runs, remove_run

Edit = Callable[[dict], None]


def make(root: Path, run_id: str, status: str = "finished", **options: object) -> Run:
    writer = RunWriter.create(root, Experiment(**options), run_id=run_id)
    writer.write("evals", {"step": [0, 300], "split": "test", "loss": [2.3, 0.4], "accuracy": [0.1, 0.9]})
    return writer.finish(status)


def edited(run: Run, **fields: object) -> Run:
    """The run with other words in its run.json; a field that is None is taken away."""
    path = run.path / "run.json"
    record = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: value for name, value in record.items() if value is not None}))
    return Run(run.path)


def told(path: Path) -> str:
    with pytest.raises(LabError) as raised:
        Run(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_run_says_what_it_was(tmp_path: Path) -> None:
    experiment = Experiment(family="dense", bottleneck=True, compression=0.5, seed=3)
    writer = RunWriter.create(tmp_path / "runs", experiment, environment={"device": "cpu", "threads": np.int64(1)})
    writer.describe(
        [{"index": 0, "path": "stem", "shape": (24, 32, 32), "parameters": np.int64(648)}], {"cost": float("nan")}
    )
    run = writer.run
    assert run.experiment == experiment
    assert run.name == "dense-40"
    assert run.id.startswith("dense-40-")
    assert (run.status, run.progress, run.message) == ("running", (0, 300), "")
    assert run.layers_info == [{"index": 0, "path": "stem", "shape": [24, 32, 32], "parameters": 648}]
    assert {"python", "torch", "platform", "device", "threads", "git", "cores"} <= run.environment.keys()
    assert run.environment["threads"] == 1
    writer.finish("diverged", "the loss became NaN at step 12")
    assert (run.status, run.message) == ("diverged", "the loss became NaN at step 12")
    assert run.recorder == {"cost": None}
    assert run.seconds > 0
    assert run.record.seeds == {"seed": 3}
    (attempt,) = run.attempts
    assert attempt["status"] == "diverged"
    assert attempt["pid"] == os.getpid()
    assert run == Run(run.path)
    assert len({run, Run(run.path)}) == 1
    assert json.loads((run.path / "run.json").read_text())["labapp"]


def test_the_folder_and_its_files_are_where_the_design_says(tmp_path: Path) -> None:
    run = make(tmp_path, "a")
    run.write_probe("cka", 300, pd.DataFrame({"x": [1.0]}))
    assert sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()) == [
        "evals/all-01-000000.parquet",
        "probes/cka.step-00000300.parquet",
        "run.json",
    ]
    # what any Parquet reader sees
    frame = pd.read_parquet(run.path / "evals")
    pd.testing.assert_frame_equal(frame, run.evals())
    assert frame["step"].dtype == np.int64
    assert frame["loss"].dtype == np.float32


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    for name in ("b", "c", "a"):
        make(tmp_path, name)
    assert [run.id for run in list_runs(tmp_path)] == ["a", "c", "b"]
    assert broken_runs(tmp_path) == []
    edited(Run(tmp_path / "b"), created="2099-01-01T00:00:00Z")
    assert [run.id for run in list_runs(str(tmp_path))] == ["b", "a", "c"]


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty folder": (lambda path: shutil.rmtree(path) or path.mkdir(), "holds no run.json, so it is no run"),
    "no run.json": (lambda path: (path / "run.json").unlink(), "holds no run.json, so it is no run"),
    "truncated": (lambda path: (path / "run.json").write_bytes((path / "run.json").read_bytes()[:200]), "is damaged"),
    "empty": (lambda path: (path / "run.json").write_bytes(b""), "is damaged"),
    "binary": (lambda path: (path / "run.json").write_bytes(os.urandom(300)), "is damaged"),
    "a list": (lambda path: (path / "run.json").write_text("[1, 2]"), "is damaged"),
    "another's": (
        lambda path: (path / "run.json").write_text('{"lr": 3}'),
        "is not as this version of the lab writes it",
    ),
    "newer": (lambda path: edit(path, format=2), "format is 1, not 2"),
    "an unknown option": (lambda path: edit(path, experiment={"optimiser": "adam"}), "unknown option 'optimiser'"),
    "attempts": (lambda path: edit(path, attempts=3), "attempts"),
    "a folder": (lambda path: (path / "run.json").unlink() or (path / "run.json").mkdir(), "Is a directory"),
}


def edit(path: Path, **fields: object) -> None:
    (path / "run.json").write_text(json.dumps(json.loads((path / "run.json").read_text()) | fields))


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_run_is_told_and_does_not_hurt_the_others(tmp_path: Path, fault: str) -> None:
    for name in ("good", "bad", "fine"):
        make(tmp_path, name)
    harm, words = BROKEN[fault]
    harm(tmp_path / "bad")
    assert words in told(tmp_path / "bad")
    assert [run.id for run in list_runs(tmp_path)] == ["fine", "good"]
    ((path, sentence),) = broken_runs(tmp_path)
    assert path == tmp_path / "bad"
    assert words in sentence


def test_what_is_no_run_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "good")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".launches").mkdir()
    (tmp_path / ".new-x-1").mkdir()
    assert [run.id for run in list_runs(tmp_path)] == ["good"]
    assert broken_runs(tmp_path) == []


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"there is no archive at .*none; `labapp starter` makes one"):
        list_runs(tmp_path / "none")
    (tmp_path / "file").write_text("")
    for asked in (list_runs, broken_runs):
        with pytest.raises(LabError, match="is a file, not an archive"):
            asked(tmp_path / "file")
    with pytest.raises(LabError, match="is a file, not an archive"):
        list_runs(tmp_path / "file" / "below")


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    make(tmp_path, "plain-20-a")
    assert "did you mean 'plain-20-a'?" in told(tmp_path / "plain-20-b")
    assert "there is no run at" in told(tmp_path / "nowhere" / "x")
    assert "there is no run at" in told(tmp_path / "plain-20-a" / "run.json" / "x")


def test_interrupted_is_seen_from_the_process(tmp_path: Path) -> None:
    run = RunWriter.create(tmp_path, Experiment(), run_id="a").run
    assert run.status == "running"
    (attempt,) = run.attempts
    # its number went to a later process; it ended; it waits to be reaped
    assert edited(run, attempts=[attempt | {"process": "then/1"}]).status == "interrupted"
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as child:
        child.stdout.read()  # type: ignore[union-attr]
        time.sleep(0.05)
        zombie = edited(run, attempts=[attempt | {"pid": child.pid}])
        assert zombie.status == "interrupted"
    assert zombie.status == "interrupted"
    assert edited(run, attempts=[]).status == "interrupted"
    assert edited(run, attempts=[attempt]).status == "running"


def test_a_run_on_another_machine_is_judged_by_its_signs(tmp_path: Path) -> None:
    run = RunWriter.create(tmp_path, Experiment(), run_id="a").run
    far = edited(run, attempts=[run.attempts[0] | {"host": f"not-{socket.gethostname()}"}])
    assert far.status == "running"
    then = time.time() - 3600
    os.utime(run.path / "run.json", (then, then))
    assert far.status == "interrupted"


def test_the_version_changes_with_whatever_is_added(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path, Experiment())
    run, seen = writer.run, []

    def changed() -> bool:
        seen.append(run.version)
        return len(set(seen)) == len(seen)

    assert changed()
    assert run.version == run.version == Run(run.path).version
    writer.write("steps", {"step": [0], "loss": [1.0]})
    assert not changed()
    seen.pop()
    writer.flush()
    assert changed()
    writer.checkpoint(1, {"w": np.ones(2)})
    assert changed()
    writer.update(recorder={"cost": 0.01})
    assert changed()
    writer.finish()
    assert changed()
    run.write_probe("cka", 1, pd.DataFrame({"x": [1]}))
    assert changed()
    run.write_probe("cka", 1, pd.DataFrame({"x": [2]}))
    assert changed()


def test_probes(tmp_path: Path) -> None:
    run = make(tmp_path, "a")
    assert run.probes() == {}
    with pytest.raises(LabError, match="has no probe 'cka'; `labapp probe a` makes one"):
        run.probe("cka")
    first = pd.DataFrame({"layer": ["a", "b"], "value": [1.0, float("nan")], "step": [9, 9]})
    run.write_probe("cka", 300, first)
    run.write_probe("cka", 0, first.assign(value=[2.0, np.inf]))
    run.write_probe("effective_rank", 300, pd.DataFrame({"layer": ["a"], "value": [3.0]}))
    assert run.probes() == {"cka": [0, 300], "effective_rank": [300]}
    pd.testing.assert_frame_equal(run.probe("cka", 300), first)
    everything = run.probe("cka")
    assert list(everything.columns) == ["step", "layer", "value"]
    assert everything["step"].tolist() == [0, 0, 300, 300]
    assert everything["value"].tolist()[:2] == [2.0, np.inf]
    run.write_probe("cka", 300, first.head(1))
    assert len(run.probe("cka", 300)) == 1
    with pytest.raises(LabError, match=r"has no probe 'ckaa'; it has cka and effective_rank .did you mean 'cka'"):
        run.probe("ckaa")
    with pytest.raises(LabError, match="has no 'cka' at step 7; it has 0 and 300"):
        run.probe("cka", 7)
    for name in ("../evil", "", ".hidden", "a/b"):
        with pytest.raises(LabError, match="cannot name a probe"):
            run.write_probe(name, 0, first)
    (run.path / "probes" / "cka.step-00000300.parquet").write_bytes(b"PAR1")
    with pytest.raises(LabError, match=r"is damaged .* `labapp probe a` makes it anew"):
        run.probe("cka")
    assert len(run.probe("cka", 0)) == 2


def test_a_probe_comes_from_another_process(tmp_path: Path) -> None:
    run = make(tmp_path, "a")
    code = (
        "import sys, pandas; from labapp.store import Run; "
        "Run(sys.argv[1]).write_probe('rank', 300, pandas.DataFrame({'value': [1.5]}))"
    )
    subprocess.run([sys.executable, "-c", code, str(run.path)], check=True)
    assert run.probe("rank", 300)["value"].tolist() == [1.5]


def test_problems_name_every_damaged_file(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path, Experiment())
    for step in range(3):
        writer.write("steps", {"step": [step], "loss": [1.0]})
        writer.write("layers", {"step": [step], "layer": "a", "output_grad_norm": 1.0})
        writer.checkpoint(step, {"w": np.ones(100)})
    run = writer.run
    assert run.problems == []
    (run.path / "steps" / "part-01-000001.parquet").write_bytes(b"")
    (run.path / "layers" / "part-01-000000.parquet").unlink()
    checkpoint = run.path / "checkpoints" / "step-00000002.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-8])
    assert len(run.problems) == 3
    assert [problem.split()[0] for problem in run.problems] == [
        "layers/part-01-000000.parquet",
        "steps/part-01-000001.parquet",
        "checkpoints/step-00000002.safetensors",
    ]
    assert run.steps()["step"].tolist() == [0, 2]
    assert run.layers()["step"].tolist() == [1, 2]
    assert run.checkpoints() == [0, 1]
    assert run.checkpoint_path().name == "step-00000001.safetensors"


def test_tables_by_name(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path, Experiment(), run_id="a")
    writer.write("histograms", {"step": [0, 0], "exponent": [-3, -2], "count": [5, 7]})
    writer.flush()
    assert writer.run.tables() == ["histograms"]
    assert writer.run.table("histograms", ["count"], where={"exponent": -2})["count"].tolist() == [7]
    with pytest.raises(LabError, match=r"run 'a' has no table 'histogram' .did you mean 'histograms'"):
        writer.run.table("histogram")
    assert list(writer.run.steps().columns)[:2] == ["step", "loss"]
    assert len(writer.run.layers(columns=["output_grad_norm"], steps=slice(0, 10))) == 0


def test_removing(tmp_path: Path) -> None:
    make(tmp_path, "plain-20")
    make(tmp_path, "plain-56")
    with pytest.raises(LabError, match=r"holds no run 'plain-2' .did you mean 'plain-20'"):
        remove_run(tmp_path, "plain-2")
    for escape in ("..", ".", "", "../x", "plain-20/evals", str(tmp_path / "plain-20")):
        with pytest.raises(LabError, match="holds no run"):
            remove_run(tmp_path, escape)
    remove_run(tmp_path, "plain-20")
    assert [run.id for run in list_runs(tmp_path)] == ["plain-56"]
    assert [path.name for path in tmp_path.iterdir()] == ["plain-56"]
    writer = RunWriter.create(tmp_path, Experiment(), run_id="live")
    with pytest.raises(LabError, match="run 'live' is being written; stop it first"):
        remove_run(tmp_path, "live")
    writer.finish()
    remove_run(tmp_path, "live")


def test_a_broken_run_can_be_removed_and_a_strangers_folder_cannot(tmp_path: Path) -> None:
    make(tmp_path, "bad")
    (tmp_path / "bad" / "run.json").write_text("{")
    remove_run(tmp_path, "bad")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"x")
    with pytest.raises(LabError, match="photos holds nothing that the lab wrote, so it is left alone"):
        remove_run(tmp_path, "photos")
    assert (tmp_path / "photos" / "me.jpg").exists()


def test_a_link_to_a_run_is_removed_without_the_run(tmp_path: Path) -> None:
    run = make(tmp_path / "one", "a")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "a").symlink_to(run.path)
    assert [found.id for found in list_runs(tmp_path / "two")] == ["a"]
    remove_run(tmp_path / "two", "a")
    assert list((tmp_path / "two").iterdir()) == []
    assert len(run.evals()) == 2


def test_a_run_removed_while_open_is_told(tmp_path: Path) -> None:
    run = make(tmp_path, "a")
    remove_run(tmp_path, "a")
    for read in (run.evals, lambda: run.status, lambda: run.version):
        with pytest.raises(LabError, match="there is no run at"):
            read()


@settings(deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=100).map(str.encode))
def test_no_run_json_whatsoever_makes_a_reader_fail(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    root = tmp_path_factory.mktemp("runs")
    (root / "a").mkdir()
    (root / "a" / "run.json").write_bytes(content)
    assert list_runs(root) == []
    assert len(broken_runs(root)) == 1
