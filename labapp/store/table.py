"""What do the parts in a folder say, read as one table while it may be growing?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from labapp.config import LabError, first_line, listed, nearest
from labapp.store import parquet
from labapp.store.filters import RowFilter, both, where_condition
from labapp.store.parts import Part, part_name, parts

if TYPE_CHECKING:
    import pyarrow.dataset as ds

AGAIN = 100  # times a reader looks anew before it says that a table changes faster than it can be read
_DAMAGED: dict[tuple[str, int], str] = {}  # (file, time of its last change): what reading it said, for every reader


class Piece(NamedTuple):
    """A readable part, and the step from which on a later attempt's rows replace its own (None: no step)."""

    part: Part
    fragment: ds.ParquetFileFragment
    until: int | None
    seen: tuple[int, int]  # which file it was, and the time of its last change

    @property
    def kept(self) -> ds.Expression | None:
        """A filter on the rows that no later attempt replaced; None when all of them count."""
        import pyarrow.compute as pc

        return None if self.until is None else pc.field("step") < self.until


class Table:
    """A folder of parts, read as one table. `problems` holds a sentence for each file that is missing or damaged.

    `last` are attempt and number of the part written last, as far as anybody knows: one that is gone is missed.
    """

    def __init__(self, folder: Path, known: pa.Schema, last: tuple[int, int] | None = None) -> None:
        self.folder = folder
        self.known = known
        self.last = last
        self.problems: dict[str, str] = {}

    def read(
        self, columns: Sequence[str] | None = None, where: RowFilter = None, also: ds.Expression | None = None
    ) -> pa.Table:
        """The rows of all attempts in the order written, and of each file only the columns asked for.

        Args:
            columns: Their names; all by default.
            where: [(column, operator, value), …] which all hold, a list of such lists of which one holds, or
                {column: value or values}.
            also: A filter that must hold as well.
        """
        for _ in range(AGAIN):
            try:
                return self._read_now(columns, where, also)
            except FileNotFoundError:  # merged and deleted between the look and the read
                continue
        raise LabError(f"{self.folder} changes faster than it can be read; try again")

    def _read_now(self, columns: Sequence[str] | None, where: RowFilter, also: ds.Expression | None) -> pa.Table:
        import pyarrow.dataset as ds

        pieces = self.pieces()
        schema = self.schema(pieces)
        wanted = list(schema.names if columns is None else columns)
        check = partial(self._check_column, there=schema.names)
        for name in (*wanted, *(["step"] if also is not None else [])):
            check(name)
        # with the known columns that are in no part yet; they read as NaN
        schema = pa.schema([*schema, *(field for field in self.known if field.name not in schema.names)])
        condition = both(also, where_condition(where, schema, check))
        read = []
        for _, neighbours in groupby(pieces, key=lambda piece: piece.until):  # with one limit, read together
            group = list(neighbours)
            limit = both(condition, group[0].kept)
            fragments = [piece.fragment for piece in group]
            try:
                source = ds.FileSystemDataset(fragments, schema, parquet.form(), parquet.DISK)
                read.append(source.to_table(columns=wanted, filter=limit))
            except FileNotFoundError:
                raise
            except parquet.UNREADABLE:  # one of them is damaged: find it, keep the others
                read += [table for piece in group if (table := self._rows(piece, schema, wanted, limit)) is not None]
        for piece in pieces:
            unchanged(piece)
        return pa.concat_tables(read) if read else schema.empty_table().select(wanted)

    def _rows(
        self, piece: Piece, schema: pa.Schema, columns: list[str], limit: ds.Expression | None
    ) -> pa.Table | None:
        try:
            return piece.fragment.to_table(schema=schema, columns=columns, filter=limit)
        except FileNotFoundError:
            raise
        except parquet.UNREADABLE as error:
            unchanged(piece)
            self.note(piece.part, error)
            return None

    def pieces(self) -> list[Piece]:
        """The parts that can be read now, in the order written; `problems` names the others."""
        self.problems = {}
        opened: list[tuple[Part, ds.ParquetFileFragment, tuple[int, int]]] = []
        following: dict[int, int] = {}  # attempt: number that its next part has
        schema, last = self.known, None
        for part in parts(self.folder):
            attempt, number = part.first
            expected = following.get(attempt, 0)
            if attempt and number > expected:
                name, more = part_name(attempt, expected), number - expected - 1
                also = f" (and {more} more after it)" if more else ""
                self.problems[name] = f"{self.folder.name}/{name}{also} is missing and its rows with it"
            following[part.last[0]] = part.last[1] + 1
            seen = _seen(part.path)  # before the file is opened, so that a later one is noticed
            try:
                parquet.verify(part.path)
                fragment = parquet.form().make_fragment(str(part.path), parquet.DISK)
                fragment.ensure_complete_metadata()
                parquet.require_bounded(fragment.metadata)
                if fragment.physical_schema != last:  # as good as all parts of a table are alike
                    schema = parquet.joined(schema, fragment.physical_schema)
                    last = fragment.physical_schema
            except FileNotFoundError:
                raise
            except parquet.UNREADABLE as error:
                self.note(part, error)
            else:
                opened.append((part, fragment, seen))
                if text := _DAMAGED.get((str(part.path.absolute()), seen[1])):
                    self.problems[part.name] = text
        there = max(((attempt, number - 1) for attempt, number in following.items()), default=(0, -1))
        if self.last is not None and self.last > there:
            name = part_name(*self.last)
            self.problems[name] = f"{self.folder.name}/{name} is missing and its rows with it"
        until: dict[int, int | None] = {}
        begins: int | None = None
        for attempt in sorted({part.last[0] for part, _, _ in opened}, reverse=True):
            until[attempt] = begins
            steps = [parquet.first_step(fragment) for part, fragment, _ in opened if part.last[0] == attempt]
            begins = min((step for step in (*steps, begins) if step is not None), default=None)
        return [Piece(part, fragment, until[part.last[0]], seen) for part, fragment, seen in opened]

    def look(self, whole: bool = False) -> None:
        """Bring `problems` up to date, without reading any rows; or with all of them, which finds every damage."""
        for _ in range(AGAIN):
            try:
                for piece in self.pieces():
                    if whole:
                        self._whole(piece)
                return
            except FileNotFoundError:
                continue

    def _whole(self, piece: Piece) -> None:
        schema = piece.fragment.physical_schema
        rows, told = self._rows(piece, schema, schema.names, None), piece.fragment.metadata.num_rows
        if rows is not None and len(rows) != told:
            self.note(piece.part, OSError(f"it has {len(rows)} rows where its footer says {told}"))

    def schema(self, pieces: Sequence[Piece]) -> pa.Schema:
        """All columns that any of the parts has; of a table without parts, the known ones."""
        if not pieces:
            return self.known
        found = [piece.fragment.physical_schema.remove_metadata() for piece in pieces]
        return pa.unify_schemas(found, promote_options="permissive")

    def _check_column(self, name: str, there: Sequence[str]) -> None:
        if name not in there and name not in self.known.names:
            near = nearest(name, there) or f"; it has {listed(there)}"
            raise LabError(
                f"table '{self.folder.name}' of run '{self.folder.parent.name}' has no column '{name}'{near}"
            )

    def note(self, part: Part, error: Exception) -> None:
        """Remember what reading a file said, for every reader in this process."""
        text = f"{self.folder.name}/{part.name} is damaged and was left out ({first_line(error)})"
        self.problems[part.name] = _DAMAGED[str(part.path.absolute()), part.path.stat().st_mtime_ns] = text


def damage_below(folder: Path) -> list[str]:
    """What was found out about damaged files of a folder's tables, as long as they are there and unchanged."""
    inside = str(folder.absolute()) + os.sep
    return [text for (path, changed), text in _DAMAGED.items() if path.startswith(inside) and _is(path, changed)]


def _is(path: str, changed: int) -> bool:
    try:
        return Path(path).stat().st_mtime_ns == changed
    except OSError:
        return False


def _seen(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_ino, about.st_mtime_ns


def unchanged(piece: Piece) -> None:
    """FileNotFoundError where a file is no more what was opened: it lost rows that a later attempt replaces."""
    if _seen(piece.part.path) != piece.seen:
        raise FileNotFoundError(piece.part.path)
