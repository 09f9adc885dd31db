"""Does every way in which a training can end leave a run that says so?"""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from labapp.config import LabError
from labapp.store import Run, list_runs, resume_points
from labapp.training.devices import make_fabric
from labapp.training.loop import train
from tests.training.small import small


def test_a_loss_that_becomes_nan_ends_the_run_as_diverged_with_everything_recorded(tmp_path):
    run = train(small(norm="none", learning_rate=1e8, steps=50, record_every=40), tmp_path)
    assert run.status == "diverged"
    loss = run.steps()["loss"]
    first = int(np.flatnonzero(~np.isfinite(loss))[0])
    assert f"step {first}" in run.message
    assert len(loss) == first + 2  # that step, and one more
    layers = run.layers()
    assert sorted(set(layers["step"])) == [0, first, first + 1]  # recorded although their turn had not come
    assert layers[layers["step"] == first + 1]["nonfinite"].sum() > 0
    assert run.checkpoints()[-1] == first + 2
    assert Run(run.path).evals()["step"].iloc[-1] == first + 2


def test_an_exception_ends_the_run_as_failed_and_reaches_the_caller(tmp_path):
    def trip(moment):
        if moment.step == 3:
            raise RuntimeError("the roof leaks")

    with pytest.raises(RuntimeError, match="the roof leaks"):
        train(small(), tmp_path, progress=trip)
    (run,) = list_runs(tmp_path)
    assert run.status == "failed"
    assert "the roof leaks" in run.message
    assert run.steps()["step"].tolist() == [0, 1, 2]
    assert sorted(set(run.layers()["step"])) == [0, 2]


def test_ctrl_c_ends_the_run_as_stopped_with_what_was_recorded(tmp_path):
    options = "--depth 8 --width 4 --steps 100000 --batch-size 16 --train-images 64 --test-images 40 --record-every 1"
    command = [sys.executable, "-m", "labapp", "train", *options.split(), "--root", str(tmp_path / "runs")]
    root = Path(__file__).parent.parent.parent
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # What is started in the background of a script ignores Ctrl-C, and hands that on.
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, cwd=root, **pipes, preexec_fn=listening) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/steps/*.parquet")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaint == "labapp: stopped; what was recorded until now is in the archive\n"
    (run,) = list_runs(tmp_path / "runs")
    assert run.status == "stopped"
    steps = run.steps()["step"].tolist()
    assert steps == list(range(len(steps)))
    assert steps
    recorded = sorted(set(run.layers()["step"]))
    assert recorded == list(range(len(recorded)))
    assert len(steps) == len(recorded)  # it stopped when the step was whole
    assert resume_points(run.path)[0].step == len(steps)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_size": 100}, "a batch of 100 is more than the 64 training images"),
        ({"image_size": 8, "family": "vgg", "depth": 16}, "too small for a vgg net"),
        ({"precision": "16-mixed"}, "precision 16-mixed needs a GPU; on the CPU take 32-true or bf16-mixed"),
        ({"devices": 3}, "a batch of 16 cannot be shared equally by 3 devices"),
        ({"devices": 2, "accumulate": 9}, "a device's 8 images of a batch cannot be cut into 9 micro-batches"),
        ({"devices": 2, "accumulate": 2, "gradient_noise": True}, "several processes have only the mean"),
        ({"train_images": 6000}, "cluttered-digits has 5000 train images"),
        ({"imageset": "folder", "data": "/nowhere"}, "no images by class under /nowhere/train"),
    ],
)
def test_mistakes_are_told_before_a_run_is_made(tmp_path, options, sentence):
    with pytest.raises(LabError, match=sentence):
        train(small(**options), tmp_path / "runs")
    assert not (tmp_path / "runs").exists() or not list_runs(tmp_path / "runs")


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(LabError, match="torch finds no cuda device on this machine; take device cpu or auto"):
        make_fabric(small(device="cuda"))


def test_an_archive_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="file"):
        train(small(), tmp_path / "file" / "runs")
