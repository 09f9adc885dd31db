"""How are the tasks of a sweep handed to Ray, and what becomes of them heard?

    with Cluster(Means(root, address="head:6379", cpus=1, gpus=0.5)) as workers: …          # an `Engine`

A task is a task of Ray with the resources that a run takes, so Ray says where and when it begins. It is begun once by
Ray: what was lost with a process or a node comes back as lost.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from labapp.commands.sweep import on_node
from labapp.commands.sweep.connecting import connected
from labapp.commands.sweep.engines import Means
from labapp.commands.workers import PATIENCE, Work
from labapp.config import LabError, is_remote, place


class Cluster:
    """Ray's workers, and the tasks that wait for one."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self.waiting: deque[Work] = deque()
        self._numbers = itertools.count()
        self._works: dict[int, Work] = {}  # those that Ray has, by number
        self._given: dict[Any, int] = {}  # by the reference to what becomes of them
        self._begun: set[int] = set()  # those that said so

    def add(self, function: Callable[..., Any], *arguments: Any) -> Work:
        """Has a task wait for its turn."""
        work = Work(function, arguments)
        self.waiting.append(work)
        return work

    @property
    def running(self) -> list[Work]:
        """What is being worked on."""
        return [self._works[number] for number in sorted(self._begun)]

    def finished(self, look: Callable[[], None] = lambda: None) -> Iterator[Work]:
        """The tasks, each as it ends; more may be added meanwhile. `look` is called again and again.

        Raises:
            LabError: What a task raised of this kind, or why a node cannot work: the others would meet it as well.
        """
        while self.waiting or self._given:
            self._give()
            ready, _ = self._ray.wait([*self._given], timeout=on_node.PACE)  # they tell no sooner
            self._listen()
            for reference in ready:
                work = self._works.pop(number := self._given.pop(reference))
                self._begun.discard(number)
                self._take_down(work, reference)
                look()
                yield work
            look()

    def _give(self) -> None:
        """Hands over as many tasks as may run at a time; all where Ray alone decides."""
        while self.waiting and (self.means.jobs is None or len(self._given) < self.means.jobs):
            work, number = self.waiting.popleft(), next(self._numbers)
            parcel = self._ray.put((work.function, work.arguments))
            self._works[number] = work
            self._given[self._task.remote(self._terms, [parcel], self._bulletin, number)] = number

    def _listen(self) -> None:
        """Takes down how far tasks are."""
        with contextlib.suppress(self._ray.exceptions.RayError):  # the bulletin is begun again, and told anew
            for number, said in self._ray.get(self._bulletin.read.remote(), timeout=PATIENCE).items():
                if number in self._works:
                    self._begun.add(number)
                    self._works[number].share, self._works[number].words = said

    def _take_down(self, work: Work, reference: Any) -> None:
        faults = self._ray.exceptions
        try:
            work.ended(*self._ray.get(reference))
        except (faults.RayTaskError, faults.TaskCancelledError) as error:
            work.fault = _sentence(error)
        except faults.RayError as error:
            work.fault, work.lost = f"its worker was lost ({_sentence(error)})", True

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._ray = ray = stack.enter_context(connected(self.means))
            mark = stack.enter_context(_marked(self.means.root))
            ray.cloudpickle.register_pickle_by_value(on_node)
            stack.callback(ray.cloudpickle.unregister_pickle_by_value, on_node)
            here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                ray.get_runtime_context().get_node_id(), soft=False
            )
            self._bulletin = (
                ray.remote(on_node.Bulletin).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
            )
            takes = {"num_cpus": self.means.cpus, "num_gpus": self.means.gpus}
            self._task = ray.remote(on_node.work).options(**takes, max_retries=0)
            self._terms = (on_node.versions(), str(Path.cwd()), self.means.root, mark)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends what runs at a whole step, as on Ctrl-C; what waits never begins."""
        with self._stack, contextlib.suppress(self._ray.exceptions.RayError):
            for reference in reversed(self._given):  # the last first, so that none of them begins
                self._ray.cancel(reference)
            if self._given:
                self._ray.wait([*self._given], num_returns=len(self._given), timeout=PATIENCE)


def _sentence(error: BaseException) -> str:
    """The first sentence of what Ray says in many lines; of what a task raised its own."""
    error = getattr(error, "cause", None) or error
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words.partition('. ')[0]}".rstrip(".: ")


@contextlib.contextmanager
def _marked(root: str) -> Iterator[str]:
    """A file in the archive by which a node knows that it sees the same one; "" where its address says so."""
    folder = place(root)
    if is_remote(folder):
        yield ""
        return
    mark = folder / f".sweep-{secrets.token_hex(8)}"
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise LabError(f"the archive {root} cannot be written: {error.strerror or error}") from None
    try:
        yield str(mark)
    finally:
        mark.unlink(missing_ok=True)
