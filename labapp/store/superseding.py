"""What becomes of what an earlier attempt wrote, when a later one begins again at an earlier step?

It is set aside, in `_superseded/` of the same folder, and never erased: rows of every table from that step on,
checkpoints and probes after it. The later attempt writes them anew.
"""

import re
from pathlib import Path

from labapp.store.files import files, sync_folder, write_whole
from labapp.store.parquet import last_step, write_tables
from labapp.store.publishing import copied_rows
from labapp.store.table import Piece, Table

ASIDE = "_superseded"
_STEP = re.compile(r"step-(\d{8,})\.")  # in the name of a checkpoint or probe


def set_rows_aside(table: Table, step: int, attempt: int) -> None:
    """Set the rows of earlier attempts from a step on aside; a table without steps keeps them all.

    Rows are copied before their file is written anew without them, and the last file comes first: whenever this is
    interrupted, the table holds the steps up to one of them, and what was set aside is whole.
    """
    for piece in reversed(table.pieces()):
        last = last_step(piece.fragment)
        if piece.part.last[0] < attempt and last is not None and last >= step:
            _cut(table.folder, piece, step, attempt)


def _cut(folder: Path, piece: Piece, step: int, attempt: int) -> None:
    import pyarrow.compute as pc

    aside = folder / ASIDE / f"{piece.part.path.stem}.attempt-{attempt:02d}.parquet"
    aside.parent.mkdir(exist_ok=True)
    schema = piece.fragment.physical_schema
    over, kept = pc.field("step") >= step, pc.field("step") < step
    write_whole(aside, lambda file: write_tables(file, schema, copied_rows([piece], schema, over)))
    write_whole(piece.part.path, lambda file: write_tables(file, schema, copied_rows([piece], schema, kept)))


def set_files_aside(folder: Path, step: int, attempt: int) -> None:
    """Set checkpoints or probes after `step` aside, those of the latest step first; those of `step` itself stay."""
    found = [(int(match[1]), match.string) for match in filter(None, map(_STEP.search, files(folder)))]
    later = sorted((each for each in found if each[0] > step), reverse=True)
    if later:
        aside = folder / ASIDE / f"attempt-{attempt:02d}"
        aside.mkdir(parents=True, exist_ok=True)
        for _, name in later:
            (folder / name).replace(aside / name)
        sync_folder(aside)
        sync_folder(folder)
