"""How does a growing table lie in a folder so that nobody ever reads it half-written?

As Parquet files that appear whole (`write_whole`) and never change:

    part-01-000007.parquet             what attempt 1 flushed as its eighth part
    part-01-000000-000063.parquet      its parts 0 to 63, merged
    all-02-000012.parquet              everything up to part 12 of attempt 2, compacted

A file that covers others supersedes them: it is renamed into place first and they are deleted afterwards, so a reader
finds each row once, whenever it looks. Where a later attempt begins again at an earlier step, its rows count and the
first attempt's are set aside (in `_superseded/`, which no Parquet reader takes for a part), never deleted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq

from labapp.config import LabError, listed, nearest

MERGE = 64  # so many single parts become one, else a day's run is 40,000 files
ROW_GROUP = 64 * 1024  # rows; what a filter on the step can pass over without reading
Where: TypeAlias = Sequence[Any] | Mapping[str, Any] | None

_NAME = re.compile(r"(?:part-(\d+)-(\d+)(?:-(\d+))?|all-(\d+)-(\d+))\.parquet")
_DISK = pyarrow.fs.LocalFileSystem()
_FORMAT = ds.ParquetFileFormat(  # a checksum a page: a faulty disk is noticed instead of plotted
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=True)
)
_UNREADABLE = (pa.ArrowException, OSError)


class Part(NamedTuple):
    """A file and what it covers: from (attempt, number) to (attempt, number), both included."""

    first: tuple[int, int]
    last: tuple[int, int]
    path: Path

    @property
    def single(self) -> bool:
        """Whether it was flushed as it is, rather than merged."""
        return self.first == self.last


class Piece(NamedTuple):
    """A readable part, and the step from which a later attempt replaces its rows."""

    part: Part
    fragment: ds.ParquetFileFragment
    until: int | None


def write_whole(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Let `path` appear on disk with all that `fill` writes, or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names that were just given or taken away last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_table(table: pa.Table, path: Path) -> None:
    """Write one Parquet file, whole."""
    write_whole(path, lambda file: _write_batches(file, table.schema, [table]))


def _write_batches(file: BinaryIO, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    words = [field.name for field in schema if not pa.types.is_floating(field.type)]  # floats hardly ever repeat
    options = {"compression": "zstd", "use_dictionary": words, "write_page_checksum": True}
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


def as_table(chunks: Sequence[tuple[int, Mapping[str, Any]]], known: pa.Schema) -> pa.Table:
    """Join what was buffered, (rows, columns) each; a column that some chunks lack is null there."""
    names = [name for name in known.names if any(name in columns for _, columns in chunks)]
    names += [name for name in dict.fromkeys(n for _, columns in chunks for n in columns) if name not in known.names]
    arrays = [_as_array([(rows, columns.get(name)) for rows, columns in chunks], name, known) for name in names]
    return pa.table(arrays, names=names)


def _as_array(chunks: Sequence[tuple[int, Any]], name: str, known: pa.Schema) -> pa.Array:
    wanted = known.field(name).type if name in known.names else None
    given = next(values for _, values in chunks if values is not None)
    if wanted == pa.string() or (wanted is None and len(given) and isinstance(given[0], str)):
        words = [word for rows, values in chunks for word in (values if values is not None else [None] * rows)]
        return pa.array([None if word is None else str(word) for word in words], pa.string())
    if all(values is not None for _, values in chunks):
        numbers = np.concatenate([np.asarray(values) for _, values in chunks])
    else:
        gap = [np.full(rows, np.nan) if values is None else np.asarray(values, float) for rows, values in chunks]
        numbers = np.concatenate(gap)
    if wanted is None:
        wanted = {"i": pa.int64(), "u": pa.int64(), "b": pa.bool_()}.get(numbers.dtype.kind, pa.float32())
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is infinite, and recorded so
        return pa.array(numbers.astype(wanted.to_pandas_dtype(), copy=False))


def parts(folder: Path) -> list[Part]:
    """The files that make the table now, in the order in which they were written."""
    before, names = None, _names(folder)
    while (
        names != before
    ):  # a listing taken while files come and go may miss the old and the new; two equal ones do not
        before, names = names, _names(folder)
    kept: list[Part] = []
    for part in sorted(
        map(_covered, (folder / name for name in names)), key=lambda p: (p.first, (-p.last[0], -p.last[1]))
    ):
        if not kept or part.last > kept[-1].last:
            kept.append(part)
    return kept


def _names(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(folder) if _NAME.fullmatch(entry.name)}
    except FileNotFoundError:
        return set()


def _covered(path: Path) -> Part:
    match = _NAME.fullmatch(path.name)
    attempt, first, last, all_attempt, all_last = (int(group or -1) for group in match.groups() if match)  # type: ignore[union-attr]
    if all_attempt >= 0:
        return Part((0, 0), (all_attempt, all_last), path)
    return Part((attempt, first), (attempt, max(first, last)), path)


class Table:
    """A folder of parts, read as one table."""

    def __init__(self, folder: Path, known: pa.Schema) -> None:
        self.folder = folder
        self.known = known
        self.problems: dict[str, str] = {}  # file name: what is wrong with it

    def read(
        self, columns: Sequence[str] | None = None, where: Where = None, also: ds.Expression | None = None
    ) -> pa.Table:
        """The rows of all attempts, in the order written; of each file only the columns asked for."""
        while True:
            try:
                return self._read_now(columns, where, also)
            except FileNotFoundError:  # compacted away between the look and the read
                continue

    def _read_now(self, columns: Sequence[str] | None, where: Where, also: ds.Expression | None) -> pa.Table:
        pieces = self.pieces()
        schema = self.schema(pieces)
        wanted = list(schema.names if columns is None else columns)
        condition = _and(also, self._condition(where, schema))
        for name in wanted:
            self._check_column(name, schema)
        read = []
        for until, group in _grouped(pieces):
            limit = condition if until is None else _and(condition, ds.field("step") < until)
            try:
                source = ds.FileSystemDataset([piece.fragment for piece in group], schema, _FORMAT, _DISK)
                read.append(source.to_table(columns=wanted, filter=limit))
            except FileNotFoundError:
                raise
            except _UNREADABLE:  # one of them is damaged: find it, keep the others
                read += [table for piece in group if (table := self._rows(piece, schema, wanted, limit)) is not None]
        return pa.concat_tables(read) if read else schema.empty_table().select(wanted)

    def _rows(self, piece: Piece, schema: pa.Schema, columns: list[str] | None, limit: Any) -> pa.Table | None:
        try:
            return piece.fragment.to_table(schema=schema, columns=columns, filter=limit)
        except FileNotFoundError:
            raise
        except _UNREADABLE as error:
            self._note(piece.part, error)
            return None

    def pieces(self) -> list[Piece]:
        """What can be read now; what cannot is noted in `problems`."""
        opened = []
        for part in parts(self.folder):
            try:
                fragment = _FORMAT.make_fragment(str(part.path), _DISK)
                fragment.ensure_complete_metadata()
            except FileNotFoundError:
                raise
            except _UNREADABLE as error:
                self._note(part, error)
            else:
                opened.append((part, fragment))
        until: dict[int, int | None] = {}
        begins: int | None = None
        for attempt in sorted({part.last[0] for part, _ in opened}, reverse=True):
            until[attempt] = begins
            steps = [
                first for part, frag in opened if part.last[0] == attempt and (first := _first_step(frag)) is not None
            ]
            begins = min([*steps, begins] if begins is not None else steps, default=None)
        return [Piece(part, fragment, until[part.last[0]]) for part, fragment in opened]

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
            where = [(name, "=" if _is_single(value) else "in", value) for name, value in where.items()]
        either = [where] if isinstance(where[0], tuple) else where  # pyarrow's form: any of several lists
        for name, *_ in (term for terms in either for term in terms):
            self._check_column(name, schema)
        return pq.filters_to_expression([list(terms) for terms in either])

    def _check_column(self, name: str, schema: pa.Schema) -> None:
        if name not in schema.names and name not in self.known.names:
            there = nearest(name, schema.names) or f"; it has {listed(schema.names)}"
            raise LabError(f"the {self.folder.name} of run '{self.folder.parent.name}' have no column '{name}'{there}")

    def _note(self, part: Part, error: Exception) -> None:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        self.problems[part.path.name] = f"{self.folder.name}/{part.path.name} is damaged and was left out ({reason})"

    def merge(self, attempt: int) -> None:
        """Make one file of an attempt's single parts, without a reader noticing."""
        chosen = [piece for piece in self.pieces() if piece.part.single and piece.part.first[0] == attempt]
        if len(chosen) < 2 or self.problems:  # what is damaged stays as it is, for whoever can mend it
            return
        first, last = chosen[0].part.first, chosen[-1].part.last
        self._replace(self.folder / f"part-{attempt:02d}-{first[1]:06d}-{last[1]:06d}.parquet", chosen, chosen)

    def compact(self) -> None:
        """Make one file of all parts; rows of a superseded attempt are set aside first."""
        pieces = self.pieces()
        if not pieces or self.problems:
            return
        name = "all-{:02d}-{:06d}.parquet".format(*pieces[-1].part.last)
        if any(piece.until is not None for piece in pieces):
            aside = self.folder / "_superseded"
            aside.mkdir(exist_ok=True)
            self._write(aside / name, pieces, lambda until: None if until is None else ds.field("step") >= until)
        if pieces[-1].part.path.name != name:
            self._replace(self.folder / name, pieces, pieces)
        self._sweep()

    def _replace(self, path: Path, pieces: Sequence[Piece], old: Sequence[Piece]) -> None:
        self._write(path, pieces, lambda until: True if until is None else ds.field("step") < until)
        for piece in old:
            piece.part.path.unlink(missing_ok=True)

    def _write(self, path: Path, pieces: Sequence[Piece], keep: Callable[[int | None], Any]) -> None:
        schema = self.schema(pieces)
        chosen = ((piece.fragment, keep(piece.until)) for piece in pieces)
        tables = (
            pa.Table.from_batches([batch], schema)
            for fragment, limit in chosen
            if limit is not None
            for batch in fragment.to_batches(schema=schema, filter=None if limit is True else limit)
        )
        write_whole(path, lambda file: _write_batches(file, schema, tables))

    def _sweep(self) -> None:
        """Delete what a crash left between a merge and its deletions."""
        living = {part.path.name for part in parts(self.folder)}
        for name in _names(self.folder) - living:
            (self.folder / name).unlink(missing_ok=True)


def _and(one: ds.Expression | None, other: ds.Expression | None) -> ds.Expression | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _is_single(value: object) -> bool:
    return isinstance(value, str | bytes) or not isinstance(value, Iterable)


def _grouped(pieces: Sequence[Piece]) -> list[tuple[int | None, list[Piece]]]:
    """Neighbours with the same limit, to be read together."""
    groups: list[tuple[int | None, list[Piece]]] = []
    for piece in pieces:
        if groups and groups[-1][0] == piece.until:
            groups[-1][1].append(piece)
        else:
            groups.append((piece.until, [piece]))
    return groups


def _first_step(fragment: ds.ParquetFileFragment) -> int | None:
    """The smallest step in a file, from its footer."""
    metadata = fragment.metadata
    if "step" not in fragment.physical_schema.names or not metadata.num_rows:
        return None
    column = metadata.schema.names.index("step")
    found = (metadata.row_group(group).column(column).statistics for group in range(metadata.num_row_groups))
    return min(statistics.min for statistics in found)
