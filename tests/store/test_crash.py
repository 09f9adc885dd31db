"""What is left of a run whose process is killed, and what do readers see meanwhile? With real processes."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labapp.config import Experiment
from labapp.store import Run, RunWriter, appending, list_runs
from labapp.store import writer as store_writer

WRITER = """
import sys
import numpy as np
from labapp.config import Experiment
from labapp.store import Run, RunWriter, appending, writer as module

module.FLUSH_SECONDS, appending.GATHER, appending.SHARE = 0.0, 3, 2  # always in the middle of writing something
root, total = sys.argv[1], int(sys.argv[2])
try:
    first = max(Run(root + "/run").checkpoints(), default=0)
    writer = RunWriter(root + "/run", from_step=first)
except ValueError:
    first, writer = 0, RunWriter.create(root, Experiment(steps=total), run_id="run")
for step in range(first, total):
    value = np.random.default_rng(step).standard_normal(7).astype(np.float32)
    writer.write("layers", {"step": step, "layer": [f"l{i}" for i in range(7)], "output_grad_norm": value})
    writer.write("steps", {"step": step, "loss": float("nan") if step % 9 == 0 else 1 / (step + 1)})
    if step % 10 == 9:
        writer.flush()
        print("flushed", step, flush=True)
    if step % 25 == 24:
        writer.checkpoint(step + 1, {"w": np.full(1000, step, np.float32)}, b"state" * 100)
        print("kept", step + 1, flush=True)
writer.finish()
"""

READER = """
import sys
from labapp.store import Run

run, seen, reads = Run(sys.argv[1]), 0, 0
print("reading", flush=True)
while True:
    status = run.status
    steps = run.steps(columns=["step"])["step"].tolist()
    assert steps == list(range(len(steps))), f"not each row once: {steps}"
    assert len(steps) >= seen, f"{len(steps)} rows after {seen}"
    layers = run.layers(columns=["step", "layer", "output_grad_norm"], where={"layer": "l1"})
    assert layers["step"].tolist() == list(range(len(layers)))
    assert (layers["output_grad_norm"] == layers["step"]).all()
    assert run.problems == []
    run.version, run.progress, run.checkpoints()
    seen, reads = len(steps), reads + 1
    if reads == 20:
        print("enough", flush=True)
    if status != "running":
        break
print(status, seen, reads, flush=True)
"""


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program; it does not outlive the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def gradients(last: int) -> np.ndarray:
    """What the writer writes for steps before `last`."""
    return np.concatenate([np.random.default_rng(step).standard_normal(7).astype(np.float32) for step in range(last)])


def test_killed_again_and_again_a_run_loses_nothing_that_was_flushed(tmp_path: Path, start: Start) -> None:
    rng, total, path = random.Random(0), 400, tmp_path / "run"
    kills = 0
    while kills < 4:
        process = start(WRITER, tmp_path, total)
        flushed, kept = -1, 0
        until = rng.randint(2, 9)  # so many words later, and then some
        for line in process.stdout or ():
            word, number = line.split()
            flushed, kept = (int(number), kept) if word == "flushed" else (flushed, int(number))
            until -= 1
            if not until:
                break
        time.sleep(rng.random() / 30)
        process.send_signal(signal.SIGKILL)
        rest, error = process.communicate()
        assert not error
        for line in rest.splitlines():
            word, number = line.split()
            flushed, kept = (int(number), kept) if word == "flushed" else (flushed, int(number))
        kills += 1

        run = Run(path)
        assert run.status == "interrupted"
        assert run.problems == []
        steps = run.steps()
        assert steps["step"].tolist() == list(range(len(steps)))
        assert len(steps) > flushed
        layers = run.layers()
        assert len(layers) % 7 == 0
        assert len(layers) // 7 > flushed
        assert layers["output_grad_norm"].to_numpy().tobytes() == gradients(len(layers) // 7).tobytes()
        assert max(run.checkpoints(), default=0) >= kept
        for step in run.checkpoints():
            assert run.state_path(step).read_bytes() == b"state" * 100  # type: ignore[union-attr]
        assert list_runs(tmp_path) == [run]

    finisher = start(WRITER, tmp_path, total)
    _, error = finisher.communicate(timeout=120)
    assert (finisher.returncode, error) == (0, "")

    unbroken = tmp_path / "unbroken"
    _, error = start(WRITER, unbroken, total).communicate(timeout=120)
    assert not error
    killed, whole = Run(path), Run(unbroken / "run")
    assert killed.status == whole.status == "finished"
    assert len(killed.attempts) == kills + 1
    for table in ("layers", "steps"):
        one, other = killed.table(table), whole.table(table)
        assert list(one.columns) == list(other.columns)
        for column in one.columns:  # bit for bit, NaN too
            assert one[column].to_numpy().tolist() == pytest.approx(
                other[column].to_numpy().tolist(), abs=0, nan_ok=True
            )
        assert pd.read_parquet(killed.path / table)["step"].tolist() == one["step"].tolist()
    assert killed.checkpoints() == whole.checkpoints()
    assert not list(path.rglob(".*.tmp"))


@pytest.mark.long
def test_readers_never_notice_writing_gathering_and_publishing(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_writer, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(appending, "GATHER", 3)
    monkeypatch.setattr(appending, "SHARE", 2)
    writer = RunWriter.create(tmp_path, Experiment(), run_id="run")
    readers = [start(READER, writer.path) for _ in range(2)]
    for reader in readers:
        assert reader.stdout
        assert reader.stdout.readline() == "reading\n"
    looks = [threading.Thread(target=reader.stdout.readline, daemon=True) for reader in readers if reader.stdout]
    for look in looks:
        look.start()
    step = 0
    while step < 400 or any(look.is_alive() for look in looks):  # the readers look often at a table that grows
        writer.write("steps", {"step": step, "loss": 1.0})
        writer.write("layers", {"step": step, "layer": ["l0", "l1"], "output_grad_norm": float(step)})
        if step % 3 == 0:
            writer.flush()
        if step % 40 == 0:
            writer.checkpoint(step, {"w": np.ones(10)})
        step += 1
        time.sleep(0.001)
    writer.finish()
    for reader in readers:
        out, error = reader.communicate(timeout=60)
        assert not error
        status, seen, _ = out.split()
        assert status == "finished"
        assert int(seen) == step


@pytest.mark.long
def test_taken_up_again_and_again_under_a_reader(tmp_path: Path, start: Start) -> None:
    """Each attempt publishes what the one before left; the readers see rows come and never go."""
    writer = RunWriter.create(tmp_path, Experiment(), run_id="run")
    writer.write("steps", {"step": 0, "loss": 1.0})
    writer.flush()
    reader = start(READER.replace('if status != "running"', "if seen >= 120"), writer.path)
    assert reader.stdout
    assert reader.stdout.readline() == "reading\n"
    for step in range(1, 120):
        writer.write("steps", {"step": step, "loss": 1.0})
        if step % 4 == 0:
            writer.finish("stopped")
            writer = RunWriter(writer.path, from_step=step + 1)
        else:
            writer.flush()
    writer.flush()
    out, error = reader.communicate(timeout=60)
    assert not error
    assert out.split()[-2] == "120"
