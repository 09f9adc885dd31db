"""Who else takes what a run's writer has written? A dashboard that mirrors it; none of them can hurt the run."""

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from labapp.config import first_line
from labapp.store.appending import StoreWarning
from labapp.store.run import Run
from labapp.store.schema import Chunk


class Follower(Protocol):
    """Takes rows once they lie on the disk, in the writer's own thread, and hears of the end."""

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Takes rows of a table."""

    def close(self, run: Run) -> None:
        """The run has ended."""


class Followers:
    """All that follow one run; one that fails is left behind, which is said once."""

    def __init__(self) -> None:
        self._all: list[Follower] = []

    def add(self, follower: Follower) -> None:
        """One more."""
        self._all.append(follower)

    def wrote(self, table: str, chunks: Sequence[Chunk]) -> None:
        """Rows of a table lie on the disk."""
        for chunk in chunks:
            self._tell("write", table, chunk.columns)

    def ended(self, path: Path) -> None:
        """The run has ended."""
        if self._all:
            self._tell("close", Run(path))

    def _tell(self, what: str, *about: Any) -> None:
        for follower in list(self._all):
            try:
                getattr(follower, what)(*about)
            except Exception as error:
                self._all.remove(follower)
                with contextlib.suppress(StoreWarning):  # where warnings are errors, this one is none
                    words = f"{type(follower).__name__} follows the run no more ({first_line(error)})"
                    warnings.warn(words, StoreWarning, stacklevel=2)


class Followable:
    """What lets others follow a `RunWriter`."""

    _followers: Followers

    def also(self, follower: Follower) -> None:
        """Hand rows to a follower too, once they lie on the disk."""
        self._followers.add(follower)
