"""How does a training stop at a step that is whole?

Ctrl-C and SIGTERM interrupt a program wherever it is, in the middle of an optimizer's step as well. Here they are held
back until the step is whole, so that from its end the training can be resumed. Whoever asks again wants it at once.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ONE = 2.0  # seconds in which a second signal is the same wish: a terminal and the parent process may both send one


class Stop:
    """Holds signals back within its block, and passes them on to whoever handled them before.

    Attributes:
        asked: whether one has come.
    """

    def __init__(self) -> None:
        self.asked = False
        self._passed_on = False
        self._came = 0.0
        self._number = signal.SIGINT
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], Any]] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.getsignal(number)
                if callable(before):  # not where the signal is ignored, or ends the process by itself
                    self._before[number] = before
                    signal.signal(number, self._come)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, before in self._before.items():
            if signal.getsignal(number) == self._come:  # whoever was asked may want to hear no more
                signal.signal(number, before)
        if kind is None and self.asked and not self._passed_on:  # after the last step
            self.pass_on()

    def _come(self, number: int, frame: FrameType | None) -> None:
        if self.asked and time.monotonic() - self._came > ONE:
            self._passed_on = True
            self._before[signal.Signals(number)](number, frame)
        elif not self.asked:
            self.asked, self._came, self._number = True, time.monotonic(), signal.Signals(number)

    def pass_on(self) -> None:
        """Hand the signal on, which raises KeyboardInterrupt as a rule; raises it where another process was asked."""
        asked, self.asked, self._passed_on = self.asked, False, True
        if not asked:
            raise KeyboardInterrupt
        self._before[self._number](self._number, None)
