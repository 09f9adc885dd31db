"""How does a writer know that a run is still its own, and a reader that its writer is gone?

It holds a lock as long as it lives, which the system lifts when its process dies. On a disk that knows no locks, or
where another machine gave the run up for lost, the token of the latest attempt in run.json tells: a writer that finds
another's there has lost the run and writes nothing more. On a disk of this machine a lock that nobody holds tells at
once that its writer is gone, also where its process cannot be looked up: before the last boot, in another container.
"""

import contextlib
import functools
import json
import os
import secrets
from pathlib import Path

import psutil
from filelock import FileLock, Timeout, lock_descriptor

from labapp.config import LabError, is_remote

LOCK = ".writer.lock"
LOCAL = {  # kinds of disks that belong to one machine at a time, so that its locks are all there are
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "bcachefs", "tmpfs", "overlay"),
    *("apfs", "hfs", "ufs"),
}  # fmt: skip
_HELD: dict[Path, FileLock] = {}  # by this process; a writer that was dropped without an end is followed by another


class Lease:
    """The right to write one run.

    Attributes:
        path: Its folder.
        token: Of the attempt that writes.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.token = path, secrets.token_hex(8)
        self._key = path.resolve()
        self._begun = False
        self._seen: tuple[int, ...] | None = None

    def claim(self, new: Path) -> None:
        """Makes the run this writer's where it is to be, before its folder gets its name; on a disk that is one act."""

    def give_up(self) -> None:
        """Takes back what `claim` did."""

    def take(self) -> None:
        """Takes the lock.

        Raises:
            LabError: where another process has it.
        """
        self._begun = True
        lock = _HELD.get(self._key) or FileLock(self.path / LOCK, thread_local=False)
        try:
            if not lock.is_locked:
                lock.acquire(blocking=False)
            _HELD[self._key] = lock
        except Timeout:
            raise LabError(f"run '{self.path.name}' is being written by another process; stop it first") from None
        except (NotImplementedError, OSError):  # a disk without locks
            pass

    def saved(self) -> None:
        """Notes that run.json was written by this writer."""
        if self._begun:
            self._seen = self._look()

    def require(self) -> None:
        """Asks whether the run is still this writer's.

        Raises:
            LabError: if another has taken it over, or it is gone.
        """
        if not self._begun:
            return  # its folder is not there yet
        try:
            seen = self._look()
            if seen == self._seen:
                return
            attempts = json.loads((self.path / "run.json").read_bytes()).get("attempts") or [{}]
        except FileNotFoundError:
            raise LabError(f"{self.path} is no run any more; what was not written yet stays in memory") from None
        if attempts[-1].get("token") != self.token:
            by = f"process {attempts[-1].get('pid')} on {attempts[-1].get('host')}"
            raise LabError(f"run '{self.path.name}' was taken over by {by}; this writer writes nothing more into it")
        self._seen = seen

    @property
    def held(self) -> bool:
        """Whether the run is still this writer's."""
        try:
            self.require()
        except (LabError, OSError):
            return False
        return True

    @property
    def due(self) -> bool:
        """Whether what was written is sent somewhere next, so that it had better be few files."""
        return False

    def release(self) -> str:
        """Gives the lock back, and leaves no file behind; who waits for the old one still has the token to go by.

        Returns:
            What is still to be done, in a sentence; "" for nothing.
        """
        lock = _HELD.pop(self._key, None)
        if lock is not None:
            with contextlib.suppress(OSError):  # a disk that refuses: the lock is lifted, its empty file stays
                (self.path / LOCK).unlink(missing_ok=True)
            lock.release()
        return ""

    def _look(self) -> tuple[int, ...]:
        about = (self.path / "run.json").stat()
        return about.st_ino, about.st_mtime_ns, about.st_size


def lease_on(path: Path) -> Lease:
    """The lease on a run's folder, or on a run that is elsewhere."""
    if is_remote(path):
        from labapp.store.remote.sending import RemoteLease

        return RemoteLease(path)
    return Lease(path)


def is_left(path: Path) -> bool:
    """Whether a run that says it is being written has certainly no writer any more; False where that is unknown.

    Looking takes the lock for a moment where nobody has it, and changes no file.
    """
    try:
        if not _is_local(str(path.resolve().parent)):
            return False
        handle = os.open(path / LOCK, os.O_RDONLY)  # not there: an older lab, or a writer that is about to take it
    except OSError:
        return False
    try:
        return lock_descriptor(handle, blocking=False)
    except (NotImplementedError, OSError):
        return False
    finally:
        os.close(handle)


@functools.lru_cache(maxsize=64)
def _is_local(folder: str) -> bool:
    """Whether a folder lies on a disk of this machine alone."""
    around = [disk for disk in psutil.disk_partitions(all=True) if Path(folder).is_relative_to(disk.mountpoint)]
    return bool(around) and max(around, key=lambda disk: len(disk.mountpoint)).fstype.lower() in LOCAL
