"""How does a growing table lie in a folder so that nobody ever reads it half-written, or a row twice?

As Parquet files that appear whole:

    part-01-000000-000007.parquet          what attempt 1 flushed as its first eight parts
    _fresh/part-01-000008.parquet          its next part, not published yet
    _fresh/part-01-000009-000072.parquet   later ones, merged while they wait

What is beside each other in the folder never overlaps, so any tool that reads its Parquet files reads each row once;
what is fresh is published there from time to time, and when the run ends. A file that covers others supersedes them:
it is renamed into place first and they are deleted afterwards, so `parts` finds each row once, whenever it looks. Where
a later attempt begins again at an earlier step, the rows of the attempt before are set aside (in `_superseded/`).
"""

import re
import zlib
from pathlib import Path
from typing import NamedTuple

from labapp.config import is_remote
from labapp.store.files import files

FRESH = "_fresh"  # no Parquet reader takes a name with _ in front for a part
_NAME = re.compile(r"(?:part-(\d+)-(\d+)(?:-(\d+))?|all-(\d+)-(\d+))\.parquet")  # all-…: by earlier versions of the lab


class Part(NamedTuple):
    """A file and the parts whose rows it holds: from (attempt, number) to (attempt, number), both included."""

    first: tuple[int, int]
    last: tuple[int, int]
    path: Path

    @property
    def fresh(self) -> bool:
        """Whether it waits to be published."""
        return self.path.parent.name == FRESH

    @property
    def name(self) -> str:
        """Its path below the table's folder."""
        return f"{FRESH}/{self.path.name}" if self.fresh else self.path.name


def part_name(attempt: int, first: int, last: int | None = None) -> str:
    """The name of part number `first` of an attempt, or of its parts from `first` to `last` merged into one file."""
    return f"part-{attempt:02d}-{first:06d}{'' if last in (None, first) else f'-{last:06d}'}.parquet"


def parts(folder: Path) -> list[Part]:
    """The files that make the table now, in the order in which their rows were written."""
    before, names = None, part_names(folder)
    while names != before:  # a look while files come and go may miss both the old and the new; two equal ones do not
        before, names = names, part_names(folder)
    kept: list[Part] = []
    for part in sorted(map(_part, (folder / name for name in names)), key=_place):
        if not kept or part.last > kept[-1].last:
            kept.append(part)
    return kept


def part_names(folder: Path) -> set[str]:
    """The paths below the folder of all files that hold rows, including those whose rows another file holds too."""
    fresh = files(folder / FRESH)  # first: what is published between the two looks is then seen twice, not missed
    return {
        *(f"{FRESH}/{name}" for name in fresh if _NAME.fullmatch(name)),
        *(name for name in files(folder) if _NAME.fullmatch(name)),
    }


def mark_of(folder: Path) -> str:
    """A string that changes whenever files come into a table's folder, or go; "" where there is none."""
    if is_remote(folder):
        from labapp.store import remote

        if (mark := remote.mark_of(folder)) is not None:
            return mark
    marks = []
    for part in (folder, folder / FRESH):
        if part.is_dir():
            names = "/".join(files(part))
            marks.append(f"{folder.name}:{part.stat().st_mtime_ns:x}:{zlib.crc32(names.encode()):x}")
    return " ".join(marks)


def _part(path: Path) -> Part:
    match = _NAME.fullmatch(path.name)
    attempt, first, last, all_attempt, all_last = (int(word or -1) for word in (match.groups() if match else ()))
    if all_attempt >= 0:
        return Part((0, 0), (all_attempt, all_last), path)
    return Part((attempt, first), (attempt, max(first, last)), path)


def _place(part: Part) -> tuple[tuple[int, int], int, int, bool]:
    """A sort key: in the order written, a file that covers others before them, and a published one before its copy."""
    return part.first, -part.last[0], -part.last[1], part.fresh
