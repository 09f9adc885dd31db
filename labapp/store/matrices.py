"""What does a table of layers say, as matrices of step × layer?

A run of 10,000 recorded steps has millions of rows, nearly all of them the same words again. As matrices a quantity of
it is read in a tenth of the time and of the memory, and what was added since costs what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from labapp.config import LabError
from labapp.store import parquet
from labapp.store.table import AGAIN, Piece, Table, unchanged

UNKNOWN = -1

Place = tuple[str, int]  # a layer by its name and depth: one that was replaced may stand elsewhere


class Matrices(NamedTuple):
    """A table with the columns step, layer and depth.

    Attributes:
        steps: (T,) ascending.
        places: The n layers, in the order in which they first appear.
        columns: (T, n) float32 by column; NaN where there is no row, or no value in it.
        there: (T, n) whether there is a row.
        rows: Of the whole table, also where only the last steps were read; UNKNOWN where a later attempt's replace
            some.
    """

    steps: NDArray[np.int64]
    places: list[Place]
    columns: dict[str, NDArray[np.float32]]
    there: NDArray[np.bool_]
    rows: int


def read_matrices(table: Table, columns: Sequence[str], since: int | None = None) -> Matrices:
    """Some quantities of a table, from the step `since` on; of two rows of a step and layer the later one counts.

    Files that cannot be read are left out and named in `table.problems`.
    """
    for _ in range(AGAIN):
        try:
            pieces = table.pieces()
            blocks = [block for piece in pieces if (block := _read(table, piece, columns, since)) is not None]
            for piece in pieces:
                unchanged(piece)
        except FileNotFoundError:  # merged and deleted between the look and the read
            continue
        return _joined(blocks, columns)
    raise LabError(f"{table.folder} changes faster than it can be read; try again")


def _read(table: Table, piece: Piece, columns: Sequence[str], since: int | None) -> Matrices | None:
    try:
        names = set(piece.fragment.physical_schema.names)
        if not {"step", "layer"} <= names:  # of another table, which a reader would not open as one of these
            return None
        with pq.ParquetFile(piece.part.path, read_dictionary=["layer"], page_checksum_verification=True) as file:
            groups = [
                at for at, (_, high) in enumerate(parquet.steps_of_groups(file)) if since is None or high >= since
            ]
            wanted = [name for name in ("step", "layer", "depth", *columns) if name in names]
            return _block(file.read_row_groups(groups, columns=wanted), columns, piece, since)
    except FileNotFoundError:
        raise
    except parquet.UNREADABLE as error:
        unchanged(piece)
        table.note(piece.part, error)
        return None


def _block(found: pa.Table, columns: Sequence[str], piece: Piece, since: int | None) -> Matrices:
    """The rows of one file as matrices."""
    whole = piece.fragment.metadata.num_rows
    step = _whole(found["step"])
    kept: Any = step >= 0
    if piece.until is not None:
        kept &= step < piece.until
    if since is not None:
        kept &= step >= since
    kept = slice(None) if kept.all() else kept
    words = found["layer"].unify_dictionaries().combine_chunks()
    names = [*map(str, words.dictionary.to_pylist()), ""]  # the last is that of no layer
    layer = _whole(words.indices) % len(names)
    depth = _whole(found["depth"]) if "depth" in found.column_names else np.full(len(step), -1)
    step, layer, depth = step[kept], layer[kept], depth[kept]
    span = int(depth.max(initial=0)) + 2
    steps, codes, at = _places(step, layer * span + depth + 1, len(names) * span)

    def spread(rows: NDArray[Any], nothing: Any) -> NDArray[Any]:
        if at is None:
            return rows.reshape(len(steps), len(codes))
        wide = np.full((len(steps), len(codes)), nothing, rows.dtype)
        wide[at] = rows
        return wide

    absent = np.full(len(step), np.nan, np.float32)
    values = {
        name: spread(found[name].to_numpy()[kept].astype(np.float32) if name in found.column_names else absent, np.nan)
        for name in columns
    }
    places = [(names[code // span], int(code % span) - 1) for code in codes]
    return Matrices(
        steps, places, values, spread(np.ones(len(step), bool), False), whole if piece.until is None else UNKNOWN
    )


def _places(
    step: NDArray[np.int64], code: NDArray[np.int64], codes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64]] | None]:
    """The steps, the layers by their codes, and where each row stands among them; None where they fill it in order."""
    # where a new step begins; there are far fewer of them than rows
    begins = np.flatnonzero(np.diff(step, prepend=step[:1] - 1)) if len(step) else np.array([], int)
    steps, place = np.unique(step[begins], return_inverse=True)
    own = code[: begins[1]] if len(begins) > 1 else code
    if len(step) == len(steps) * len(own) and np.array_equal(begins, np.arange(len(steps)) * len(own)):
        table = code.reshape(len(steps), len(own))
        ascending, alike = np.array_equal(steps, step[begins]), (table == own).all()
        if ascending and alike and len(np.unique(own)) == len(own):
            return steps, own, None
    first = np.full(codes, len(step))  # a few hundred different ones: to be looked up, not sorted
    first[code[::-1]] = np.arange(len(step))[::-1]
    there = np.flatnonzero(first < len(step))
    there = there[np.argsort(first[there])]
    column = np.empty(codes, int)
    column[there] = np.arange(len(there))
    return steps, there, (np.repeat(place, np.diff(np.append(begins, [len(step)]))), column[code])


def _whole(numbers: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    return np.asarray(numbers.fill_null(-1).to_numpy(), dtype=np.int64)


def _joined(blocks: Sequence[Matrices], columns: Sequence[str]) -> Matrices:
    if len(blocks) == 1:
        return blocks[0]
    every = np.concatenate([block.steps for block in blocks]) if blocks else np.array([], np.int64)
    rows = [block.rows for block in blocks]
    count = UNKNOWN if UNKNOWN in rows else sum(rows)
    if blocks and (np.diff(every) > 0).all() and all(block.places == blocks[0].places for block in blocks):
        values = {name: np.concatenate([block.columns[name] for block in blocks]) for name in columns}
        return Matrices(every, blocks[0].places, values, np.concatenate([block.there for block in blocks]), count)
    steps = np.unique(every)
    places = list(dict.fromkeys(place for block in blocks for place in block.places))
    column = {place: at for at, place in enumerate(places)}
    there = np.zeros((len(steps), len(places)), bool)
    values = {name: np.full(there.shape, np.nan, np.float32) for name in columns}
    for block in blocks:
        at = np.ix_(np.searchsorted(steps, block.steps), np.array([column[place] for place in block.places], int))
        for name in columns:
            values[name][at] = np.where(block.there, block.columns[name], values[name][at])
        there[at] |= block.there
    return Matrices(steps, places, values, there, count)
