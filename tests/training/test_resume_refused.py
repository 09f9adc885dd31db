"""What cannot be resumed is refused in one sentence and left as it is; what is damaged is told and passed over."""

import io
import resource
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from labapp.config import LabError
from labapp.imagesets import loading
from labapp.recording import every, unwatch, watch
from labapp.store import Run, RunWriter, resume_points
from labapp.store.checkpoints import write_checkpoint
from labapp.training.beginnings import ResumeWarning
from labapp.training.loop import resume, train
from labapp.training.state import TrainingState
from tests.store.examples import edit
from tests.training.interrupted import assert_equal, interrupted
from tests.training.small import small

DIGITS = {"imageset": "digits", "steps": 8, "record_every": 3}


def contents(path):
    """Every file below a folder, and what is in it."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def refused(run, sentence):
    """The run is refused with this sentence, and nothing of it is changed."""
    before = contents(run.path)
    with pytest.raises(LabError, match=sentence) as raised:
        resume(run.path)
    assert "\n" not in str(raised.value)
    assert contents(run.path) == before


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("finished", "run 'cut' is finished: its training has ended, so there is nothing to resume"),
        ("incomplete", "run 'cut' is incomplete: its training has ended"),
        ("diverged", "would diverge at the same step; train anew with a smaller --learning-rate"),
    ],
)
def test_a_training_that_has_ended(tmp_path, status, sentence):
    run = interrupted(tmp_path, 2, **DIGITS)
    edit(run.path, status=status)
    refused(run, sentence)


def test_a_run_that_is_being_written(tmp_path):
    with RunWriter.create(tmp_path, small(), run_id="busy") as writer:
        refused(writer.run, r"run 'busy' is being written by process \d+ on .*; stop it first")


def test_a_run_of_a_loop_of_its_own(tmp_path):
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    watched = watch(net, optimizer, runs=tmp_path, when=every(1))
    net(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    unwatch(net)
    edit(watched.run, status="failed")
    refused(Run(watched.run), "was recorded in a loop of its own, not by `labapp train`")


def test_no_run_and_a_run_of_a_newer_lab(tmp_path):
    with pytest.raises(LabError, match="there is no run at"):
        resume(tmp_path / "nowhere")
    run = interrupted(tmp_path, 2, **DIGITS)
    edit(run.path, format=99)
    refused(run, "run.json")


def test_other_images_than_it_was_begun_with(tmp_path):
    rng = np.random.default_rng(0)
    data = tmp_path / "data"
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (data / name).mkdir(parents=True)
        for n in range(10):
            Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(data / name / f"{n}.png")
    changes = {"imageset": "folder", "data": str(data), "image_size": 12, "train_images": None, "test_images": None}
    run = interrupted(tmp_path, 4, **DIGITS | changes, batch_size=8)
    lost = data / "train" / "a" / "3.png"
    pixels = lost.read_bytes()
    lost.unlink()
    refused(run, "the training images of run 'cut' are not those .*: their count was 20 and is 19; put them back")
    Image.fromarray(np.zeros((12, 12, 3), dtype=np.uint8)).save(lost)
    loading._measure.cache_clear()  # as in a new process
    refused(run, "their mean was 0.4.* and is 0.4")
    lost.write_bytes(pixels)
    loading._measure.cache_clear()
    data.rename(tmp_path / "elsewhere")
    refused(run, f"no images by class under {data}/train")
    (tmp_path / "elsewhere").rename(data)
    assert resume(run).status == "finished"


NET = """
from torch import nn

def make(num_classes=10):
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(nn.Conv2d(1, {}, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear({}, num_classes))
"""


def test_another_net_than_it_was_begun_with(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    source = tmp_path / "changing_net.py"
    source.write_text(NET.format(4, 4))
    run = interrupted(tmp_path, 4, **DIGITS | {"net": "changing_net:make", "depth": None, "width": None})
    monkeypatch.delitem(__import__("sys").modules, "changing_net")
    source.write_text(NET.format(5, 5))
    refused(run, r"_resume/step-00000003 is of another net: it does not fit '0.bias'; was the net's code changed\?")
    monkeypatch.delitem(__import__("sys").modules, "changing_net")
    source.unlink()
    refused(run, "'changing_net' is not found")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_damaged_point_costs_the_way_to_the_one_before_and_is_told(tmp_path, suffix):
    whole = train(small(**DIGITS), tmp_path, run_id="whole")
    cut = interrupted(tmp_path, 6, **DIGITS)
    latest, earlier, *_ = resume_points(cut.path)
    assert (latest.step, earlier.step) == (5, 2)
    file = latest.weights.with_suffix(suffix)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.warns(ResumeWarning, match=rf"cannot go on from step 5: .*step-00000005{suffix} is damaged"):
        again = resume(cut)
    assert again.attempts[-1]["from_step"] == 2
    assert_equal(whole, again)


def as_bytes(state):
    found = io.BytesIO()
    torch.save([dict(sorted(state.weights.items())), state.contents], found)
    return found.getvalue()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_no_flipped_bit_goes_on_unseen(tmp_path, suffix):
    """It is told, or was in a place that nothing is read from."""
    point = resume_points(interrupted(tmp_path, 6, **DIGITS).path)[0]
    sound = as_bytes(TrainingState.read(point))
    file = point.weights.with_suffix(suffix)
    data, told = bytearray(file.read_bytes()), 0
    for at in range(0, len(data), max(1, len(data) // 80)):
        data[at] ^= 1 << at % 8
        file.write_bytes(data)
        (again,) = (found for found in resume_points(point.weights.parents[1]) if found.step == 5)
        try:
            assert as_bytes(TrainingState.read(again)) == sound, at
        except LabError:
            told += 1
        data[at] ^= 1 << at % 8
    assert told > 40


def test_without_a_state_it_begins_again_and_says_so(tmp_path):
    changes = {**DIGITS, "checkpoints": 0}
    whole = train(small(**changes), tmp_path, run_id="whole")
    cut = interrupted(tmp_path, 6, keep_every=float("inf"), **changes)
    with pytest.warns(ResumeWarning, match="run 'cut' has no state to go on from, so it begins again at step 0"):
        again = resume(cut)
    assert_equal(whole, again)


def test_where_no_state_can_be_read_nothing_begins_unasked(tmp_path):
    whole = train(small(**DIGITS), tmp_path, run_id="whole")
    cut = interrupted(tmp_path, 6, **DIGITS)
    latest, *others = resume_points(cut.path)
    latest.weights.write_bytes(b"")
    for point in others:  # as the first version wrote them
        weights = load_file(point.weights)
        point.weights.unlink()
        write_checkpoint(point.weights, "cut", point.step, weights, None)
        torch.save({"optimizer": {}}, point.weights.with_suffix(".pt"))
    refused(
        cut, "run 'cut' cannot go on from step 5: .* is damaged .*, nor from 2 earlier ones; .* --from-start` begins"
    )
    latest.weights.unlink()
    refused(cut, "step-00000002.pt does not hold all that it takes to go on; another version wrote it, nor from 1 ")
    again = resume(cut, from_start=True)
    assert again.attempts[-1]["from_step"] == 0
    assert_equal(whole, again)


class Full:
    """A progress display that lets no file grow beyond some bytes while the training is between two steps."""

    def __init__(self, size, first, last):
        self.size, self.first, self.last = size, first, last

    def __call__(self, moment):
        soft = self.size if self.first <= moment.step < self.last else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))


@pytest.mark.filterwarnings("ignore::labapp.store.appending.StoreWarning")
def test_a_state_that_cannot_be_written_costs_itself_alone(tmp_path):
    changes = {**DIGITS, "checkpoints": 0}
    whole = train(small(**changes), tmp_path, run_id="whole")

    class Broken(Full):
        def __call__(self, moment):
            super().__call__(moment)
            if moment.step == 7:
                raise RuntimeError("the roof leaks")

    try:
        with pytest.raises(RuntimeError, match="the roof leaks"):
            train(small(**changes), tmp_path, run_id="cut", progress=Broken(40_000, 4, 7), keep_every=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    cut = Run(tmp_path / "cut")
    assert any("no resume point was kept: cannot write to" in fault for fault in cut.record.faults)
    assert len(cut.steps()) == 7
    assert resume_points(cut.path)[0].step == 3
    again = resume(cut)
    assert again.attempts[-1]["from_step"] == 3
    faults = again.record.faults
    edit(again.path, faults=[])
    assert_equal(whole, Run(again.path))
    assert len(faults) == 1


def test_a_disk_that_is_full_refuses_and_loses_nothing(tmp_path):
    run = interrupted(tmp_path, 4, **DIGITS)
    steps = run.steps()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
        with pytest.raises(LabError, match="cannot write to"):
            resume(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert Run(run.path).steps().equals(steps)
    assert resume_points(run.path)[0].step == 3


def test_a_clock_that_jumps_back_changes_nothing(tmp_path, monkeypatch):
    whole = train(small(**DIGITS), tmp_path, run_id="whole")
    began = time.time()
    monkeypatch.setattr("time.time", lambda: began - 3600)
    assert_equal(whole, resume(interrupted(tmp_path, 5, **DIGITS)))


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_time_between_states_that_is_none(tmp_path, seconds):
    with pytest.raises(LabError, match="keep_every is a number of seconds, 0 or above"):
        train(small(), tmp_path, keep_every=seconds)
    assert not list(tmp_path.iterdir())
