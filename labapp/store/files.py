"""How does a file appear on disk whole, or not at all?"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import lock_descriptor

from labapp.config import LabError


def write_whole(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Let `path` appear on disk with all that `fill` writes, or leave what is there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())  # the contents before the name, else a power cut leaves the name of nothing
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


def files(folder: Path) -> list[str]:
    """The names of the files in a folder, without those being written; none when the folder is not there."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_file() and entry.name[0] != ".")
    except OSError:
        return []


def folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, without hidden ones; none when the folder is not there."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] not in "._")
    except OSError:
        return []


def clear_temporary(folder: Path) -> None:
    """Delete what a killed process had begun to write."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time in: wait until no other holds the folder, hold it, and let it go at the end.

    The lock is on the folder itself, so no file is left behind, and the system lifts it when its holder dies.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        lock_descriptor(handle)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Say a disk's refusal in one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise LabError(f"cannot write to {path}: {reason}; mend that place, or name another with --root") from error


def first_line(error: object) -> str:
    """What an error says, without the rest of what it says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
