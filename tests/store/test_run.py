"""What does a run say of itself, while it is written and afterwards?"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labapp.config import Experiment, LabError
from labapp.store import Run, RunWriter
from labapp.store.machine import this_machine
from tests.store.examples import edited, make


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
        ".run.json.copy",
        "evals/part-01-000000.parquet",
        "probes/cka.step-00000300.parquet",
        "run.json",
    ]
    # what any Parquet reader sees
    frame = pd.read_parquet(run.path / "evals")
    pd.testing.assert_frame_equal(frame, run.evals())
    assert frame["step"].dtype == np.int64
    assert frame["loss"].dtype == np.float32


def test_interrupted_is_seen_from_the_process(tmp_path: Path) -> None:
    run = RunWriter.create(tmp_path, Experiment(), run_id="a").run
    assert run.status == "running"
    (attempt,) = run.attempts
    # its number went to a later process; it ended; it waits to be reaped
    assert edited(run, attempts=[attempt | {"process": "then/1"}]).status == "interrupted"
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        zombie = edited(run, attempts=[attempt | {"pid": child.pid}])
        assert zombie.status == "interrupted"
    assert zombie.status == "interrupted"
    assert edited(run, attempts=[]).status == "interrupted"
    assert edited(run, attempts=[attempt]).status == "running"


def test_a_run_on_another_machine_is_judged_by_its_signs(tmp_path: Path) -> None:
    run = RunWriter.create(tmp_path, Experiment(), run_id="a").run
    far = edited(run, attempts=[run.attempts[0] | {"machine": f"not-{this_machine()}"}])  # of the same name
    assert far.status == "running"
    for then in (time.time() - 3600, time.time() + 3600):  # silent, or a clock that was set back since
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
