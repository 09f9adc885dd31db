"""How do flushed rows become parts of a run's tables?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from labapp.config import LabError, first_line
from labapp.store.checkpoints import FOLDER, KEPT
from labapp.store.files import sentences, sync_folder
from labapp.store.parquet import UNREADABLE, write_table
from labapp.store.parts import FRESH, part_name
from labapp.store.publishing import GATHER, SHARE, gather, publish
from labapp.store.schema import NOTHING, TABLES, Chunk, as_table
from labapp.store.superseding import set_files_aside, set_rows_aside
from labapp.store.table import Table


class StoreWarning(UserWarning):
    """Something on the way to the disk failed; training goes on."""


class Appender:
    """Writes the parts of one attempt. What fails while parts are arranged costs nothing: they stay as they are.

    Args:
        path: The run's folder.
        attempt: Its number.
        note: Takes a sentence about a fault.
        parts: The last part of each table, as run.json says.

    Attributes:
        last: table -> attempt and number of the last part written.
    """

    def __init__(
        self, path: Path, attempt: int, note: Callable[[str], None], parts: dict[str, tuple[int, int]]
    ) -> None:
        self.path, self.attempt, self._note = path, attempt, note
        self.last = dict(parts)
        self._begins: dict[str, float] = {}  # table -> the step from which on its rows are this attempt's
        self._rows: dict[str, tuple[int, int]] = {}  # table -> how many are published, and how many wait

    def take_up(self, tables: Sequence[str], from_step: int | None) -> None:
        """Sets aside what this attempt will write anew, and publishes what earlier ones had no time to.

        Raises:
            LabError: If that is not possible.
        """
        if from_step is not None:
            for name in (FOLDER, KEPT, "probes"):  # first: what is left to begin from then fits every table
                with sentences(self.path / name):
                    set_files_aside(self.path / name, from_step, self.attempt)
        for name in tables:
            if from_step is not None:  # an evaluation speaks of the steps before: that of `from_step` may stay
                self.begin_at(name, from_step + (name == "evals"))
            self.publish(name)

    def begin_at(self, name: str, step: float) -> None:
        """Sets the rows of earlier attempts aside from a step on.

        Raises:
            LabError: If that is not possible.
        """
        if self.attempt > 1 and step < self._begins.get(name, math.inf):
            with sentences(self.path / name):
                set_rows_aside(self._table(name), int(step), self.attempt)
            self._begins[name] = step

    def append(self, name: str, chunks: list[Chunk]) -> None:
        """Writes rows as the next part of a table; its name is new, so no other writer's part is replaced."""
        folder = self.path / name
        attempt, before = self.last.get(name, (self.attempt, -1))
        number = before + 1 if attempt == self.attempt else 0
        table = as_table(chunks, TABLES.get(name, NOTHING))
        if "step" in table.column_names:
            import pyarrow.compute as pc

            self.begin_at(name, pc.min(table["step"]).as_py() or 0)
        published, waiting = self._rows.get(name, (0, 0))
        at_once = not waiting and SHARE * len(table) > published
        with sentences(folder):
            self._make(folder)
            if not at_once:
                self._make(folder / FRESH)
            write_table(table, (folder if at_once else folder / FRESH) / part_name(self.attempt, number), new=True)
        self.last[name] = self.attempt, number
        waiting += len(table)
        self._rows[name] = (published + waiting, 0) if at_once else (published, waiting)

    def arrange(self, name: str, sending: bool = False) -> None:
        """Publishes what waits of a table when it is an eighth of it, and keeps the number of its files small."""
        published, waiting = self._rows[name]
        if SHARE * waiting > published:
            self.publish(name)
        elif waiting and (sending or (self.last[name][1] + 1) % GATHER == 0):
            self._arranged(name, lambda table: gather(table, self.attempt))

    def publish(self, name: str) -> list[str]:
        """Publishes all that waits of a table; a sentence about each part of it that is missing or damaged."""
        self._rows[name] = sum(self._rows.get(name, (0, 0))), 0
        return self._arranged(name, publish)

    def finish(self, tables: Iterable[str]) -> list[str]:
        """Publishes all rows and reads every table once; a sentence about each part that is missing or damaged."""
        for name in tables:
            self.publish(name)
        whole = sorted({*tables, *self.last})
        return [problem for name in whole for problem in self._arranged(name, lambda table: table.look(whole=True))]

    def _make(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir()
            sync_folder(folder.parent)

    def _table(self, name: str) -> Table:
        return Table(self.path / name, TABLES.get(name, NOTHING), self.last.get(name))

    def _arranged(self, name: str, work: Callable[[Table], None]) -> list[str]:
        table = self._table(name)
        try:
            work(table)
        except (LabError, *UNREADABLE) as error:
            self._note(f"table '{name}' was left in parts: {first_line(error)}")
            table.look(whole=True)
        for problem in table.problems.values():
            self._note(problem)
        return list(table.problems.values())
