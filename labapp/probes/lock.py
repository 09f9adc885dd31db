"""How do several pages share nets that a question changes while it runs?

Every question holds the lock while it touches a net, long ones for one batch at a time. So a short question waits for
a batch, never for a whole survey.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
Tell = Callable[[float, str], None]  # the share that is done, and what is being done

LOCK = threading.RLock()


def locked(question: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """One question at a time."""

    @functools.wraps(question)
    def alone(*args: Arguments.args, **options: Arguments.kwargs) -> Answer:
        with LOCK:
            return question(*args, **options)

    return alone


def silent(share: float, what: str) -> None:
    """Tell nobody how far it is."""
