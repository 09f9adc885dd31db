"""How is a table written as one Parquet file, and what does its footer say?"""

from __future__ import annotations

import functools
import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from labapp.store.files import write_new, write_whole

if TYPE_CHECKING:
    import pyarrow.dataset as ds

SEAL = b"labapp: SHA-256 of the footer: "  # and 32 bytes
TAIL = 8  # bytes at the end: the footer's length and PAR1
SOUGHT = 1 << 16  # bytes before the footer, or where that is, in which the seal is looked for
ROW_GROUP = 64 * 1024  # rows; what a filter on the step can pass over without reading
DISK: pyarrow.fs.FileSystem = pyarrow.fs.LocalFileSystem()
MOST_CELLS = 500_000_000  # of a file, 4 GB in memory: a small file may unpack to any size
UNREADABLE = (pa.ArrowException, OSError)  # what reading a damaged file raises


@functools.cache
def form() -> ds.ParquetFileFormat:
    """How files are read: with a checksum a page, so that a faulty disk is noticed instead of plotted.

    Made at the first reading of a table, because pyarrow.dataset imports pandas.
    """
    import pyarrow.dataset as ds

    checked = ds.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=True)
    return ds.ParquetFileFormat(default_fragment_scan_options=checked)


def write_table(table: pa.Table, path: Path, new: bool = False) -> None:
    """Write one Parquet file, whole; a `new` one replaces none."""
    (write_new if new else write_whole)(path, lambda file: write_tables(file, table.schema, [table]))


def write_tables(file: BinaryIO, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write tables one after the other into an open file, in row groups of about ROW_GROUP rows; seals its footer."""
    repeating = [field.name for field in schema if not pa.types.is_floating(field.type)]
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": repeating, "write_page_checksum": True}
    with pq.ParquetWriter(file, schema, **options) as writer:
        for table in _gathered(tables):
            writer.write_table(table, row_group_size=ROW_GROUP)
    _seal(file)


def _seal(file: BinaryIO) -> None:
    """Write a digest of the footer in front of it, where no reader of Parquet looks.

    Pages have checksums and the footer has none, though it says where they are: one wrong bit in it, and other rows are
    read, or the process that reads them dies.
    """
    start = file.seek(-TAIL, os.SEEK_END) - int.from_bytes(file.read(4), "little")
    file.seek(start)
    footer = file.read()
    file.seek(start)
    file.write(SEAL + hashlib.sha256(footer).digest() + footer)


def verify(path: Path) -> None:
    """Look at a file's footer before anything else does. Files of earlier versions of the lab have no seal.

    Raises:
        pa.ArrowInvalid: If it is not as it was written.
        OSError: For a file that cannot be read.
    """
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - TAIL))
        size = int.from_bytes(file.read(4), "little")  # of the footer, if it is whole
        file.seek(max(0, end - SOUGHT - (size if size < end else 0)))
        last = file.read()
    at = last.rfind(SEAL)
    if at < 0:
        if last[-4:] != b"PAR1":
            raise pa.ArrowInvalid("it has no end")
        return
    digest, footer = last[at + len(SEAL) :][:32], last[at + len(SEAL) + 32 :]
    if hashlib.sha256(footer).digest() != digest:
        raise pa.ArrowInvalid("its footer is not as it was written")


def read_whole(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of one file, of all columns or some.

    Raises:
        pa.ArrowException: It is damaged, or lacks a column.
        OSError: It cannot be read.
    """
    verify(path)
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        require_bounded(file.metadata)
        return file.read(columns)


def require_bounded(about: pq.FileMetaData) -> None:
    """Refuse a file that says it holds more than the lab reads at once.

    Raises:
        pa.ArrowInvalid: If it does.
    """
    if about.num_rows * about.num_columns > MOST_CELLS:
        rows = f"{about.num_rows:,} rows of {about.num_columns:,} columns"
        raise pa.ArrowInvalid(f"it says that it holds {rows}, more than the lab reads at once")


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


def first_step(fragment: ds.ParquetFileFragment) -> int | None:
    """The smallest step in a file, from its footer; None without rows or steps."""
    return min((low for low, _ in _steps(fragment)), default=None)


def last_step(fragment: ds.ParquetFileFragment) -> int | None:
    """The largest step in a file, from its footer; None without rows or steps."""
    return max((high for _, high in _steps(fragment)), default=None)


def _steps(fragment: ds.ParquetFileFragment) -> list[tuple[int, int]]:
    """The smallest and the largest step of each row group."""
    names = fragment.physical_schema.names
    if "step" not in names:
        return []
    groups = (fragment.metadata.row_group(group) for group in range(fragment.metadata.num_row_groups))
    found = (group.column(names.index("step")).statistics for group in groups)
    return [(each.min, each.max) for each in found if each and each.has_min_max]


def steps_of_groups(file: pq.ParquetFile) -> list[tuple[float, float]]:
    """The smallest and the largest step of each row group of a file with steps; infinite where it does not say."""
    step = file.schema_arrow.names.index("step")
    groups = (file.metadata.row_group(group).column(step) for group in range(file.metadata.num_row_groups))
    known = (group.statistics for group in groups)
    return [(each.min, each.max) if each and each.has_min_max else (-math.inf, math.inf) for each in known]


def joined(schema: pa.Schema, more: pa.Schema) -> pa.Schema:
    """The columns of both, numbers as wide as both need.

    Raises:
        pa.ArrowInvalid: Where a column holds words here and numbers there, or neither, or steps are words.
    """
    for field in more:
        if pa.types.is_null(field.type):
            continue  # nothing but missing values
        kind = _kind(field.type)
        before = _kind(schema.field(field.name).type) if field.name in schema.names else kind
        if not kind or (before and kind != before) or (field.name == "step" and kind != "numbers"):
            raise pa.ArrowInvalid(f"its column '{field.name}' holds {field.type}")
    return pa.unify_schemas([schema, more.remove_metadata()], promote_options="permissive")


def _kind(type_: pa.DataType) -> str:
    types = pa.types
    if types.is_dictionary(type_):
        return _kind(type_.value_type)
    if types.is_string(type_) or types.is_large_string(type_):
        return "words"
    return "numbers" if types.is_integer(type_) or types.is_floating(type_) or types.is_boolean(type_) else ""
