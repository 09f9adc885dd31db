"""How are files written whole, folders listed and locked, and a disk's errors told?"""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import lock_descriptor

from labapp.config import LabError, first_line, is_remote


def write_whole(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write a file so that it appears with all that `fill` writes to it, or not at all; an older one is replaced."""
    with _written(path, fill) as temporary:
        temporary.replace(path)
    sync_folder(path.parent)


def write_new(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """As `write_whole`, of a file that may not be there already: FileExistsError where it is."""
    with _written(path, fill) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a disk without links
            if path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
            temporary.replace(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def _written(path: Path, fill: Callable[[BinaryIO], object]) -> Iterator[Path]:
    """A temporary file beside `path`, written and synced, which does not outlive the block."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("w+b") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())  # the contents before the name, else a power cut leaves the name of nothing
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that files just created, renamed or deleted in it stay so after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def files(folder: Path) -> list[str]:
    """The sorted names of the files in a folder, without hidden ones; empty without the folder.

    Of a run that is elsewhere they come here; but large ones, which `here` brings.
    """
    if is_remote(folder):
        from labapp.store import remote

        away = remote.bring_folder(folder)
        return sorted({*_entries(folder, os.DirEntry.is_file, "."), *away})
    return _entries(folder, os.DirEntry.is_file, ".")


def here(path: Path) -> Path:
    """A file of a run, brought if it is elsewhere."""
    if is_remote(path):
        from labapp.store import remote

        remote.bring_file(path)
    return path


def current(run: Path) -> None:
    """Bring the run.json of a run, if that is elsewhere."""
    if is_remote(run):
        from labapp.store import remote

        remote.bring_run(run)


def sent(path: Path) -> Path:
    """A file that was added to a run, sent if that is elsewhere."""
    if is_remote(path):
        from labapp.store import remote

        remote.send(path)
    return path


def folders(folder: Path) -> list[str]:
    """The sorted names of the folders in a folder, without those with "." or "_" first; empty without the folder."""
    if is_remote(folder):
        from labapp.store import remote

        remote.make_folders(folder)
    return _entries(folder, os.DirEntry.is_dir, "._")


def _entries(folder: Path, of_kind: Callable[[os.DirEntry[str]], bool], hidden: str) -> list[str]:
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # a link that leads round in a circle
                    if entry.name[0] not in hidden and of_kind(entry):
                        found.append(entry.name)
    except OSError:
        return []
    return sorted(found)


def clear_temporary(folder: Path) -> None:
    """Delete the temporary files that a killed process left in a folder or below it."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock a folder for the length of a block, after waiting until nobody else holds its lock.

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
    """Turn an OSError of the block into a LabError that names `path` and the reason."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise LabError(f"cannot write to {path}: {reason}; mend that place, or name another with --root") from error
