"""How does a growing table lie in a folder so that nobody ever reads it half-written?

As Parquet files that appear whole and never change:

    part-01-000007.parquet             what attempt 1 flushed as its eighth part
    part-01-000000-000063.parquet      its parts 0 to 63, merged
    all-02-000012.parquet              everything up to part 12 of attempt 2, compacted

A file that covers others supersedes them: it is renamed into place first and they are deleted afterwards, so a reader
finds each row once, whenever it looks. Where a later attempt begins again at an earlier step, its rows count and those
of the attempt before are set aside (in `_superseded/`, which no Parquet reader takes for a part), never deleted.
"""

import re
from pathlib import Path
from typing import NamedTuple

from labapp.store.files import files

_NAME = re.compile(r"(?:part-(\d+)-(\d+)(?:-(\d+))?|all-(\d+)-(\d+))\.parquet")


class Part(NamedTuple):
    """A file and the parts whose rows it holds: from (attempt, number) to (attempt, number), both included."""

    first: tuple[int, int]
    last: tuple[int, int]
    path: Path


def part_name(attempt: int, first: int, last: int | None = None) -> str:
    """The name of part number `first` of an attempt, or of its parts from `first` to `last` merged into one file."""
    return f"part-{attempt:02d}-{first:06d}{'' if last is None else f'-{last:06d}'}.parquet"


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
    """The names of all files that hold rows, including those whose rows another file holds too."""
    return {name for name in files(folder) if _NAME.fullmatch(name)}


def _part(path: Path) -> Part:
    match = _NAME.fullmatch(path.name)
    attempt, first, last, all_attempt, all_last = (int(word or -1) for word in (match.groups() if match else ()))
    if all_attempt >= 0:
        return Part((0, 0), (all_attempt, all_last), path)
    return Part((attempt, first), (attempt, max(first, last)), path)


def _place(part: Part) -> tuple[tuple[int, int], int, int]:
    """A sort key: in the order written, and a file that covers others before them."""
    return part.first, -part.last[0], -part.last[1]
