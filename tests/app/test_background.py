"""Questions in the background: asked once, answered in their order, given up when nobody waits."""

import threading
import time

import pytest

from labapp.app import background
from labapp.config import LabError


@pytest.fixture
def key():
    return object()  # of this test alone


def test_the_same_question_is_worked_on_once(key):
    times = []
    jobs = [background.ask((key, 1), lambda tell: times.append(1) or 42) for _ in range(3)]
    assert background.wait(jobs, 60)
    assert [job.value for job in jobs] == [42] * 3
    assert times == [1]


def test_a_page_sees_how_far_it_is(key):
    go = threading.Event()

    def work(tell):
        tell(0.5, "half of it")
        go.wait(60)
        return "whole"

    job = background.ask((key, 2), work, quick=False)
    while job.share < 0.5:
        time.sleep(0.005)
    assert (job.done, job.message) == (False, "half of it")
    assert not background.wait([job], 0.02)
    go.set()
    assert background.wait([job], 60)
    assert (job.share, job.value) == (1.0, "whole")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (LabError("there is no run"), "there is no run"),
        (RuntimeError("out of luck\nand more"), r"this net could not be asked \(RuntimeError: out of luck\)"),
        (KeyError(), r"this net could not be asked \(KeyError: \)"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_what_goes_wrong_is_one_sentence(key, error, sentence):
    def work(tell):
        raise error

    job = background.ask((key, 3), work)
    assert background.wait([job], 60)
    with pytest.raises(LabError, match=sentence) as caught:
        _ = job.value
    assert "\n" not in str(caught.value)


def test_a_quick_question_does_not_wait_for_a_long_one(key):
    order = []
    begun, answered = threading.Event(), threading.Event()

    def long(tell):
        begun.set()
        tell(0.5, "…")
        answered.wait(10)
        order.append("long")

    def short(tell):
        order.append("quick")
        answered.set()

    slow = background.ask((key, 4), long, quick=False)
    assert begun.wait(60)
    quick = background.ask((key, 5), short)
    assert background.wait([slow, quick], 60)
    assert order == ["quick", "long"]


def test_a_question_that_nobody_waits_for_is_given_up_and_can_be_asked_again(key, monkeypatch):
    monkeypatch.setattr(background, "PATIENCE", 0.05)
    parts = []

    def work(tell):
        for part in range(40):
            tell(part / 40, "…")
            parts.append(part)
            time.sleep(0.01)
        return "done"

    job = background.ask((key, 6), work, quick=False)
    while not job.done:
        time.sleep(0.01)  # looks at the job, but does not ask
    assert len(parts) < 40
    assert "given up" in job.fault
    monkeypatch.setattr(background, "PATIENCE", 60.0)
    again = background.ask((key, 6), work, quick=False)
    assert background.wait([again], 60)
    assert again.value == "done"


def test_whoever_waits_is_not_given_up_however_slowly_it_goes(key, monkeypatch):
    """A busy machine may leave the one who waits asleep for longer than the patience lasts."""
    begun, asleep = threading.Event(), threading.Event()
    monkeypatch.setattr(background, "time", Sleepy(asleep))

    def work(tell):
        begun.set()
        asleep.wait(60)
        tell(0.5, "…")
        return "done"

    job = background.ask((key, 7), work, quick=False)
    begun.wait(60)
    monkeypatch.setattr(background, "PATIENCE", -1.0)  # over at any moment
    assert background.wait([job], 60)
    assert job.value == "done"


class Sleepy:
    """A clock of which `sleep` tells that somebody sleeps."""

    def __init__(self, asleep):
        self.asleep, self.monotonic = asleep, time.monotonic

    def sleep(self, seconds):
        self.asleep.set()
        time.sleep(seconds)


def test_the_oldest_answers_are_forgotten(key, monkeypatch):
    monkeypatch.setattr(background, "KEPT", 3)
    jobs = [background.ask((key, "kept", number), lambda tell: None) for number in range(5)]
    assert background.wait(jobs, 60)
    assert background.ask((key, "kept", 4), lambda tell: None) is jobs[4]
    assert background.ask((key, "kept", 0), lambda tell: None) is not jobs[0]
