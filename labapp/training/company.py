"""What becomes of a training of several processes when one of them fails or is killed?

The one that fails says why before it leaves, in the store through which the processes found each other. Its connections
end with it, so the others fail at their next exchange with words about a socket; they look into the store first and
fail with the reason. Where nobody left one, the process that is no longer there was killed.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from labapp.config import LabError, first_line
from labapp.store.machine import is_alive, noted

COUNT, WORDS = "labapp/faults", "labapp/fault"
PATIENCE = 5.0  # seconds in which a process that was killed is seen to be gone, and the store answers
LONGEST = 500  # characters of a reason
_CONNECTION = re.compile(r"connection|peer|socket|gloo|nccl|timed out|timeout", re.IGNORECASE)


class OtherProcessError(LabError):
    """Another process of this training failed, or was killed."""


class Company:
    """The processes of one training, as one of them sees them; all make it at the same time.

    Args:
        rank: Of this process.
        world: How many there are.
    """

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world
        self._known: BaseException | None = None
        self._notes: list[Any] = [None] * world
        if world > 1:
            dist.all_gather_object(self._notes, noted(os.getpid()))

    @property
    def hosts(self) -> list[str]:
        """The names of the machines, in the order of their processes."""
        return list(dict.fromkeys(note["host"] for note in self._notes if note))

    @contextlib.contextmanager
    def one_fault(self) -> Iterator[None]:
        """Makes an exception in the block that of the process in which it began.

        Raises:
            OtherProcessError: where that is another one, which says "process 1: " and its error.
        """
        try:
            yield
        except OtherProcessError:
            raise
        except Exception as error:
            if self.world > 1 and error is not self._known and (words := self._elsewhere(error)):
                raise OtherProcessError(words) from error
            self._known = error
            raise

    def _elsewhere(self, error: Exception) -> str:
        """What happened in another process before; "" where this one is the first, which then says so."""
        words = f"process {self.rank}: {type(error).__name__}: {first_line(error)}"[:LONGEST]
        cut_off = isinstance(error, RuntimeError) and _CONNECTION.search(str(error)) is not None
        try:
            store = dist.TCPStore(
                os.environ["MASTER_ADDR"],
                int(os.environ["MASTER_PORT"]),
                is_master=False,
                timeout=timedelta(seconds=PATIENCE),
            )
            if store.add(COUNT, 1) > 1:
                return store.get(WORDS).decode()
            gone = self._gone() if cut_off else ""
            store.set(WORDS, gone or words)
        except (RuntimeError, KeyError, ValueError):  # the store ends with the first process
            gone = (self._gone() or "the first process of this training has ended") if cut_off else ""
        return gone

    def _gone(self) -> str:
        """Which process has ended without a word; "" where none has, or only on other machines."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for rank, note in enumerate(self._notes):
                if is_alive(note) is False:
                    return (
                        f"process {rank} ({note['pid']} on {note['host']}) is gone: it was killed, or ran out of memory"
                    )
            time.sleep(0.05)
        return ""
