"""How do flushed rows become parts of a run's tables, and small parts large ones?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from labapp.config import LabError, first_line
from labapp.store.compaction import MERGE, compact, merge
from labapp.store.files import sentences, sync_folder
from labapp.store.parquet import UNREADABLE, write_table
from labapp.store.parts import part_name
from labapp.store.schema import NOTHING, TABLES, Chunk, as_table
from labapp.store.table import Table


class StoreWarning(UserWarning):
    """Something on the way to the disk failed; training goes on."""


class Appender:
    """Writes the parts of one attempt. What fails while parts are arranged costs nothing: they stay as they are.

    Attributes:
        last: table -> attempt and number of the last part written.
    """

    def __init__(self, path: Path, attempt: int, note: Callable[[str], None]) -> None:
        self.path, self.attempt, self._note = path, attempt, note
        self.last: dict[str, tuple[int, int]] = {}

    def append(self, name: str, chunks: list[Chunk]) -> None:
        """Writes rows as the next part of a table; its name is new, so no other writer's part is replaced."""
        folder = self.path / name
        number = self.last[name][1] + 1 if name in self.last else 0
        with sentences(folder):
            if not folder.is_dir():
                folder.mkdir()
                sync_folder(self.path)
            table = as_table(chunks, TABLES.get(name, NOTHING))
            write_table(table, folder / part_name(self.attempt, number), new=True)
        self.last[name] = self.attempt, number

    def merge_if_many(self, name: str) -> None:
        """Makes one file of the attempt's single parts, now and then."""
        if (self.last[name][1] + 1) % MERGE == 0:
            self._arranged(name, lambda table: merge(table, self.attempt))

    def compact(self, name: str) -> list[str]:
        """Makes one file of a whole table; a sentence about each part of it that is missing or damaged."""
        return self._arranged(name, compact)

    def _arranged(self, name: str, work: Callable[[Table], None]) -> list[str]:
        table = Table(self.path / name, TABLES.get(name, NOTHING), self.last.get(name))
        try:
            work(table)
        except (LabError, *UNREADABLE) as error:
            self._note(f"table '{name}' was left in parts: {first_line(error)}")
            table.look(whole=True)
        for problem in table.problems.values():
            self._note(problem)
        return list(table.problems.values())
