"""How do many small files of a table become one, without a reader noticing?"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from labapp.store.files import write_whole
from labapp.store.parquet import write_tables
from labapp.store.parts import part_name, part_names, parts
from labapp.store.table import Piece, Table

MERGE = 64  # so many single parts become one, else a day's run is 40,000 files


def merge(table: Table, attempt: int) -> None:
    """Make one file of an attempt's single parts. A table with damaged or missing parts stays as it is."""
    single = [
        piece for piece in table.pieces() if piece.part.first == piece.part.last and piece.part.last[0] == attempt
    ]
    if len(single) > 1 and not table.problems:  # what is damaged stays as it is, for whoever can mend it
        _replace(table, part_name(attempt, single[0].part.first[1], single[-1].part.last[1]), single)


def compact(table: Table) -> None:
    """Make one file of all parts; rows of a superseded attempt are first set aside in `_superseded/`."""
    pieces = table.pieces()
    if not pieces or table.problems:
        return
    last = pieces[-1].part
    name = f"all-{last.last[0]:02d}-{last.last[1]:06d}.parquet"
    superseded = [(piece.fragment, ds.field("step") >= piece.until) for piece in pieces if piece.until is not None]
    if superseded:
        aside = table.folder / "_superseded"
        aside.mkdir(exist_ok=True)
        _copy(aside / name, table.schema(pieces), superseded)
    if last.path.name != name:
        _replace(table, name, pieces)
    living = {part.path.name for part in parts(table.folder)}
    for left in part_names(table.folder) - living:  # by a crash between a merge and its deletions
        (table.folder / left).unlink(missing_ok=True)


def _replace(table: Table, name: str, pieces: Sequence[Piece]) -> None:
    """Copy the rows that count into one file, then delete the files they were in."""
    _copy(table.folder / name, table.schema(pieces), [(piece.fragment, piece.kept) for piece in pieces])
    for piece in pieces:
        piece.part.path.unlink(missing_ok=True)


def _copy(path: Path, schema: pa.Schema, chosen: Sequence[tuple[ds.ParquetFileFragment, ds.Expression | None]]) -> None:
    tables = (
        pa.Table.from_batches([batch], schema)
        for fragment, limit in chosen
        for batch in fragment.to_batches(schema=schema, filter=limit)
    )
    write_whole(path, lambda file: write_tables(file, schema, tables))
