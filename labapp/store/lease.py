"""How does a writer know that a run is still its own?

It holds a lock as long as it lives, which the system lifts when its process dies. On a disk that knows no locks, or
where another machine gave the run up for lost, the token of the latest attempt in run.json tells: a writer that finds
another's there has lost the run and writes nothing more.
"""

import contextlib
import json
import secrets
from pathlib import Path

from filelock import FileLock, Timeout

from labapp.config import LabError

LOCK = ".writer.lock"
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

    def release(self) -> None:
        """Gives the lock back, and leaves no file behind; who waits for the old one still has the token to go by."""
        lock = _HELD.pop(self._key, None)
        if lock is not None:
            with contextlib.suppress(OSError):  # a disk that refuses: the lock is lifted, its empty file stays
                (self.path / LOCK).unlink(missing_ok=True)
            lock.release()

    def _look(self) -> tuple[int, ...]:
        about = (self.path / "run.json").stat()
        return about.st_ino, about.st_mtime_ns, about.st_size
