"""A device's time by its events, on a clock that the test turns: nothing waits, and a host's time is not in it."""

import pytest
import torch

from labapp.recording import Recorder, device_time, every
from labapp.recording.device_time import DeviceTime
from labapp.recording.processor import FEWEST
from tests.recording.nets import batch, optimizer_of, small


class Clock:
    """A device that is `behind` the host by so many events."""

    def __init__(self):
        self.now, self.behind, self.events = 0.0, 0, []

    def event(self, device, enable_timing):
        assert enable_timing
        return Event(self)


class Event:
    def __init__(self, clock):
        self.clock = clock

    def record(self):
        self.at, self.number = self.clock.now, len(self.clock.events)
        self.clock.events.append(self)

    def query(self):
        return len(self.clock.events) - self.number > self.clock.behind

    def elapsed_time(self, later):
        assert self.query()
        assert later.query()  # torch raises where an event has not come
        return 1000 * (later.at - self.at)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(torch, "Event", clock.event)
    return clock


def run(clock, found, steps):
    """Steps of (seconds, recorded)."""
    for seconds, recorded in steps:
        found.begins(recorded)
        clock.now += seconds
        found.ends(True)


def test_recorded_steps_are_compared_with_those_after_them(clock):
    found = DeviceTime(torch.device("cpu"))
    run(clock, found, [(1.5 if at % 4 == 0 else 1.0, at % 4 == 0) for at in range(40)])
    account = found.account(recorded=10, steps=40)
    assert account["share"] == pytest.approx(10 * 0.5 / 40)
    assert account["seconds"] == pytest.approx(10 * 0.5)
    assert account["device_share_low"] == account["device_share_high"] == account["share"]  # all differences are one
    assert len(clock.events) == 4 * 10  # idle steps put none


def test_events_that_have_not_come_are_not_waited_for(clock):
    found, clock.behind = DeviceTime(torch.device("cpu")), 6
    run(clock, found, [(1.5 if at % 2 == 0 else 1.0, at % 2 == 0) for at in range(2 * FEWEST)])
    assert found.account(FEWEST, 2 * FEWEST)["device_share"] is None
    assert 0 < found.pairs.pairs < FEWEST
    clock.behind = 0
    assert found.account(FEWEST, 2 * FEWEST)["device_share"] == pytest.approx(0.25)


@pytest.mark.parametrize("behind", [0, 7])
def test_a_budget_goes_by_the_device_and_not_by_the_host(clock, monkeypatch, behind):
    clock.behind = behind
    monkeypatch.setattr(device_time, "time_of", lambda model: DeviceTime(torch.device("cpu")))
    model = small()
    (x, y), optimizer = batch(16), optimizer_of(model.parameters())
    with Recorder(model, optimizer, when=every(1), budget=0.05) as recorder:
        for step in range(150):
            with recorder.step():
                clock.now += 1.5 if recorder._due else 1.0
                if recorder._due or step < 3:  # what the host does takes milliseconds, and counts for nothing
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(model(x), y).backward()
                    optimizer.step()
    cost = recorder.cost
    assert cost["recorded_steps"] + cost["left_out_for_budget"] == 150
    # 0.5 of 1 s a recorded step: one in ten; the first two are recorded whatever they cost, and one waits for a pair
    assert 150 / 10 - 1 <= cost["recorded_steps"] <= 150 / 10 + 3 + behind
    assert cost["share"] == pytest.approx(0.05, rel=0.3)


def test_a_cpu_has_no_clock_of_its_own():
    assert device_time.time_of(small()) is None
    assert "device_share" not in Recorder(small()).cost


def test_a_device_without_events_is_timed_as_a_cpu(monkeypatch):
    def none(*args, **kwargs):
        raise RuntimeError("no events here")

    monkeypatch.setattr(torch, "Event", none)
    assert device_time.time_of(small().to("meta")) is None

    class Elsewhere(torch.nn.Module):
        def parameters(self):
            yield type("P", (), {"device": torch.device("cuda:0")})()

    assert device_time.time_of(Elsewhere()) is None
