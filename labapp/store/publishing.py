"""How do many small files of a table become one, without a reader noticing?

A flush makes a small file, which waits in `_fresh/`. Whenever an eighth as many rows wait as are published, they become
one published file. So a table has few files however long it grows (their number goes with the logarithm), and a tool
that reads the published ones is behind by a ninth at most. Published files never change, but for rows that a later
attempt replaces, see `superseding`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from labapp.store.files import sync_folder, write_new
from labapp.store.parquet import write_tables
from labapp.store.parts import FRESH, part_name, part_names, parts
from labapp.store.table import Piece, Table

if TYPE_CHECKING:
    import pyarrow.dataset as ds

SHARE = 8  # times the waiting rows are more than those published: then they are
GATHER = 64  # so many waiting files become one, else half a day's eighth is 3,000 files


def gather(table: Table, attempt: int) -> None:
    """Make one file of the small ones of an attempt that wait; it waits as well."""
    single = [
        piece
        for piece in table.pieces()
        if piece.part.fresh and piece.part.first == piece.part.last and piece.part.last[0] == attempt
    ]
    for neighbours in _neighbours(single):
        if len(neighbours) > 1:
            _replace(table, table.folder / FRESH, neighbours)
    _clear(table)


def publish(table: Table) -> None:
    """Publish all that waits, in as few files as there are attempts and damaged or missing files between."""
    for neighbours in _neighbours([piece for piece in table.pieces() if piece.part.fresh]):
        _replace(table, table.folder, neighbours)
    _clear(table)


def _neighbours(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces of one attempt without a gap: what is damaged or missing stays to be seen."""
    found: list[Piece] = []
    for piece in pieces:
        attempt, number = piece.part.first
        if found and found[-1].part.last != (attempt, number - 1):
            yield found
            found = []
        found.append(piece)
    if found:
        yield found


def _replace(table: Table, folder: Path, pieces: Sequence[Piece]) -> None:
    """Copy the rows into one file, then delete the files they were in."""
    (attempt, first), (_, last) = pieces[0].part.first, pieces[-1].part.last
    path, schema = folder / part_name(attempt, first, last), table.schema(pieces)
    copied = copied_rows(pieces, schema)
    write_new(path, lambda file: write_tables(file, schema, copied))
    for piece in pieces:
        piece.part.path.unlink(missing_ok=True)
    sync_folder(table.folder / FRESH)


def copied_rows(pieces: Sequence[Piece], schema: pa.Schema, kept: ds.Expression | None = None) -> Iterator[pa.Table]:
    """The rows of some files, in portions; all of them, or those that are kept."""
    for piece in pieces:
        for batch in piece.fragment.to_batches(schema=schema, filter=kept):
            yield pa.Table.from_batches([batch], schema)


def _clear(table: Table) -> None:
    """Delete what a crash left between a copy and its deletions: fresh files whose rows another file holds."""
    living = {part.name for part in parts(table.folder)}
    for left in part_names(table.folder) - living:
        if left.startswith(FRESH):
            (table.folder / left).unlink(missing_ok=True)
