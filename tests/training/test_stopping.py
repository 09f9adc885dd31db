"""Signals are held back until a step is whole, and reach whoever handled them before."""

import os
import signal
import threading

import pytest

from labapp.training.stopping import SIGNALS, Stop


def ask(number=signal.SIGINT):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def as_before():
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    found = [signal.getsignal(number) for number in SIGNALS]
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)
    assert found == before


def test_it_is_passed_on_when_the_step_is_whole():
    done = []

    def training():
        with Stop() as stop:
            ask()
            ask()  # the same wish: a terminal and the parent process may both ask
            done.append("the rest of the step")
            assert stop.asked
            stop.pass_on()
            done.append("another step")

    with pytest.raises(KeyboardInterrupt):
        training()
    assert done == ["the rest of the step"]


def test_after_the_last_step_it_is_passed_on_at_the_end():
    with pytest.raises(KeyboardInterrupt), Stop():
        ask()


def test_whoever_asks_again_wants_it_at_once(monkeypatch):
    monkeypatch.setattr("labapp.training.stopping.ONE", -1.0)
    done = []

    def training():
        with Stop():
            ask()
            done.append("the rest of the step")
            ask()
            done.append("the rest of the rest")

    with pytest.raises(KeyboardInterrupt):
        training()
    assert done == ["the rest of the step"]


def test_an_error_is_not_covered_up():
    def training():
        with Stop():
            ask()
            raise RuntimeError("the roof leaks")

    with pytest.raises(RuntimeError, match="the roof leaks"):
        training()


def test_a_handler_that_goes_on_is_called_once():
    calls = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: calls.append(number))
    try:
        with Stop() as stop:
            ask(signal.SIGTERM)
            assert calls == []
            stop.pass_on()
            assert not stop.asked
        assert calls == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_that_is_changed_meanwhile_stays():
    def once(*_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    def training():
        with Stop() as stop:
            ask()
            stop.pass_on()

    before = signal.signal(signal.SIGINT, once)
    try:
        with pytest.raises(KeyboardInterrupt):
            training()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        ask()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stop() as stop:
            ask()
            assert not stop.asked
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_process_was_asked():
    with pytest.raises(KeyboardInterrupt), Stop() as stop:
        stop.pass_on()


def test_a_thread_leaves_signals_alone():
    found = []

    def body():
        with Stop():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]
