"""The estimate beside the form: real trials, and what is said of them."""

import tempfile
import time
from collections import OrderedDict
from pathlib import Path

import pytest

from labapp.app import background, estimate, launch, questions
from labapp.config import Experiment, LabError
from labapp.frames import costs
from labapp.frames.costs import Cost, trial_of
from labapp.store import list_runs
from labapp.training.loop import train
from tests.training.small import small

TINY = small(imageset="digits", width=2, steps=300, eval_every=100)


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """No question was asked yet, a timing begins at once, and what it leaves is seen."""
    monkeypatch.setattr(background, "_JOBS", OrderedDict())
    monkeypatch.setattr(questions, "CALM", 0.0)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield
    assert not list(Path(tempfile.gettempdir()).glob("labapp-trial-*"))


def told(wanted, runs=()):
    """What is said in the end."""
    end = time.monotonic() + 180
    while time.monotonic() < end:
        words, waiting = estimate.say(wanted, runs)
        if not waiting:
            return words
        assert words.startswith("Estimating the time: ")
        time.sleep(0.05)
    pytest.fail(words)


@pytest.mark.long
def test_without_runs_a_few_steps_are_timed():
    words, waiting = estimate.say([TINY], [])
    assert waiting
    words = told([TINY])
    assert words.startswith("About ")
    assert words.endswith("on the disk, by a timing of 8 steps.")
    several = told([TINY, TINY.but(seed=1), TINY.but(seed=2)])  # a seed costs no other timing
    assert "for 3 runs, " in several
    assert sum(key[0] == "trial" for key in background._JOBS) == 1


def test_runs_of_the_net_are_asked_where_there_are_some(tmp_path):
    for seed in (0, 1):
        train(TINY.but(steps=12, seed=seed), tmp_path / "runs")
    words = told([TINY], list_runs(tmp_path / "runs"))
    assert words.startswith("About ")
    assert "by 2 runs of this net on this machine" in words or "a timing of 8 steps" in words  # where they differ a lot
    assert any(key[0] == "trial" for key in background._JOBS) == ("timing" in words)


@pytest.mark.long
def test_what_cannot_be_trained_says_why():
    words = told([TINY.but(train_images=10**9)])
    assert (
        words
        == (
            "How long it takes cannot be told: digits has 1,437 training images, so 1000000000 of them cannot be taken."
        )
        or "of them cannot be taken" in words
    )
    assert "Traceback" not in words


def test_nothing_is_downloaded_for_an_estimate():
    assert told([Experiment(imageset="cifar10")]) == (
        "How long it takes can be told once the images of cifar10 are there."
    )
    assert not background._JOBS


def test_a_timing_that_nobody_waits_for_is_ended(monkeypatch):
    monkeypatch.setattr(questions, "IDLE", 0.05)
    job = questions.trial(TINY)
    while not job.done:
        time.sleep(0.01)
    assert "given up" in job.fault


def test_a_timing_is_a_short_training_of_the_same_net():
    short = trial_of(TINY.but(warmup_steps=100, schedule="he"))
    assert short.steps == 8
    assert {name: getattr(short, name) for name in ("depth", "width", "batch_size", "imageset", "schedule")} == {
        name: getattr(TINY.but(schedule="he"), name)
        for name in ("depth", "width", "batch_size", "imageset", "schedule")
    }


def test_nothing_is_timed_where_nothing_may_be_started(monkeypatch):
    monkeypatch.setenv("LABAPP_READ_ONLY", "1")
    job = questions.trial(TINY)
    assert background.wait([job], 60)
    with pytest.raises(LabError, match="timing a training is not allowed"):
        _ = job.value
    assert launch.at_once() >= 1


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (240, 540, "4 to 9 min"), (20, 120, "20 s to 2 min"), (0.1, 0.4, "1 s"), (44.6, 45.4, "45 s"),
        (3600, 7300, "60 min to 2 h"), (100, 100, "1.7 min"), (1e5, 9e5, "28 h to 10 days"), (61, 89, "61 to 89 s"),
    ],
)  # fmt: skip
def test_two_times_as_one_says_them(low, high, words):
    assert costs.span(low, high) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "1 kB"), (1234, "1.2 kB"), (8_600_000, "8.6 MB"), (123_456_789, "120 MB"), (4e9, "4 GB")]
)
def test_bytes_as_one_says_them(count, words):
    assert costs.room(count) == words


def test_the_estimate_in_words():
    cost = Cost(240.0, 540.0, 12e6, "3 runs of this net on this machine")
    assert costs.in_words([cost], 2) == (
        "About 4 to 9 min and 12 MB on the disk, by 3 runs of this net on this machine."
    )
    other = cost._replace(by="a timing of 8 steps")
    assert costs.in_words([cost, cost, other], 2) == (
        "About 6 to 14 min for 3 runs, 2 at a time, and 36 MB on the disk, by 3 runs of this net on this machine "
        "and a timing of 8 steps."
    )
