"""Where do the rows of recorded steps go: to a sink, or to memory where there is none or it failed?"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

from labapp.config import LabError
from labapp.recording.divergence import Divergence
from labapp.recording.guard import Guard
from labapp.recording.joined import Exchange
from labapp.recording.passes import RESET
from labapp.recording.schema import Due
from labapp.recording.step import Step
from labapp.recording.sums import Sums
from labapp.recording.tables import Lifetimes, histogram_table, layer_table, spread_table, totals_table


class Sink(Protocol):
    """Where rows go: `labapp.store.RunWriter`, or anything with these two methods."""

    def describe(self, layers: list[dict[str, Any]], recorder: dict[str, Any]) -> None:
        """Takes what is known about the places, and how the recorder does."""

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Appends rows to a table."""


class Outlet:
    """Makes tables of sums and hands them on. A sink that fails loses nothing: its rows are kept in memory.

    Attributes:
        exchange: with the other processes of a distributed run; None where there are none.
        alone: steps of which there is only this process's part.
    """

    def __init__(self, sink: Sink | None, exchange: Exchange | None) -> None:
        self.sink, self.exchange = sink, exchange
        self.alone: list[int] = []
        self.waiting: list[Sums] = []
        self._kept: dict[str, list[pd.DataFrame]] = {}
        self.lifetimes = Lifetimes()
        self.divergence = Divergence()
        self._error: Exception | None = None

    @property
    def writes(self) -> bool:
        """Whether the rows come to this process; of several, to the first one."""
        return self.exchange is None or self.exchange.rank == 0

    def flush(self, step: Step, due: Sequence[Due], alone: bool, guard: Guard) -> bool:
        """Hands on what waits; whether there was anything, and this process is the one to write.

        What fails before an exchange costs its step, and the others are told: they wait for this process.
        """
        waiting, self.waiting = self.waiting, []
        landed = []
        with guard([]):
            step.launches.buffers.land()
        for sums in waiting:
            with guard([sums.step]):
                sums.land()
                if not sums.failed or any(sums.ill.values()):
                    landed.append(sums)
                if sums.reset:
                    guard.note(RESET)
        rows, shown = step.listener.rows, list(step.listener.shown)
        waiting, every = [sums for sums in landed if not sums.failed], landed
        if self.exchange is not None:
            if alone or not self.exchange.open:
                self._part_alone(waiting)
            else:
                every = waiting = self.exchange.joined(waiting, due, rows := list(rows), shown, guard, step.raised)
        if not every:
            return False
        for name, columns in {
            "layers": layer_table(waiting, rows, shown),
            "totals": totals_table(waiting),
            "lifetimes": self.lifetimes.table(waiting, rows, shown),
            "histograms": histogram_table(waiting, rows, shown),
            "spreads": spread_table(waiting, rows, shown),
            "divergence": self.divergence.table(every, rows, shown, step.listener.usual),
        }.items():
            if columns and len(columns["step"]):
                self._hand_over(name, columns)
        return True

    def describe(self, layers: list[dict[str, Any]], recorder: dict[str, Any]) -> None:
        """Tells the sink about the places, and how the recorder does."""
        if self.sink is not None and self._error is None:
            try:
                self.sink.describe(layers, recorder)
            except Exception as error:
                self._error = error

    def table(self, name: str) -> pd.DataFrame:
        """The rows kept in memory.

        Raises:
            LabError: if the rows went to a sink.
        """
        if self.sink is not None and self._error is None:
            raise LabError("the rows went to the sink; read them there, with labapp.store.Run(path).layers()")
        parts = self._kept.get(name)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def complaints(self) -> list[str]:
        """What went wrong on the way, in sentences."""
        found = []
        if self._error is not None:
            found.append(
                f"the recorder's sink failed ({self._error}); training went on, "
                "and the rows it did not take are in recorder.table()"
            )
        if self.alone:
            found.append("this process ended by itself, so its last steps hold its own part of the batch alone")
        return found

    def _part_alone(self, waiting: Sequence[Sums]) -> None:
        self.alone += [sums.step for sums in waiting]
        for sums in waiting:
            if sums.change is not None and sums.change.shares is not None:
                sums.change = None  # of shards

    def _hand_over(self, name: str, columns: dict[str, Any]) -> None:
        if self.sink is not None and self._error is None:
            try:
                self.sink.write(name, columns)
                return
            except Exception as error:  # the sink's fault must not end the user's training
                self._error = error
        self._kept.setdefault(name, []).append(pd.DataFrame(columns))
