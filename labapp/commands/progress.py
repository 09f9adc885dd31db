"""How far is the training? A bar on a terminal, a line now and then in a log.

with TrainingProgress([experiment]) as display:
    train(experiment, root, progress=display.next())
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from labapp import palette
from labapp.config import Experiment

if TYPE_CHECKING:
    from labapp.commands.workers import Work
    from labapp.training.logbook import Moment

LOG_SECONDS = 5.0  # between two lines where no one sees a bar
WIDE = 160  # columns, where nobody can say how many there are


class Screen(Console):
    """A console on which words are text: no markup, no emoji by name, and nothing that steers the terminal."""

    def render_str(self, text: str, **about: Any) -> Text:
        """As rich does, line by line."""
        lines = [palette.visible(line) for line in text.split("\n")]
        return super().render_str("\n".join(lines), **about | {"markup": False, "emoji": False})


def console(*, stderr: bool = False) -> Console:
    """A console that does not break lines in a pipe or a file as if it were a narrow terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDE
    return Screen(width=width, highlight=False, markup=False, emoji=False, stderr=stderr)


class Words(TextColumn):
    """A column of a bar that shows a field of its task as text."""

    def render(self, task: Task) -> Text:
        """As rich does, without its markup."""
        return Text(palette.visible(self.text_format.format(task=task)), justify=self.justify)


def percent(share: float) -> str:
    """A share in per cent with one decimal, "95.6 %"."""
    return "–" if math.isnan(share) else f"{100 * share:.1f} %"


def figures(number: float) -> str:
    """Three significant digits, "1.23e+04"; a dash for what was not measured."""
    return "–" if math.isnan(number) else f"{number:.3g}"


def told(moment: Moment) -> str:
    """Loss, accuracy and gradient ratio in words."""
    return (
        f"loss {figures(moment.loss)}, accuracy {percent(moment.accuracy)}, test {percent(moment.test_accuracy)}, "
        f"gradient first/last {figures(moment.ratio)}"
    )


class TrainingProgress:
    """Shows how far a training is and, when there are several, how far all of them together are.

    Args:
        experiments: What will be trained, in this order.
    """

    def __init__(self, experiments: Sequence[Experiment]) -> None:
        self.names = [experiment.name for experiment in experiments]
        self.steps = [experiment.steps for experiment in experiments]
        self.at = -1
        self._bars: Progress | None = None
        self._tasks: list[TaskID] = []
        self._said = -math.inf

    def next(self) -> Callable[[Moment], None]:
        """The function to call after every step of the next training."""
        self.at += 1
        self._said = -math.inf
        return self.show

    def show(self, moment: Moment) -> None:
        """Show where the present training stands."""
        if console().is_terminal:
            self._draw(moment)
        elif moment.final or time.monotonic() - self._said > LOG_SECONDS:
            self._said = time.monotonic()
            which = f"[{self.at + 1}/{len(self.names)}] " if len(self.names) > 1 else ""
            step = f"step {moment.step}/{moment.steps}"
            console().print(f"{which}{self.names[self.at]}: {step}, {told(moment)}")

    def _draw(self, moment: Moment) -> None:
        if self._bars is None:
            columns = (Words("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bars = Progress(*columns, Words("{task.fields[told]}"), console=console())
            self._tasks = [self._bars.add_task("all", total=sum(self.steps), told="")] if len(self.names) > 1 else []
            self._bars.start()
        while len(self._tasks) < self.at + 1 + (len(self.names) > 1):
            self._tasks.append(self._bars.add_task(self.names[self.at], total=moment.steps, told=""))
        self._bars.update(self._tasks[-1], completed=moment.step, told=told(moment))
        if len(self.names) > 1:
            self._bars.update(self._tasks[0], completed=sum(self.steps[: self.at]) + moment.step)
        elif moment.final:
            self._bars.stop()  # here, because in another process nobody leaves the block

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_bars": None, "_tasks": []}  # bars are drawn by a thread, which does not travel


class SeriesProgress:
    """Shows how far several works are that go on at the same time, and how long it will take.

    On a terminal a bar for all and one for each that runs; in a log a line now and then, `[3/12] 41 %, 80 s left: …`.
    """

    def __init__(self, screen: Console | None = None) -> None:
        self.failed = 0
        self._screen = screen or console()
        self._known: dict[Work, tuple[str, float]] = {}  # what it is called, and what it costs
        self._later: list[float] = []  # what works cost that are still to come
        self._over: set[Work] = set()
        self._began = self._said = time.monotonic()
        self._bars: Progress | None = None
        self._tasks: dict[Work | None, TaskID] = {}

    @property
    def done(self) -> int:
        """How many works have ended."""
        return len(self._over)

    def expect(self, work: Work, name: str, cost: float, after: float | None = None) -> None:
        """Announce a work, what it costs, in any unit, and what another costs that begins when it has ended."""
        self._known[work] = (name, cost)
        if cost in self._later:
            self._later.remove(cost)
        if after is not None:
            self._later.append(after)

    def forget(self, cost: float) -> None:
        """Say that a work which was to come does not."""
        self._later.remove(cost)

    def end(self, work: Work) -> None:
        """Say that a work has ended."""
        self._over.add(work)
        self.failed += bool(work.fault)
        name = self._known[work][0]
        self._print(work, f"{name} failed: {work.fault}" if work.fault else f"{name}: done, {work.words}".rstrip(", "))

    def _print(self, work: Work, line: str) -> None:
        """Print a line about a work that has no bar any more."""
        if self._bars is not None and (bar := self._tasks.pop(work, None)) is not None:
            self._bars.remove_task(bar)
        (self._bars.console if self._bars else self._screen).print(f"[{self.done}/{self.total}] {line}")

    def again(self, work: Work, other: Work) -> None:
        """Say that a work was lost, and that another takes its place."""
        self._known[other] = self._known.pop(work)
        self._print(work, f"{self._known[other][0]}: {work.fault}; begun once more")

    def show(self, running: Sequence[Work]) -> None:
        """Show where those that run stand."""
        if self._screen.is_terminal:
            self._draw(running)
        elif time.monotonic() - self._said > LOG_SECONDS:
            self._said = time.monotonic()
            now = "; ".join(f"{self._known[work][0]}, {work.words or 'begins'}" for work in running)
            self._screen.print(f"[{self.done}/{self.total}] {self._so_far()}: {now}")

    @property
    def total(self) -> int:
        """How many works there are, those included that are still to come."""
        return len(self._known) + len(self._later)

    @property
    def share(self) -> float:
        """The share of the cost that is done."""
        parts = [(1.0 if work in self._over else work.share, cost) for work, (_, cost) in self._known.items()]
        return sum(share * cost for share, cost in parts) / (sum(cost for _, cost in parts) + sum(self._later) or 1.0)

    def _so_far(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{100 * self.share:.0f} %{self._left()}{failed}"

    def _left(self) -> str:
        share, spent = self.share, time.monotonic() - self._began
        return f", {spent * (1 - share) / share:.0f} s left" if share > 0.03 else ""

    def _draw(self, running: Sequence[Work]) -> None:
        if self._bars is None:
            self._bars = Progress(
                Words("{task.description}"), BarColumn(), Words("{task.fields[told]}"), console=self._screen
            )
            self._tasks[None] = self._bars.add_task("all", total=1.0, told="")
            self._bars.start()
        self._bars.update(
            self._tasks[None], completed=self.share, told=f"{self.done} of {self.total}, {self._so_far()}"
        )
        for work in running:
            if work not in self._tasks:
                self._tasks[work] = self._bars.add_task(self._known[work][0], total=1.0, told="")
            self._bars.update(self._tasks[work], completed=work.share, told=work.words)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
