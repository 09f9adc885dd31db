"""How do several processes work off a list of tasks?

    with Workers(2) as workers:
        workers.add(function, argument, …)            # runs function(argument, …, tell) in one of two processes
        for task in workers.finished(tell):
            task.value, task.fault

The processes are started once, as `labapp.training.processes` says, and each computes with its share of the cores. What
is printed in them is not seen. Ctrl-C reaches them too: what runs ends as if it had been alone, what waits never
begins. A process that dies takes its task with it, and the next one gets a new process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from labapp.config import LabError
from labapp.training.processes import settle, start_method

Tell = Callable[[float, str], None]
PATIENCE = 30.0  # seconds for a process that is asked to end
PACE = 0.25  # seconds between two looks, and between two words of one task


@dataclass(eq=False)
class Work:
    """A call, where it stands and what became of it.

    Attributes:
        share: Done of it, 0 to 1.
        words: What it said last.
        value: What the function returned.
        fault: What it raised, in one sentence.
        lost: Whether its process was lost, and it with it, so that it may be begun once more.
        tries: How often it was.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    share: float = 0.0
    words: str = ""
    value: Any = None
    fault: str = ""
    lost: bool = False
    tries: int = 0

    def ended(self, kind: str, said: Any) -> None:
        """Takes down how it ended, as `answer` says it.

        Raises:
            LabError: A mistake that others would meet as well.
        """
        if kind == "mistake":
            raise LabError(said)
        if kind == "fault":
            self.fault = said
        else:
            self.value, self.share = said, 1.0


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Connection
    work: Work | None = None


@dataclass(eq=False)
class Workers:
    """Processes, and the tasks that wait for one."""

    count: int
    threads: int | None = None  # of each; its share of the cores, unless OMP_NUM_THREADS says otherwise
    waiting: deque[Work] = field(default_factory=deque)
    _workers: list[_Worker] = field(default_factory=list)

    def add(self, function: Callable[..., Any], *arguments: Any) -> Work:
        """Has a call wait for its turn."""
        work = Work(function, arguments)
        self.waiting.append(work)
        return work

    @property
    def running(self) -> list[Work]:
        """What is being worked on."""
        return [worker.work for worker in self._workers if worker.work is not None]

    def finished(self, look: Callable[[], None] = lambda: None) -> Iterator[Work]:
        """The tasks, each as it ends; more may be added meanwhile. `look` is called again and again.

        Raises:
            LabError: What a task raised of this kind: a mistake that the others would meet as well.
        """
        while self.waiting or self.running:
            self._give()
            for pipe in wait([worker.pipe for worker in self._workers if worker.work is not None], timeout=PACE):
                worker = next(worker for worker in self._workers if worker.pipe is pipe)
                work = self._hear(worker)
                if work is not None:
                    look()
                    yield work
            look()

    def _give(self) -> None:
        """Begins as many tasks as there are idle processes."""
        while self.waiting and len(self.running) < self.count:
            idle = next((worker for worker in self._workers if worker.work is None), None) or self._begin()
            idle.work = self.waiting.popleft()
            idle.pipe.send((idle.work.function, idle.work.arguments))

    def _begin(self) -> _Worker:
        here, there = multiprocessing.Pipe()
        with _shared_cores(self.threads or max(1, cores() // self.count), given=self.threads is not None):
            context: Any = multiprocessing.get_context(start_method("labapp.probes.measure"))
            process = context.Process(target=_serve, args=(there, dict(os.environ)), daemon=False)
            process.start()
        there.close()
        worker = _Worker(process, here)
        self._workers.append(worker)
        return worker

    def _hear(self, worker: _Worker) -> Work | None:
        """What a process says; its task where that has ended."""
        work = worker.work
        assert work is not None
        try:
            kind, *said = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            self._workers.remove(worker)
            work.fault, work.lost = f"the process ended by itself (exit code {worker.process.exitcode})", True
            return work
        if kind == "told":
            work.share, work.words = said
            return None
        worker.work = None
        work.ended(kind, *said)
        return work

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the processes: idle ones at once, others as on Ctrl-C."""
        for worker in self._workers:
            if worker.work is not None and worker.process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGINT)
            else:
                worker.pipe.close()
        until = time.monotonic() + PATIENCE
        for worker in self._workers:
            worker.process.join(max(0.1, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.terminate()
                worker.process.join()


def _serve(pipe: Connection, environment: dict[str, str]) -> None:
    """Works off what comes through the pipe, until nobody is left at its other end.

    Args:
        pipe: To whoever gives it work.
        environment: That of whoever began it, which the process that it came out of need not have.
    """
    settle(environment)

    def interrupt(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):  # once is enough: the terminal and our parent may both ask
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            function, arguments = pipe.recv()
            pipe.send(answer(function, arguments, lambda *said: pipe.send(("told", *said))))


def answer(function: Callable[..., Any], arguments: tuple[Any, ...], send: Tell, pace: float = PACE) -> tuple[str, Any]:
    """What becomes of a task in the process that works on it: "done" with its value, "fault" or "mistake" with words.

    Args:
        function: Of the task.
        arguments: Of the task.
        send: Tells whoever gave it how far it is.
        pace: Seconds between two words.
    """
    said = 0.0

    def tell(share: float, words: str) -> None:
        nonlocal said
        if share >= 1 or time.monotonic() - said > pace:
            said = time.monotonic()
            with contextlib.suppress(OSError):  # whoever asked is gone; what was begun is finished all the same
                send(share, words)

    try:
        return "done", function(*arguments, tell)
    except LabError as error:
        return "mistake", str(error)
    except Exception as error:
        return "fault", f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _shared_cores(threads: int, given: bool) -> Iterator[None]:
    """The environment of a process that has so many threads, or as the user decided where the number was not given."""
    before = dict(os.environ)
    if given or "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait awake hold up the other process
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
