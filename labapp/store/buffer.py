"""Which rows wait in memory until they are written to disk?"""

import threading
from collections.abc import Mapping
from typing import Any

from labapp.config import LabError
from labapp.store.record import NAME
from labapp.store.schema import NOTHING, TABLES, Chunk, chunk, known_columns


class Buffer:
    """Rows of several tables, checked and copied. Any thread may add to it or empty it.

    Attributes:
        rows: How many wait, over all tables.
        done: Training steps done, as far as the rows tell.
    """

    def __init__(self, done: int = 0) -> None:
        self.rows = 0
        self.done = done
        self._waiting: dict[str, list[Chunk]] = {}
        self._kinds: dict[str, dict[str, bool]] = {}  # table: column: whether it holds words
        self._lock = threading.Lock()  # held for microseconds

    def add(self, table: str, columns: Mapping[str, Any]) -> None:
        """Check rows of a table and keep a copy of them."""
        rows = chunk(table, columns)
        self._check(table, rows)
        if rows.rows:
            with self._lock:
                self._waiting.setdefault(table, []).append(rows)
                self.rows += rows.rows
                if "step" in rows.columns:
                    last = int(rows.columns["step"][-1])
                    told = known_columns(table) is not NOTHING and table != "evals"  # others are of whoever wrote them
                    self.done = max(self.done, last + told)

    def take(self) -> dict[str, list[Chunk]]:
        """Remove and return all rows, by table."""
        with self._lock:
            taken, self._waiting, self.rows = self._waiting, {}, 0
        return taken

    def put_back(self, taken: Mapping[str, list[Chunk]]) -> None:
        """Put rows that could not be written back in front of those added since."""
        with self._lock:
            for table, chunks in taken.items():
                self._waiting[table] = chunks + self._waiting.get(table, [])
                self.rows += sum(rows.rows for rows in chunks)

    def _check(self, table: str, rows: Chunk) -> None:
        if table not in self._kinds:
            if not NAME.fullmatch(table) or table in ("probes", "checkpoints"):
                raise LabError(f"'{table}' cannot name a table; layers, steps, evals or a word of your own can")
            self._kinds[table] = {field.name: field.type == "string" for field in TABLES.get(table, NOTHING)}
        kinds = self._kinds[table]
        for name, values in rows.columns.items():
            words = type(values) is list
            if kinds.setdefault(name, words) is not words and rows.rows:
                holds = "words" if kinds[name] else "numbers"
                raise LabError(f"column '{name}' of table '{table}' holds {holds}, so '{values[0]}' does not fit")
        if kinds.get("step"):
            raise LabError(f"column 'step' of table '{table}' counts training steps, so it cannot hold words")
