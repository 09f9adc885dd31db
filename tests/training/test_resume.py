"""A training that was interrupted ends as one that never was: every table, weights and optimizer, bit for bit."""

import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from labapp.store import Run, RunWriter, list_runs, resume_points
from labapp.store.checkpoints import write_checkpoint
from labapp.training.beginnings import ResumeWarning
from labapp.training.loop import resume, train
from tests.store.examples import edit
from tests.training.interrupted import Snapshot, Trip, assert_equal, interrupted, timeless
from tests.training.small import small

DIGITS = {"imageset": "digits", "steps": 8, "record_every": 3}
FURTHER = ("histograms", "spreads", "gradient_noise")  # recorded where they are asked for
RECIPES = {
    "plain": {"family": "plain", "schedule": "constant"},
    "residual": {"augment": True, "accumulate": 3, "clip_norm": 0.5, **dict.fromkeys(FURTHER, True)},
    "dense with dropout": {"family": "dense", "depth": 10, "dropout": 0.3, "recipe": "densenet", "learning_rate": 0.01},
    "vgg": {"family": "vgg", "depth": 11, "width": 2, "schedule": "he", "nesterov": True},
    "dying channels": {"learning_rate": 5.0, "warmup_steps": 0, "record_every": 1},
    "mixed precision": {"precision": "bf16-mixed", "record": "log-spaced", "record_points": 4},
    "double precision": {"precision": "64-true", "norm": "group", "activation": "gelu"},
    "half precision": {"precision": "bf16-true"},
    "nothing recorded": {"record": "none", "checkpoints": 0},
    "torchvision": {"net": "torchvision:squeezenet1_1", "depth": None, "width": None, "imageset": "cluttered-digits"},
}


@pytest.mark.filterwarnings("ignore:.*lr_scheduler")
@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
def test_every_recipe_goes_on_bit_for_bit(tmp_path, changes):
    changes = {**DIGITS, **changes}
    whole = train(small(**changes), tmp_path, run_id="whole")
    cut = interrupted(tmp_path, 6, **changes)
    assert cut.status == "failed"
    assert resume_points(cut.path)[0].step == 5  # after five whole steps; the sixth was told of, and not kept
    again = resume(cut)
    assert [attempt["from_step"] for attempt in again.attempts] == [0, 5]
    assert_equal(whole, again)
    assert not (again.path / "_resume").exists()


@pytest.mark.long
def test_each_step_is_a_point_to_go_on_from(tmp_path):
    """Also from steps that are recorded, evaluated, checkpoints, or the last; and after several interruptions."""
    changes = {**DIGITS, "steps": 7, "record_every": 2, "eval_every": 2, "learning_rate": 2.0, "warmup_steps": 0}
    whole = train(small(**changes), tmp_path, run_id="whole")
    assert len(whole.table("lifetimes")) > 0
    for at in range(1, 8):
        cut = interrupted(tmp_path, at, run_id=f"cut-{at}", **changes)
        assert_equal(whole, resume(cut))
    often = interrupted(tmp_path, 2, run_id="often", **changes)
    for at in (3, 5, 6):
        with pytest.raises(RuntimeError, match="the roof leaks"):
            resume(often.path, progress=Trip(at), keep_every=0)
    again = resume(often)
    assert len(again.attempts) == 5
    assert_equal(whole, again)


def test_keeping_changes_nothing(tmp_path):
    often, never = (
        train(small(**DIGITS), tmp_path, run_id=str(seconds), keep_every=seconds) for seconds in (0, float("inf"))
    )
    assert_equal(often, never)


OWN = """
import random
import numpy as np
import torch
from torch import nn

class Drawing(nn.Module):
    '''Draws from every generator, in training and in evaluation, and counts in a buffer that is not saved.'''
    def __init__(self, classes):
        super().__init__()
        pool = nn.AdaptiveAvgPool2d(1)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), pool, nn.Flatten())
        self.head = nn.Linear(4, classes)
        self.register_buffer("count", torch.zeros(()), persistent=False)

    def forward(self, x):
        self.count += 1
        noise = torch.rand(()) + random.random() + float(np.random.rand()) + self.count / 10
        return self.head(self.body(x) * noise)

def make(num_classes=10):
    return Drawing(num_classes)
"""


def test_a_net_of_my_own_may_draw_from_any_generator(tmp_path, monkeypatch):
    (tmp_path / "drawing_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    changes = {**DIGITS, "net": "drawing_net:make", "depth": None, "width": None}
    cut = interrupted(tmp_path, 5, **changes)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    whole = train(small(**changes), tmp_path, run_id="whole")
    assert before[:2] == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    assert torch.equal(before[2], torch.get_rng_state())
    random.seed(2)
    assert_equal(whole, resume(cut))


def test_images_in_files_go_on_where_they_were(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in "ab":
            folder = tmp_path / "data" / split / label
            folder.mkdir(parents=True)
            for n in range(10):
                Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(folder / f"{n}.png")
    changes = {**DIGITS, "imageset": "folder", "data": str(tmp_path / "data"), "image_size": 12, "augment": True}
    changes |= {"train_images": None, "test_images": None, "batch_size": 8}
    whole = train(small(**changes), tmp_path, run_id="whole")
    cut = interrupted(tmp_path, 4, **changes)
    assert_equal(whole, resume(cut))


def test_several_processes_go_on_bit_for_bit(tmp_path):
    changes = {**DIGITS, "devices": 2, "family": "dense", "depth": 10, "dropout": 0.3, "augment": True}
    snapshot = Snapshot(tmp_path / "whole", 6, tmp_path / "cut")
    whole = train(small(**changes), tmp_path, run_id="whole", progress=snapshot, keep_every=0)
    cut = Run(tmp_path / "cut")
    assert cut.status == "interrupted"  # as its processes have ended
    assert_equal(whole, resume(cut))


def test_a_diverged_loss_is_recorded_as_if_nothing_had_happened(tmp_path):
    changes = {"norm": "none", "learning_rate": 1e8, "steps": 50, "record_every": 40}
    whole = train(small(**changes), tmp_path, run_id="whole")
    (last,) = whole.checkpoints()[-1:]
    for at in (last - 2, last - 1, last):
        cut = interrupted(tmp_path, at, run_id=f"cut-{at}", **changes)
        again = resume(cut)
        assert_equal(whole, again)
        assert again.message == whole.message


def test_what_was_written_after_the_point_is_replaced_in_every_table(tmp_path):
    whole = train(small(**DIGITS), tmp_path, run_id="whole")
    cut = interrupted(tmp_path, 7, keep_every=float("inf"), **DIGITS)  # from the checkpoint at step 2
    assert len(cut.steps()) == 7
    again = resume(cut)
    assert again.attempts[-1]["from_step"] == 2
    assert_equal(whole, again)


def test_seconds_go_on_from_where_they_were(tmp_path):
    cut = interrupted(tmp_path, 6, **DIGITS)
    (point, *_), changed = resume_points(cut.path), io.BytesIO()
    state = torch.load(io.BytesIO(point.state()), weights_only=True)
    state["log"]["seconds"] = 1000.0
    torch.save(state, changed)
    write_checkpoint(point.weights, "cut", point.step, load_file(point.weights), changed.getvalue())
    seconds = resume(cut).steps()["seconds"]
    assert seconds.is_monotonic_increasing
    assert seconds.iloc[5] >= 1000
    assert seconds.iloc[4] < 1000


def test_a_killed_process_goes_on_bit_for_bit(tmp_path):
    """kill -9 at a random moment."""
    options = (
        "--imageset digits --depth 8 --width 4 --steps 400 --batch-size 16 --train-images 64 --test-images 40 "
        "--record-every 3 --eval-every 20 --device cpu --keep-every 0.1"
    )
    command = [sys.executable, "-m", "labapp", "train", *options.split(), "--root", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("*/_resume/*.safetensors")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(random.Random(time.time_ns()).uniform(0, 0.5))
        process.kill()
    (cut,) = list_runs(tmp_path)
    assert cut.status == "interrupted"
    again = resume(cut)
    assert_equal(train(cut.experiment, tmp_path / "whole"), again)


@pytest.mark.parametrize("changes", [{}, {"norm": "none", "learning_rate": 1e8}])
def test_a_run_killed_between_its_last_checkpoint_and_its_end_is_ended(tmp_path, changes):
    whole = train(small(**DIGITS, **changes), tmp_path, run_id="whole")
    edit(Path(shutil.copytree(whole.path, tmp_path / "cut")), status="stopped", message="")
    again = resume(tmp_path / "cut")
    assert again.attempts[-1]["from_step"] == whole.checkpoints()[-1]
    assert_equal(whole, again)
    assert again.message == whole.message


def test_a_signal_stops_after_a_whole_step_and_leaves_its_state(tmp_path):
    class Signal:
        def __call__(self, moment):
            if moment.step == 4:
                os.kill(os.getpid(), signal.SIGINT)

    whole = train(small(**DIGITS), tmp_path, run_id="whole")
    with pytest.raises(KeyboardInterrupt):
        train(small(**DIGITS), tmp_path, run_id="cut", progress=Signal(), keep_every=float("inf"))
    cut = Run(tmp_path / "cut")
    assert cut.status == "stopped"
    assert cut.message == "stopped by hand"
    assert timeless(cut, "steps").equals(timeless(whole, "steps")[:4])
    assert resume_points(cut.path)[0].step == 4
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_equal(whole, resume(cut))


def test_other_threads_are_told_and_not_refused(tmp_path):
    cut = interrupted(tmp_path, 4, **DIGITS)
    before, usual = cut.environment["threads"], torch.get_num_threads()
    torch.set_num_threads(usual + 1)
    try:
        with pytest.warns(
            ResumeWarning, match=rf"'cut' goes on elsewhere \(threads {before} → {before + 1}\), so last"
        ):
            again = resume(cut)
    finally:
        torch.set_num_threads(usual)
    assert again.status == "finished"
    assert again.environment["changed"] == [f"from step 3 on: threads {before} → {before + 1}"]


def test_an_attempt_that_began_earlier_and_was_killed_at_once_leaves_no_gap(tmp_path):
    whole = train(small(**DIGITS), tmp_path, run_id="whole")
    cut = interrupted(tmp_path, 7, **DIGITS)
    RunWriter(cut.path, from_step=2).finish("stopped")  # as if it had come no further
    again = resume(cut.path)
    assert again.attempts[-1]["from_step"] == 2
    assert_equal(whole, again)
