"""How is a run probed from the command line?

    labapp probe RUN                                      # everything that applies to its net
    labapp probe RUN lesions --checkpoints last
    labapp probe --list                                   # what there is to measure, of other packages too
    labapp probe RUN --against OTHER                      # which layers of two runs resemble each other?

On a terminal a bar shows how far it is; in a log each table is a line.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table
from tyro.conf import Positional, arg

from labapp.commands.options import Root, Trust
from labapp.commands.progress import Words, console
from labapp.config import LabError, permissions, require_trust
from labapp.probes.catalogue import CATALOGUE, WHEN, chosen, every, others, spec_of
from labapp.store import Run, find_run

if TYPE_CHECKING:
    from labapp.probes.measure import Outcome, Task

RunsOption = Annotated[
    tuple[str, ...],
    arg(help_behavior_hint="", metavar="RUN", help="runs by id, folder or name; quantities may stand behind the first"),
]
QuantitiesOption = Annotated[
    tuple[str, ...],
    arg(
        help_behavior_hint="",
        metavar="NAME",
        help=f"{', '.join(CATALOGUE)} and those of --list (default: all that apply to the net)",
    ),
]
CheckpointsOption = Annotated[
    tuple[str, ...],
    arg(
        help_behavior_hint="",
        metavar="STEP",
        help="all, few, ends, last, or steps (default: as each quantity needs, the costly ones at few)",
    ),
]
ImagesOption = Annotated[
    int | None,
    arg(help_behavior_hint="", metavar="N", help="test images at most (default: 512, fewer where that is enough)"),
]
AgainstOption = Annotated[
    str | None,
    arg(
        help_behavior_hint="",
        metavar="RUN",
        help="compare layers with those of this run instead; the run itself is allowed",
    ),
]
AgainstStepOption = Annotated[
    int | None, arg(help_behavior_hint="", metavar="STEP", help="the checkpoint of the other run (default: its last)")
]


CheapOption = Annotated[bool, arg(help="only what asks for weights alone and is not there yet, at every checkpoint")]
MissingOption = Annotated[bool, arg(help="only what is not there yet")]
ListOption = Annotated[
    bool, arg(name="list", help="say what there is to measure, also by packages that are installed beside the lab")
]


def probe(
    runs: Positional[RunsOption] = (),
    quantities: QuantitiesOption = (),
    checkpoints: CheckpointsOption = (),
    images: ImagesOption = None,
    against: AgainstOption = None,
    against_checkpoint: AgainstStepOption = None,
    cheap: CheapOption = False,
    missing: MissingOption = False,
    list_: ListOption = False,
    trust: Trust = (),
    root: Root = "runs",
) -> int:
    """Measure what a run's checkpoints know: feature reuse, similarity, dimension, lesions, paths, architecture.

    Tables go to the run's folder probes/; those that are there are made anew, unless --missing says otherwise.
    """
    if list_:
        return _list()
    if not runs:
        raise LabError("which run? `labapp runs list` shows them, `labapp probe RUN` measures one")
    runs, quantities = _told_apart(runs, quantities, root)
    if against_checkpoint is not None and against is None:
        raise LabError("--against-checkpoint belongs to another run; name it with --against RUN")
    if against is not None and set(quantities) - {"similarity"}:
        raise LabError("only similarity compares two runs; leave --quantities out beside --against")
    if cheap and (against is not None or checkpoints):
        raise LabError("--cheap takes every checkpoint of a run alone; leave --checkpoints and --against out")
    permissions.trust(trust)
    chosen(quantities)
    wanted = _checkpoints(checkpoints)
    found = [find_run(word, root) for word in runs]
    other = None if against is None else find_run(against, root)
    for run in (*found, *([other] if other else [])):
        require_trust(run.experiment.net, f"run '{run.id}'")
    console().print("loading torch …")
    # threads that wait asleep: beside a training, threads that wait awake made a probe take up to twenty times as long
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from labapp.probes import measure

    measured = False
    for run in found:
        with ProbeProgress(run) as display:
            if other is not None:
                display.expect(len(measure.steps_of(run, wanted or "last")))
                outcomes = measure.against(
                    run,
                    other,
                    checkpoints=wanted or "last",
                    other_checkpoint=against_checkpoint,
                    images=images,
                    begin=display.begin,
                    tell=display.tell,
                )
            else:
                todo, reasons = measure.tasks(run, quantities, wanted)
                if cheap:
                    todo, reasons = measure.cheap_tasks(run, quantities), []
                elif missing:
                    todo = measure.missing(run, todo)
                display.expect(len(todo))
                for reason in reasons:
                    display.say(reason)
                outcomes = measure.measure(run, todo, images=images, begin=display.begin, tell=display.tell)
            for outcome in outcomes:
                display.end(outcome)
            measured = display.close() or measured or ((cheap or missing) and not display.total)
    return 0 if measured else 2


def _told_apart(words: Sequence[str], quantities: Sequence[str], root: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Runs and quantities, of words of which the first is a run: `labapp probe RUN lesions`."""
    runs, named = list(words[:1]), list(quantities)
    for word in words[1:]:
        is_one = word in CATALOGUE or word in others().offered
        (named if is_one and not _is_run(word, root) else runs).append(word)
    return tuple(runs), tuple(named)


def _is_run(word: str, root: str) -> bool:
    try:
        return bool(find_run(word, root))
    except LabError:
        return False


def _list() -> int:
    """Print what there is to measure, and what is wrong with packages that offer more."""
    screen = console()
    table = Table("quantity", "question", "measured at", "images", "of")
    for name, spec in every().items():
        images = str(spec.images) if spec.images else ""
        table.add_row(name, spec.question, WHEN[spec.when], images, spec.package or "labapp")
    screen.print(table)
    for problem in others().problems:
        screen.print(problem)
    return 0


def _checkpoints(words: Sequence[str]) -> str | list[int]:
    if not words:
        return ""
    if len(words) == 1 and words[0] in WHEN and words[0] != "plan":
        return words[0]
    for word in words:
        if not word.isdecimal():
            raise LabError(f"--checkpoints takes all, few, ends, last or steps, not '{word}'")
    return [int(word) for word in words]


class ProbeProgress:
    """Shows how far the probing of one run is: a bar on a terminal, a line for each table in a log."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.done = self.tables = self.total = 0
        self.began = time.monotonic()
        self.screen = console()
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), Words("{task.description}"))
        self.bar = Progress(*columns, console=self.screen, disable=not self.screen.is_terminal)
        self.task = self.bar.add_task("", total=None)

    def expect(self, total: int) -> None:
        """Say how many tables are to be made."""
        self.total = total
        self.bar.update(self.task, total=total)

    def begin(self, task: Task) -> None:
        """Name the table that is being made."""
        self.bar.update(self.task, description=self._called(task))

    def tell(self, share: float) -> None:
        """Say which share of the present table is done."""
        self.bar.update(self.task, completed=self.done + min(share, 1.0))

    def end(self, outcome: Outcome) -> None:
        """Say that a table was made, or why it was not."""
        self.done += 1
        self.tables += not outcome.reason
        self.bar.update(self.task, completed=self.done)
        result = outcome.reason or f"{outcome.rows} rows, {outcome.seconds:.1f} s"
        if outcome.reason or not self.screen.is_terminal:
            self.say(f"[{self.done}/{self.total}] {self._called(outcome.task)}: {result}")
        for remark in outcome.remarks:
            self.say(f"{self._called(outcome.task)}: {remark}")

    def say(self, sentence: str) -> None:
        """Print a line that stays above the bar."""
        self.bar.console.print(sentence)

    def close(self) -> bool:
        """Print the last line; returns whether any table was made."""
        self.bar.stop()
        seconds = time.monotonic() - self.began
        self.say(f"probed {self.run.id}: {self.tables} tables in {seconds:.0f} s, in {self.run.path / 'probes'}")
        return self.tables > 0

    def _called(self, task: Task) -> str:
        if spec_of(task.quantity).when == "plan":
            return task.name
        return f"{task.name} at step {task.step}"

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
