"""How does a page stay usable while a net is being asked?

    job = ask(("look", run.id, step), lambda tell: explanations.look(…))     # at once; the same key is computed once
    wait([job], 2.0)
    job.value if job.done else job.share

Questions are answered by two threads, one for what a page shows at once and one for what may take its time; the latter
stands back while the former is busy. Answers are kept, the oldest ones forgotten. A question for which nobody has asked
again for a while (another page, another choice) is given up.

Nothing here knows torch; what is asked imports it.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from labapp.config import LabError

KEPT = 1024  # answers
PATIENCE = 15.0  # seconds without anybody asking, after which a question is given up
Work = Callable[[Callable[[float, str], None]], Any]


class _Abandoned(Exception):  # noqa: N818 - not an error
    """Nobody waits for the answer any more."""


class Job:
    """A question that was asked, and its answer when there is one."""

    def __init__(self, work: Work, quick: bool, patience: float | None = None) -> None:
        self.share, self.message = 0.0, "waiting"
        self.fault = ""
        self.wanted, self.waiting = time.monotonic(), 0  # when somebody asked last; how many wait right now
        self._quick, self._work, self._patience = quick, work, patience
        self._answer: Any = None
        self._future: Future[None] = (_QUICK if quick else _SLOW).submit(self._do)
        self._future.add_done_callback(_give_back)

    @property
    def done(self) -> bool:
        """Whether there is an answer, or a sentence why there is none."""
        return self._future.done()

    @property
    def value(self) -> Any:
        """The answer.

        Raises:
            LabError: The sentence why there is none.
        """
        self._future.result()
        if self.fault:
            raise LabError(self.fault)
        return self._answer

    def _do(self) -> None:
        try:
            if self._quick:
                _BUSY.append(self)
            self._tell(0.0, "loading torch" if not _LOADED.is_set() else "beginning")
            self._answer = self._work(self._tell)
            self.share = 1.0
            _LOADED.set()
        except _Abandoned:
            self.fault = "given up, because nobody was waiting for it"
        except LabError as error:
            self.fault = str(error)
        except MemoryError:
            self.fault = "there is not enough memory for this; choose fewer layers or a smaller image"
        except Exception as error:  # whatever a user's net does: the app survives it
            first = (str(error).splitlines() or [""])[0]
            self.fault = f"this net could not be asked ({type(error).__name__}: {first})"
        finally:
            if self._quick:
                _BUSY.remove(self)

    def _tell(self, share: float, message: str) -> None:
        """Note how far it is; the moment at which a question can be given up or stands back."""
        self.share, self.message = share, message
        while not self._quick and _BUSY:
            time.sleep(0.005)
        patience = PATIENCE if self._patience is None else self._patience
        if not self.waiting and time.monotonic() - self.wanted > patience:
            raise _Abandoned


def ask(key: Hashable, work: Work, *, quick: bool = True, patience: float | None = None) -> Job:
    """A question and its job, at once; asked again by the same key it is the same job.

    Args:
        key: What tells it from other questions.
        work: What answers it.
        quick: Whether a page shows the answer at once; else it stands back.
        patience: Seconds without anybody asking, after which it is given up; `PATIENCE` when left out.
    """
    with _LOCK:
        job = _JOBS.pop(key, None)
        if job is None or (job.done and job.fault.startswith("given up")):
            job = Job(work, quick, patience)
        _JOBS[key] = job  # the latest stands last
        while len(_JOBS) > KEPT:
            _JOBS.popitem(last=False)
    job.wanted = time.monotonic()
    return job


def wait(jobs: Iterable[Job], seconds: float) -> bool:
    """Give jobs so many seconds; whether all are done. None is given up meanwhile, however busy the machine is."""
    end = time.monotonic() + seconds
    jobs = list(jobs)
    with _LOCK:
        for job in jobs:
            job.waiting += 1
    try:
        while not all(job.done for job in jobs) and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        with _LOCK:
            for job in jobs:
                job.wanted = time.monotonic()
                job.waiting -= 1
    return all(job.done for job in jobs)


def _give_back(_: object) -> None:
    """Give what an answer no longer needs back to the system: the C library would keep it, hundreds of MB in time."""
    if _TRIM is not None:
        _TRIM(0)


_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None  # glibc's own
_JOBS: OrderedDict[Hashable, Job] = OrderedDict()
_LOCK = threading.Lock()
_BUSY: list[Job] = []
_LOADED = threading.Event()
_QUICK = ThreadPoolExecutor(1, thread_name_prefix="labapp-quick")
_SLOW = ThreadPoolExecutor(1, thread_name_prefix="labapp-slow")
