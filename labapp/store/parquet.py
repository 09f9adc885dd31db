"""How is a table written as one Parquet file, and what does its footer say?"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq

from labapp.store.files import write_new, write_whole

ROW_GROUP = 64 * 1024  # rows; what a filter on the step can pass over without reading
DISK: pyarrow.fs.FileSystem = pyarrow.fs.LocalFileSystem()
FORMAT = ds.ParquetFileFormat(  # a checksum a page: a faulty disk is noticed instead of plotted
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=True)
)
UNREADABLE = (pa.ArrowException, OSError)  # what reading a damaged file raises


def write_table(table: pa.Table, path: Path, new: bool = False) -> None:
    """Write one Parquet file, whole; a `new` one replaces none."""
    (write_new if new else write_whole)(path, lambda file: write_tables(file, table.schema, [table]))


def write_tables(file: BinaryIO, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write tables one after the other into an open file, in row groups of about ROW_GROUP rows."""
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
