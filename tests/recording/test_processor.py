"""Processor time of recording, on a clock that the test turns."""

import numpy as np
import pytest
from scipy import stats

from labapp.recording import every, processor
from labapp.recording.processor import FEWEST, ProcessorTime
from tests.recording.test_misuse import small, train


@pytest.fixture
def clock(monkeypatch):
    """A clock of processor time, and how often it was read."""

    class Clock:
        now, reads = 0.0, 0

        def thread_time(self):
            self.reads += 1
            return self.now

    clock = Clock()
    monkeypatch.setattr(processor, "time", clock)
    return clock


def run(clock, steps):
    """Steps of (seconds, recorded, counts)."""
    measured = ProcessorTime()
    for seconds, recorded, counts in steps:
        measured.begins(recorded)
        clock.now += seconds
        measured.ends(counts)
    return measured


def test_a_recorded_step_is_compared_with_the_step_after_it(clock):
    generator = np.random.default_rng(0)
    bare = generator.normal(1.0, 0.05, 400)
    steps = [(each + 0.2 * (at % 5 == 0), at % 5 == 0, True) for at, each in enumerate(bare)]
    measured = run(clock, steps)
    measured.flushing = 4.0
    found = measured.shares(recorded=80, steps=400)
    pairs = bare[0::5] + 0.2 - bare[1::5]
    ends = stats.t.interval(0.95, 79, pairs.mean(), stats.sem(pairs))
    expected = [(80 * each + 4.0) / (400 * bare[1::5].mean()) for each in (pairs.mean(), *ends)]
    assert list(found.values()) == pytest.approx(expected, abs=1e-6)  # rounded there
    assert found["cpu_share_low"] < 80 * 0.2 / 400 + 0.01 < found["cpu_share_high"]


def test_the_clock_is_not_read_in_other_steps(clock):
    run(clock, [(1.0, at == 0, True) for at in range(100)])
    assert clock.reads == 4


def test_steps_that_do_not_count_leave_no_pair(clock):
    assert run(clock, [(9.0, True, False), (1.0, False, True)]).pairs == 0  # it studied the net
    assert run(clock, [(9.0, True, True), (1.0, False, False)]).pairs == 0  # the step after it failed
    assert run(clock, [(1.0, True, True)] * 50).pairs == 0  # every step is recorded


def test_too_few_pairs_say_nothing(clock):
    few = run(clock, [(1.0 + at % 2, at % 2 == 0, True) for at in range(2 * FEWEST - 2)])
    assert few.pairs == FEWEST - 1
    assert set(few.shares(4, 8).values()) == {None}


def test_a_recorder_reports_it():
    cost = train(small(), 40, {"when": every(4)}).cost
    assert cost["cpu_share_low"] <= cost["cpu_share"] <= cost["cpu_share_high"]
    assert train(small(), 12, {"when": every(1)}).cost["cpu_share"] is None
