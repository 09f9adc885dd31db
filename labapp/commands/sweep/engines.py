"""Who works off the tasks of a sweep, and what is a task?

A task is one of the functions below with its arguments, all of which can be sent to another process. An engine takes
them with `add` and gives them back with `finished`, each as it ends, with what it returned or why it failed; more may
be added meanwhile. Whatever engine works, the same sweep gives the same runs, since each is known by its content and
computes with a fixed number of threads.

What is common to all engines is above them: `working` decides what is to run, tags it, and begins once more what was
lost with its process; a training finds for itself whether its run is there, interrupted or another's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from labapp.commands.workers import Tell, Work, Workers, cores
from labapp.config import Experiment, LabError
from labapp.config.sweeps import ProbeWish
from labapp.probes.catalogue import why_not
from labapp.store import Run, label_run, why_not_resumed
from labapp.training.sweeps import Standing, opened, standings

MEASURING = 0.3  # of the time of a training, for each that is measured afterwards: only for the bar


class Engine(Protocol):
    """What `labapp.commands.workers.Workers` is: within its block it has processes, on this machine or on others.

    A task that was lost with its process comes back with `lost`, like one that failed.
    """

    @property
    def running(self) -> list[Work]:
        """What is being worked on."""

    def add(self, function: Callable[..., Any], *arguments: Any) -> Work:
        """Has a task wait for its turn."""

    def finished(self, look: Callable[[], None]) -> Iterator[Work]:
        """The tasks, each as it ends; `look` is called again and again."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends what runs, at a whole step."""


@dataclass(frozen=True)
class Means:
    """With what a sweep is computed.

    Attributes:
        root: The archive.
        jobs: Tasks at a time; None for as many as there is room for.
        threads: Of each.
        address: Of the cluster; "" for this machine.
        cpus: That each takes of a cluster.
        gpus: That each takes, or the share of one.
        say: Told what is to be known before it begins.
    """

    root: str
    jobs: int | None = None
    threads: int = 1
    address: str = ""
    cpus: float = 1.0
    gpus: float = 0.0
    say: Callable[[str], None] = print

    @property
    def at_once(self) -> int:
        """Tasks at a time; where that is left to a cluster, as many as this machine has room for."""
        return self.jobs or max(1, cores() // self.threads)


def _on_this_machine(means: Means) -> Engine:
    return Workers(means.at_once, means.threads)


def _on_ray(means: Means) -> Engine:
    from labapp.commands.sweep.cluster import Cluster

    return Cluster(means)


ENGINES: dict[str, Callable[[Means], Engine]] = {"local": _on_this_machine, "ray": _on_ray}


class Trained(NamedTuple):
    """What became of a training: its run's folder, how it ended, what there is to say, and what was not measured."""

    path: str
    state: str  # one of labapp.training.sweeps.STATES
    words: str = ""
    faults: tuple[str, ...] = ()


def train_one(
    experiment: Experiment, root: str, tag: str, retry: bool, wishes: Sequence[ProbeWish], tell: Tell
) -> Trained:
    """Train an experiment, go on with it, or find that it is there by now; then measure it, if it finished.

    Args:
        experiment: Of the sweep.
        root: The archive.
        tag: That its run gets.
        retry: Whether what failed or diverged is tried again.
        wishes: What is to be measured.
        tell: Told how far it is.
    """
    there = standings([experiment], opened(root))[0]
    again = retry and there.state in ("failed", "diverged")
    words, whole = "", 1 + MEASURING * bool(wishes)

    def hear(share: float, said: str) -> None:
        nonlocal words
        words = said
        tell(share / whole, said)

    run = there.run
    if run is None or again or there.state == "interrupted":  # else another sweep was quicker
        try:
            run = _train(there, root, tag, hear)
        except LabError as error:
            now = standings([experiment], opened(root))[0]
            if now.run is None or now.state not in ("running", "finished"):
                return Trained("", "failed", str(error))
            run = now.run  # another sweep was quicker by a moment
    state = standings([experiment], opened(root))[0].state
    if state != "finished":
        return Trained(str(run.path), state, run.message)
    faults = measure_one(str(run.path), wishes, lambda share, said: tell((1 + MEASURING * share) / whole, said))
    return Trained(str(run.path), state, words, tuple(faults))


def _train(there: Standing, root: str, tag: str, tell: Tell) -> Run:
    from labapp.commands.cheap import measure_cheaply
    from labapp.commands.progress import percent
    from labapp.training.logbook import Moment
    from labapp.training.loop import resume, train

    name = there.next_id
    goes_on = there.run is not None and not why_not_resumed(there.run)
    if goes_on and there.run is not None:
        name = there.run.id
    tagged = False

    def progress(moment: Moment) -> None:
        nonlocal tagged
        if not tagged:
            tagged = True
            tag_run(root, name, tag)
        tell(moment.step / moment.steps, f"step {moment.step} of {moment.steps}, test {percent(moment.test_accuracy)}")

    if goes_on and there.run is not None:
        try:
            run = resume(there.run, progress=progress)
        except LabError:  # none of its states can be read
            run = resume(there.run, progress=progress, from_start=True)
    else:
        run = train(there.experiment, root, progress=progress, run_id=name)
    tag_run(root, run.id, tag)
    measure_cheaply(run)
    return run


def tag_run(root: str | Path, run_id: str, tag: str) -> str:
    """Have a run say of which sweep it is; why not, where it cannot."""
    try:
        label_run(root, run_id, add=[tag])
    except LabError as error:  # it has fifty tags, say
        return str(error)
    return ""


def measure_one(path: str, wishes: Sequence[ProbeWish], tell: Tell) -> list[str]:
    """Measure on a run what is wished for and not there yet; one sentence for each table that cannot be made."""
    from labapp.probes import measure

    run = Run(path)
    said: list[str] = []
    wishes = [wish for wish in wishes if not why_not(wish.quantity, run.experiment)]
    for number, wish in enumerate(wishes):
        try:
            todo, _ = measure.tasks(run, [wish.quantity], wish.checkpoints)
            todo = measure.missing(run, todo)
            for done, outcome in enumerate(measure.measure(run, todo, images=wish.images), start=1):
                tell((number + done / len(todo)) / len(wishes), f"{wish.quantity} at step {outcome.task.step}")
                if outcome.reason:
                    said.append(f"{wish.quantity} at step {outcome.task.step}: {outcome.reason}")
        except LabError as error:
            said.append(f"{wish.quantity}: {error}")
    return said


def compare_two(path: str, other: str, wish: ProbeWish, tell: Tell) -> list[str]:
    """Compare the layers of a run with those of another one at its last checkpoint."""
    from labapp.probes import measure

    try:
        outcomes = list(
            measure.against(
                Run(path),
                Run(other),
                checkpoints=wish.checkpoints or "last",
                images=wish.images,
                tell=lambda share: tell(share, f"beside {Path(other).name}"),
            )
        )
    except LabError as error:
        return [f"{wish.quantity} with {Path(other).name}: {error}"]
    return [f"{wish.quantity} with {Path(other).name}: {each.reason}" for each in outcomes if each.reason]
