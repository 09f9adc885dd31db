"""Which numbers of a run were worked out once and need not be again?

A list shows the accuracy of ten thousand runs, and reading each one's tables takes minutes. What was read once stands
in `.numbers.parquet` at the archive's root, each run's beside the inode, time and size of its run.json: once that
changes, so may the numbers. A cache, as the index is one: it may be deleted.
"""

import contextlib
import hashlib
import json
import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import labapp
from labapp.config import LabError, is_read_only, place
from labapp.store.entries import Entry, Seen
from labapp.store.parquet import UNREADABLE, require_bounded, verify, write_table

FILE = ".numbers.parquet"
LARGEST = 2**30  # bytes of it
NUMBERS = (  # of a run's summary that lists show; see `frames.SUMMARY`
    *("accuracy", "best_accuracy", "loss", "slope_start", "slope_end", "ratio_start", "ratio_end"),
    *("recorder_cost", "cpu_cost"),
)


class KeptNumbers:
    """The numbers of an archive's runs, by column; for several threads.

    Args:
        root: The archive.
        columns: Their names.
    """

    def __init__(self, root: Path, columns: Sequence[str]) -> None:
        self.root, self.columns = place(root), tuple(columns)
        self._lock = threading.Lock()
        made_by = json.dumps([labapp.__version__, *self.columns])
        self._made_by = hashlib.sha256(made_by.encode()).hexdigest().encode()
        self._known: dict[str, tuple[Seen, tuple[float, ...]]] = {}
        with contextlib.suppress(*UNREADABLE, ValueError, TypeError):
            self._known = self._load()
        self.changed = 0  # how often something was added; a key for what is made of the numbers

    def of(self, entry: Entry) -> Mapping[str, float] | None:
        """What is known of a run; of one that was written since, what it was when it was looked at last."""
        kept = self._known.get(entry.id)
        return None if kept is None else dict(zip(self.columns, kept[1], strict=True))

    def number(self, entry: Entry, column: str) -> float:
        """One number of a run, NaN where it is not known."""
        kept = self._known.get(entry.id)
        return math.nan if kept is None or column not in self.columns else kept[1][self.columns.index(column)]

    def is_current(self, entry: Entry) -> bool:
        """Whether the run is as it was when its numbers were worked out."""
        kept = self._known.get(entry.id)
        return kept is not None and kept[0] == entry.seen

    def keep(self, entry: Entry, numbers: Mapping[str, float]) -> None:
        """Add the numbers of a run; a column that is left out is NaN."""
        with self._lock:
            self._known[entry.id] = entry.seen, tuple(float(numbers.get(name, math.nan)) for name in self.columns)
            self.changed += 1

    def save(self, there: Mapping[str, Entry]) -> None:
        """Write what is known of the runs that are there; where nothing may be written, nothing is."""
        if is_read_only():
            return
        with self._lock:
            known = {name: kept for name, kept in self._known.items() if name in there}
        with contextlib.suppress(*UNREADABLE, LabError, ValueError):
            write_table(self._table(known), self.root / FILE)

    def _table(self, known: Mapping[str, tuple[Seen, tuple[float, ...]]]) -> pa.Table:
        seen = list(zip(*(kept[0] for kept in known.values()), strict=True)) or [(), (), ()]
        numbers = list(zip(*(kept[1] for kept in known.values()), strict=True)) or [()] * len(self.columns)
        columns = [pa.array(list(known), pa.string())]
        columns += [pa.array(part, pa.int64()) for part in seen]
        columns += [pa.array(part, pa.float64()) for part in numbers]
        return pa.table(dict(zip(self._names, columns, strict=True)), metadata={b"made_by": self._made_by})

    @property
    def _names(self) -> list[str]:
        return ["id", "inode", "time", "size", *self.columns]

    def _load(self) -> dict[str, tuple[Seen, tuple[float, ...]]]:
        path = self.root / FILE
        if not 0 < path.stat().st_size <= LARGEST:
            return {}
        verify(path)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if (file.schema_arrow.metadata or {}).get(b"made_by") != self._made_by:
                return {}
            require_bounded(file.metadata)
            table = file.read()
        if table.schema.remove_metadata() != self._table({}).schema.remove_metadata():
            return {}
        rows = zip(*(table.column(name).to_pylist() for name in self._names), strict=True)
        return {row[0]: ((row[1], row[2], row[3]), tuple(map(float, row[4:]))) for row in rows}
