"""How is an archive read and written that is not on this machine: in S3, or wherever fsspec finds the way?

    labapp train … --root s3://bucket/runs

It is written here first and sent, and fetched before it is read, so what reads and writes runs knows files alone:

    config.addresses   an address -> the folder of this machine that stands for it
    mirror, known      what is read comes: of a list the small files, of a run the tables that are opened
    sending, adding    what is written goes: parts, then run.json, which stands there only if nobody else changed it
    objects, s3        what a store can do; `anywhere` for the others that fsspec knows
    room               copies take no more room than they may

Each function here takes a path of which `is_remote` holds.
"""

from pathlib import Path

from labapp.config import address_of
from labapp.store.remote.adding import agreed, send, send_left
from labapp.store.remote.mirror import AGE, mirror_of

__all__ = [
    "agreed", "bring_file", "bring_folder", "bring_run", "bring_whole", "make_folders", "mark_of", "refresh", "remove",
    "send", "send_left", "sizes",
]  # fmt: skip


def refresh(root: Path, age: float) -> None:
    """Bring which runs an archive has up to date, and what a list says of them.

    Args:
        root: The archive.
        age: Of a page, that looks again and again: not 0, and then it is done every few seconds.

    Raises:
        LabError: The store cannot be asked.
    """
    mirror_of(root).refresh(max(age, AGE) if age else 0.0)


def bring_run(path: Path) -> None:
    """Bring run.json and labels of a run."""
    mirror_of(path).bring_run(_split(path)[0])


def make_folders(path: Path) -> None:
    """Make the folders that a run has in the store; in it nothing else."""
    name, below = _split(path)
    if _is_run(name) and not below:
        mirror_of(path).make_folders(name)


def bring_folder(path: Path) -> list[str]:
    """Bring the files of a folder of a run; the names of those that come one by one."""
    name, below = _split(path)
    return mirror_of(path).bring_folder(name, below) if _is_run(name) and below else []


def bring_file(path: Path) -> None:
    """Bring one file of a run."""
    mirror_of(path).bring_file(*_split(path))


def bring_whole(path: Path) -> None:
    """Bring a run with all its files."""
    mirror_of(path).bring_whole(_split(path)[0])


def mark_of(path: Path) -> str | None:
    """A string that changes with the files in a folder of a run; None where they lie here as they are."""
    return mirror_of(path).mark_of(*_split(path))


def sizes(path: Path) -> dict[str, int] | None:
    """Bytes of each file of a run; None where they lie here as they are."""
    return mirror_of(path).sizes(_split(path)[0])


def remove(path: Path) -> None:
    """Delete a run in the store."""
    mirror_of(path).remove(_split(path)[0])


def _split(path: Path) -> tuple[str, str]:
    """The run in which a file or folder lies, and its path there."""
    name, _, below = address_of(path)[1].partition("/")
    return name, below


def _is_run(name: str) -> bool:
    return name[:1] not in ("", ".", "_")
