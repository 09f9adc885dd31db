"""How does a growing table lie in a folder so that nobody ever reads it half-written?

As Parquet files that appear whole and never change:

    part-01-000007.parquet             what attempt 1 flushed as its eighth part
    part-01-000000-000063.parquet      its parts 0 to 63, merged
    all-02-000012.parquet              everything up to part 12 of attempt 2, compacted

A file that covers others supersedes them: it is renamed into place first and they are deleted afterwards, so a reader
finds each row once, whenever it looks. Where a later attempt begins again at an earlier step, its rows count and those
of the attempt before are set aside (in `_superseded/`, which no Parquet reader takes for a part), never deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq

from labapp.config import LabError, listed, nearest
from labapp.store.files import files, first_line, write_whole

MERGE = 64  # so many single parts become one, else a day's run is 40,000 files
ROW_GROUP = 64 * 1024  # rows; what a filter on the step can pass over without reading
AGAIN = 100  # times a reader looks anew before it says that a table changes faster than it can be read
Where: TypeAlias = Sequence[Any] | Mapping[str, Any] | None

_NAME = re.compile(r"(?:part-(\d+)-(\d+)(?:-(\d+))?|all-(\d+)-(\d+))\.parquet")
_DISK: pyarrow.fs.FileSystem = pyarrow.fs.LocalFileSystem()
_FORMAT = ds.ParquetFileFormat(  # a checksum a page: a faulty disk is noticed instead of plotted
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=True)
)
_UNREADABLE = (pa.ArrowException, OSError)


class Part(NamedTuple):
    """A file and what it covers: from (attempt, number) to (attempt, number), both included."""

    first: tuple[int, int]
    last: tuple[int, int]
    path: Path


class Piece(NamedTuple):
    """A readable part, and the step from which a later attempt replaces its rows."""

    part: Part
    fragment: ds.ParquetFileFragment
    until: int | None

    @property
    def kept(self) -> ds.Expression | None:
        """The rows that count, as a filter."""
        return None if self.until is None else ds.field("step") < self.until


def write_table(table: pa.Table, path: Path) -> None:
    """Write one Parquet file, whole."""
    write_whole(path, lambda file: _write(file, table.schema, [table]))


def _write(file: BinaryIO, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    repeating = [field.name for field in schema if not pa.types.is_floating(field.type)]
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": repeating, "write_page_checksum": True}
    with pq.ParquetWriter(file, schema, **options) as writer:
        for table in _gathered(tables):
            writer.write_table(table, row_group_size=ROW_GROUP)


def _gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Small tables joined until they fill a row group."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= ROW_GROUP:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def part_name(attempt: int, first: int, last: int | None = None) -> str:
    """The name of a single part, or of the parts from the first to the last, merged."""
    return f"part-{attempt:02d}-{first:06d}{'' if last is None else f'-{last:06d}'}.parquet"


def parts(folder: Path) -> list[Part]:
    """The files that make the table now, in the order in which their rows were written."""
    before, names = None, _names(folder)
    while names != before:  # a look while files come and go may miss both the old and the new; two equal ones do not
        before, names = names, _names(folder)
    kept: list[Part] = []
    for part in sorted(map(_part, (folder / name for name in names)), key=_place):
        if not kept or part.last > kept[-1].last:
            kept.append(part)
    return kept


def _names(folder: Path) -> set[str]:
    return {name for name in files(folder) if _NAME.fullmatch(name)}


def _part(path: Path) -> Part:
    match = _NAME.fullmatch(path.name)
    attempt, first, last, all_attempt, all_last = (int(word or -1) for word in (match.groups() if match else ()))
    if all_attempt >= 0:
        return Part((0, 0), (all_attempt, all_last), path)
    return Part((attempt, first), (attempt, max(first, last)), path)


def _place(part: Part) -> tuple[tuple[int, int], int, int]:
    """In order, and what covers before what is covered."""
    return part.first, -part.last[0], -part.last[1]


class Table:
    """A folder of parts, read as one table. What could not be read is in `problems`, a sentence a file."""

    def __init__(self, folder: Path, known: pa.Schema) -> None:
        self.folder = folder
        self.known = known
        self.problems: dict[str, str] = {}
        self._damaged: dict[tuple[str, int], str] = {}  # (file, time of its last change): what reading it said

    def read(
        self, columns: Sequence[str] | None = None, where: Where = None, also: ds.Expression | None = None
    ) -> pa.Table:
        """The rows of all attempts in the order written, and of each file only the columns asked for.

        Args:
            columns: Their names; all by default.
            where: [(column, operator, value), …] which all hold, a list of such lists of which one holds, or
                {column: value or values}.
            also: A condition that holds as well.
        """
        for _ in range(AGAIN):
            try:
                return self._read_now(columns, where, also)
            except FileNotFoundError:  # merged and deleted between the look and the read
                continue
        raise LabError(f"{self.folder} changes faster than it can be read; try again")

    def _read_now(self, columns: Sequence[str] | None, where: Where, also: ds.Expression | None) -> pa.Table:
        pieces = self.pieces()
        schema = self.schema(pieces)
        wanted = list(schema.names if columns is None else columns)
        for name in (*wanted, *(["step"] if also is not None else [])):
            self._check_column(name, schema)
        condition = _and(also, self._condition(where, schema))
        schema = _widened(schema, self.known)
        read = []
        for until, group in _neighbours(pieces):
            limit = condition if until is None else _and(condition, ds.field("step") < until)
            try:
                source = ds.FileSystemDataset([piece.fragment for piece in group], schema, _FORMAT, _DISK)
                read.append(source.to_table(columns=wanted, filter=limit))
            except FileNotFoundError:
                raise
            except _UNREADABLE:  # one of them is damaged: find it, keep the others
                read += [table for piece in group if (table := self._rows(piece, schema, wanted, limit)) is not None]
        return pa.concat_tables(read) if read else schema.empty_table().select(wanted)

    def _rows(
        self, piece: Piece, schema: pa.Schema, columns: list[str], limit: ds.Expression | None
    ) -> pa.Table | None:
        try:
            return piece.fragment.to_table(schema=schema, columns=columns, filter=limit)
        except FileNotFoundError:
            raise
        except _UNREADABLE as error:
            self._note(piece.part, error)
            return None

    def pieces(self) -> list[Piece]:
        """What can be read now."""
        self.problems = {}
        opened: list[tuple[Part, ds.ParquetFileFragment]] = []
        following: dict[int, int] = {}  # attempt: number that its next part has
        for part in parts(self.folder):
            attempt, number = part.first
            expected = following.get(attempt, 0)
            if attempt and number > expected:
                name, more = part_name(attempt, expected), number - expected - 1
                also = f" (and {more} more after it)" if more else ""
                self.problems[name] = f"{self.folder.name}/{name}{also} is missing and its rows with it"
            following[part.last[0]] = part.last[1] + 1
            try:
                fragment = _FORMAT.make_fragment(str(part.path), _DISK)
                fragment.ensure_complete_metadata()
            except FileNotFoundError:
                raise
            except _UNREADABLE as error:
                self._note(part, error)
            else:
                opened.append((part, fragment))
                if self._damaged and (text := self._damaged.get((part.path.name, part.path.stat().st_mtime_ns))):
                    self.problems[part.path.name] = text
        until: dict[int, int | None] = {}
        begins: int | None = None
        for attempt in sorted({part.last[0] for part, _ in opened}, reverse=True):
            until[attempt] = begins
            steps = [_first_step(fragment) for part, fragment in opened if part.last[0] == attempt]
            begins = min((step for step in (*steps, begins) if step is not None), default=None)
        return [Piece(part, fragment, until[part.last[0]]) for part, fragment in opened]

    def look(self) -> None:
        """Look what there is, for `problems`, without reading rows."""
        for _ in range(AGAIN):
            try:
                self.pieces()
                return
            except FileNotFoundError:
                continue

    def schema(self, pieces: Sequence[Piece]) -> pa.Schema:
        """The columns of any part; of a table without parts, those it will have."""
        if not pieces:
            return self.known
        found = [piece.fragment.physical_schema.remove_metadata() for piece in pieces]
        return pa.unify_schemas(found, promote_options="permissive")

    def _condition(self, where: Where, schema: pa.Schema) -> ds.Expression | None:
        if not where:
            return None
        if isinstance(where, Mapping):
            where = [(name, "==" if _is_single(value) else "in", value) for name, value in where.items()]
        try:
            either = [where] if isinstance(where[0][0], str) else where
            for name in (name for terms in either for name, _, _ in terms):
                self._check_column(name, schema)
            terms = [
                [(name, sign, value if sign in _SIGNS else list(value)) for name, sign, value in t] for t in either
            ]
            condition = pq.filters_to_expression(terms)
            _widened(schema, self.known).empty_table().filter(condition)  # else a wrong type would look like damage
        except LabError:
            raise
        except (ValueError, TypeError, pa.ArrowException) as error:
            form = 'where is [("step", ">=", 100), …] or {"kind": "conv"}'
            raise LabError(f"{form}, which {where!r} does not fit ({first_line(error)})") from None
        return condition

    def _check_column(self, name: str, schema: pa.Schema) -> None:
        if name not in schema.names and name not in self.known.names:
            there = nearest(name, schema.names) or f"; it has {listed(schema.names)}"
            raise LabError(
                f"table '{self.folder.name}' of run '{self.folder.parent.name}' has no column '{name}'{there}"
            )

    def _note(self, part: Part, error: Exception) -> None:
        name = part.path.name
        self.problems[name] = f"{self.folder.name}/{name} is damaged and was left out ({first_line(error)})"
        self._damaged[name, part.path.stat().st_mtime_ns] = self.problems[name]

    def merge(self, attempt: int) -> None:
        """Make one file of an attempt's single parts, without a reader noticing."""
        single = [
            piece for piece in self.pieces() if piece.part.first == piece.part.last and piece.part.last[0] == attempt
        ]
        if len(single) > 1 and not self.problems:  # what is damaged stays as it is, for whoever can mend it
            name = part_name(attempt, single[0].part.first[1], single[-1].part.last[1])
            self._replace(name, single)

    def compact(self) -> None:
        """Make one file of all parts; rows of a superseded attempt are set aside first."""
        pieces = self.pieces()
        if not pieces or self.problems:
            return
        last = pieces[-1].part
        name = f"all-{last.last[0]:02d}-{last.last[1]:06d}.parquet"
        superseded = [(piece.fragment, ds.field("step") >= piece.until) for piece in pieces if piece.until is not None]
        if superseded:
            aside = self.folder / "_superseded"
            aside.mkdir(exist_ok=True)
            self._copy(aside / name, self.schema(pieces), superseded)
        if last.path.name != name:
            self._replace(name, pieces)
        living = {part.path.name for part in parts(self.folder)}
        for left in _names(self.folder) - living:  # by a crash between a merge and its deletions
            (self.folder / left).unlink(missing_ok=True)

    def _replace(self, name: str, pieces: Sequence[Piece]) -> None:
        self._copy(self.folder / name, self.schema(pieces), [(piece.fragment, piece.kept) for piece in pieces])
        for piece in pieces:
            piece.part.path.unlink(missing_ok=True)

    def _copy(
        self, path: Path, schema: pa.Schema, chosen: Sequence[tuple[ds.ParquetFileFragment, ds.Expression | None]]
    ) -> None:
        tables = (
            pa.Table.from_batches([batch], schema)
            for fragment, limit in chosen
            for batch in fragment.to_batches(schema=schema, filter=limit)
        )
        write_whole(path, lambda file: _write(file, schema, tables))


_SIGNS = ("=", "==", "!=", "<", ">", "<=", ">=")


def steps_condition(steps: int | slice | range | Iterable[int] | None) -> ds.Expression | None:
    """A step, a slice of steps (its end excluded) or several steps, as a filter."""
    if steps is None:
        return None
    step = ds.field("step")
    if not isinstance(steps, slice | range):
        return step.isin([int(one) for one in (steps if isinstance(steps, Iterable) else [steps])])
    if steps.step not in (None, 1):
        raise LabError(f"steps is a slice without a stride, not one with a stride of {steps.step}")
    low = step >= (steps.start or 0)
    return low if steps.stop is None else low & (step < steps.stop)


def _widened(schema: pa.Schema, known: pa.Schema) -> pa.Schema:
    """With the known columns that are in no part yet; they read as NaN."""
    return pa.schema([*schema, *(field for field in known if field.name not in schema.names)])


def _and(one: ds.Expression | None, other: ds.Expression | None) -> ds.Expression | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _is_single(value: object) -> bool:
    return isinstance(value, str | bytes) or not isinstance(value, Iterable)


def _neighbours(pieces: Sequence[Piece]) -> list[tuple[int | None, list[Piece]]]:
    """Pieces with the same limit, to be read together."""
    groups: list[tuple[int | None, list[Piece]]] = []
    for piece in pieces:
        if groups and groups[-1][0] == piece.until:
            groups[-1][1].append(piece)
        else:
            groups.append((piece.until, [piece]))
    return groups


def _first_step(fragment: ds.ParquetFileFragment) -> int | None:
    """The smallest step in a file, from its footer."""
    names = fragment.physical_schema.names
    if "step" not in names:
        return None
    groups = (fragment.metadata.row_group(group) for group in range(fragment.metadata.num_row_groups))
    found = (group.column(names.index("step")).statistics for group in groups)
    return min((statistics.min for statistics in found if statistics and statistics.has_min_max), default=None)
