"""Which files of a run are the same here and in the store, as far as this machine knows?

A file is what it was when it was sent or fetched as long as its time and size are; so what a writer added since is told
from what it took away, and a file that was thrown out of the cache from one that was deleted.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from labapp.store.files import alone, write_whole
from labapp.store.lease import LOCK

FOLDER = ".remote"  # in a run's folder, and in the archive's: what is known, and what is on its way
UNSENT = ".unsent"  # a file in a run's folder: what lies here is newer than what the store has
_FILE = "known.json"
_OURS = (FOLDER, UNSENT, LOCK)


class Known:
    """Keys below a folder -> the tag in the store, and the time and size of the file here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, tuple[str, int, int]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            said = json.loads((folder / FOLDER / _FILE).read_bytes())
            self.files = {key: (str(tag), int(time), int(size)) for key, (tag, time, size) in said.items()}

    def tag(self, key: str) -> str:
        """The tag of what lies here unchanged; "" for another or none."""
        tag, *seen = self.files.get(key, ("",))
        return tag if tag and seen == list(look(self.folder / key)) else ""

    def is_newer(self, key: str) -> bool:
        """Whether what lies here was changed here since, and not sent."""
        return key in self.files and look(self.folder / key) not in ((-1, -1), self.files[key][1:])

    def add(self, key: str, tag: str) -> None:
        """The file here is what the store has under this tag."""
        self.files[key] = (tag, *look(self.folder / key))

    def save(self) -> None:
        """Keep it for whoever looks next."""
        said = json.dumps(self.files).encode()
        write_whole(self.folder / FOLDER / _FILE, lambda file: file.write(said))


def look(path: Path) -> tuple[int, int]:
    """Time and size of a file; (-1, -1) where it is not there."""
    try:
        about = path.stat()
    except OSError:
        return -1, -1
    return about.st_mtime_ns, about.st_size


@contextlib.contextmanager
def known(folder: Path) -> Iterator[Known]:
    """What is known of a folder, for one at a time, and kept at the end of the block."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    with alone(folder / FOLDER):
        found = Known(folder)
        before = dict(found.files)
        try:
            yield found
        finally:
            if found.files != before:
                found.save()


def own_files(folder: Path) -> dict[str, Path]:
    """All files of a run that belong into the store, in the order in which they were written, by their keys."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _OURS]
        for name in names:
            path = Path(place, name)
            if name not in _OURS and not name.endswith(".tmp"):
                with contextlib.suppress(OSError):  # gone meanwhile
                    found.append((path.stat().st_mtime_ns, path.relative_to(folder).as_posix(), path))
    return {key: path for _, key, path in sorted(found)}
