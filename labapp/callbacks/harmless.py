"""How does what fails in the lab stay out of somebody's training, and how is it said?"""

import contextlib
import warnings
from types import TracebackType
from typing import Self

from labapp.config import LabError, first_line
from labapp.recording import RecorderWarning


class Harmless:
    """A block in which what fails costs the record alone. Each sentence is said once.

        with harmless:
            ...

    Where warnings are errors this one is none, because it would end the training.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, sentence: str) -> None:
        """Warn, of each sentence once."""
        if sentence not in self._said:
            self._said.add(sentence)
            with contextlib.suppress(RecorderWarning):
                warnings.warn(sentence, RecorderWarning, stacklevel=4)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):  # none, or Ctrl-C, which is the user's
            return False
        what = first_line(error) if isinstance(error, LabError) else f"{type(error).__name__}: {first_line(error)}"
        self.say(f"the lab does not record as it should, and training goes on: {what}")
        return True
