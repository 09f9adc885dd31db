"""How does what a store holds come to lie in a folder of this machine, when it is read?

    <archive>/.runs/<id>/run.json, labels.json     copies, so that two requests tell what is new of a thousand runs
    <archive>/<id>/…                               the run, as it lies in any archive

Of a listing the small files come, of a run's tables those that are opened, of its checkpoints the one that is loaded. A
run that this machine is writing, or could not send yet, lies here as it is and is not asked for.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import zlib
from pathlib import Path

from labapp.config import LabError, address_of, archive_of, is_read_only
from labapp.store.remote.known import FOLDER, UNSENT, Known, known, look
from labapp.store.remote.objects import NOTHING_THERE, Objects, OutdatedError, Stored, objects_at
from labapp.store.remote.room import keep_bounded

MARKS = ".runs"
LARGE = ("checkpoints", "_resume")  # folders whose files come one by one
AGE = 10.0  # seconds for which a listing of the archive is believed by what reads its runs
OF_RUN = 60.0  # and one of a run that has ended, as far as the archive's listing tells
AGAIN = 10  # times a folder is listed anew because something in it was merged meanwhile
FRESH = "_fresh"


class Mirror:
    """An archive elsewhere, and the folder of this machine that stands for it; for several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = address_of(root)[0]
        self._lock = threading.RLock()
        self._objects: Objects | None = None
        self._refreshed = self._failed = -float("inf")
        self._there: dict[str, tuple[float, tuple[int, int] | None, dict[str, Stored]]] = {}  # when, of which run.json

    @property
    def objects(self) -> Objects:
        """What the store holds."""
        if self._objects is None:
            self._objects = objects_at(self.address)
        return self._objects

    def refresh(self, age: float = 0.0) -> None:
        """Bring which runs there are, their run.json and labels up to date, unless that was done a moment ago.

        Raises:
            LabError: The store cannot be asked.
        """
        with self._lock:
            now = time.monotonic()
            if now - max(self._refreshed, self._failed if age else self._refreshed) < age:
                return
            try:
                self._refresh()
                self._refreshed = time.monotonic()
            except LabError:
                self._failed = time.monotonic()
                raise

    def _refresh(self) -> None:
        here = set(_folders(self.root))  # first: what is made meanwhile is not taken for removed
        marks = self.objects.listed(f"{MARKS}/")
        there = [name for name in self.objects.folders() if name[:1] not in ("", ".", "_")]
        marked = {key.split("/")[1] for key in marks if key.endswith("/run.json")}
        if not there and not here:
            return
        self.root.mkdir(parents=True, exist_ok=True)
        with known(self.root) as sure:
            wanted = {}
            for name in there:
                if (self.root / name / UNSENT).exists():
                    continue
                if name not in marked:
                    self._adopt(name, sure)
                for file in ("run.json", "labels.json"):
                    stored, key = marks.get(f"{MARKS}/{name}/{file}"), f"{name}/{file}"
                    if stored is None and file == "labels.json":
                        self._drop(sure, key)
                    elif (
                        stored is not None
                        and stored.tag != sure.tag(key)
                        and not (file != "run.json" and sure.is_newer(key))
                    ):
                        (self.root / name).mkdir(exist_ok=True)
                        wanted[f"{MARKS}/{key}"] = self.root / key
            for mark, tag in self.objects.fetch(wanted).items():
                self._dated(sure, mark.removeprefix(f"{MARKS}/"), tag, marks[mark].time)
            for name in here - {*there}:
                if not (self.root / name / UNSENT).exists():
                    self._forget(name, sure)

    def _adopt(self, name: str, sure: Known) -> None:
        """A run that was copied there by hand gets its mark; where that is forbidden, it is asked each time."""
        said = self.objects.look(key := f"{name}/run.json")
        if said is None or said.tag == sure.tag(key):
            return
        (self.root / name).mkdir(exist_ok=True)
        for tag in self.objects.fetch({key: self.root / key}).values():
            self._dated(sure, key, tag, said.time)
        if not is_read_only():
            with contextlib.suppress(LabError, OutdatedError):
                self.objects.put(f"{MARKS}/{key}", self.root / key, NOTHING_THERE)

    def _dated(self, sure: Known, key: str, tag: str, when: float) -> None:
        """A file that was fetched is as old as its object: the time of run.json is a sign of life."""
        os.utime(sure.folder / key, (when, when))
        sure.add(key, tag)

    def _drop(self, sure: Known, key: str) -> None:
        if sure.files.pop(key, None):
            (sure.folder / key).unlink(missing_ok=True)

    def _forget(self, name: str, sure: Known) -> None:
        for key in [key for key in sure.files if key.startswith(f"{name}/")]:
            del sure.files[key]
        self._there.pop(name, None)
        shutil.rmtree(self.root / name, ignore_errors=True)

    def is_own(self, name: str) -> bool:
        """Whether what lies here of a run is newer than what the store has."""
        return (self.root / name / UNSENT).exists()

    def objects_of(self, name: str, anew: bool = False) -> dict[str, Stored]:
        """The objects of a run by their keys in its folder, listed anew when it has changed or that is a while ago."""
        with self._lock:
            written = look(self.root / name / "run.json")
            when, of, there = self._there.get(name, (-float("inf"), None, {}))
            if anew or of != written or time.monotonic() - when > OF_RUN:
                listed = self.objects.listed(f"{name}/")
                there = {key.removeprefix(f"{name}/"): stored for key, stored in listed.items()}
                self._there[name] = time.monotonic(), written, there
                with contextlib.suppress(OSError):  # read just now: it leaves the cache after others
                    os.utime(self.root / name / FOLDER)
            return there

    def bring_run(self, name: str) -> None:
        """Bring what a run's run.json and labels say up to date, and make its folders.

        Raises:
            LabError: The store cannot be asked, and nothing of the run is here.
        """
        if self.is_own(name):
            return
        here = (self.root / name / "run.json").exists()
        try:
            self.refresh(AGE if here else 0.0)
        except LabError:
            if not here:
                raise

    def make_folders(self, name: str) -> None:
        """Make the folders that a run has in the store."""
        if not self.is_own(name) and (self.root / name).is_dir():
            for key in self.objects_of(name):
                if "/" in key:
                    (self.root / name / key).parent.mkdir(parents=True, exist_ok=True)

    def bring_folder(self, name: str, below: str) -> list[str]:
        """Bring the files of one folder of a run, unless they are large; the names of those that stay away."""
        if self.is_own(name):
            return []
        table = below.removesuffix(f"/{FRESH}")
        if table.split("/")[0] in LARGE:
            there = self.objects_of(name)
            return [key.rpartition("/")[2] for key in there if key.rpartition("/")[0] == below]
        with self._lock:
            for attempt in range(AGAIN):
                there = self.objects_of(name, anew=attempt > 0)
                ours = {key for key in there if key.rpartition("/")[0] in (table, f"{table}/{FRESH}")}
                if self._bring(name, ours, there, (f"{table}/", f"{table}/{FRESH}/")):
                    return []
        raise LabError(f"{self.address}/{name}/{table} changes faster than it can be read; try again")

    def bring_file(self, name: str, key: str) -> None:
        """Bring one file of a run."""
        if not self.is_own(name):
            there = self.objects_of(name)
            self._bring(name, {key} & there.keys(), there, ())

    def bring_whole(self, name: str) -> None:
        """Bring all files of a run, to go on with it or to mend it.

        Raises:
            LabError: The store cannot be asked, or somebody else is changing the run.
        """
        if not self.is_own(name):
            self.make_folders(name)
            there = self.objects_of(name, anew=True)
            if not self._bring(name, {key for key in there if key not in ("run.json", "labels.json")}, there, ()):
                raise LabError(f"{self.address}/{name} is being changed by somebody else; try again")

    def _bring(self, name: str, keys: set[str], there: dict[str, Stored], within: tuple[str, ...]) -> bool:
        """Bring files, then delete those beside them that the store has no more; whether all of them came."""
        folder = self.root / name
        with known(folder) as sure:
            wanted = {key: folder / key for key in keys if sure.tag(key) != there[key].tag and not sure.is_newer(key)}
            for path in wanted.values():
                path.parent.mkdir(parents=True, exist_ok=True)
            came = self.objects.fetch({f"{name}/{key}": path for key, path in wanted.items()})
            for key, tag in came.items():
                sure.add(key.removeprefix(f"{name}/"), tag)
            if len(came) < len(wanted):
                return False
            for key in [key for key in sure.files if f"{key.rpartition('/')[0]}/" in within and key not in keys]:
                self._drop(sure, key)
        keep_bounded(sum(there[key].size for key in wanted), folder)
        return True

    def mark_of(self, name: str, below: str) -> str | None:
        """A string that changes with the files of a folder, without bringing them; None where it lies here as it is."""
        if self.is_own(name):
            return None
        ours = {key: stored for key, stored in self.objects_of(name).items() if key.startswith(f"{below}/")}
        return (
            f"{below}:{zlib.crc32(repr(sorted((key, each.tag) for key, each in ours.items())).encode()):x}"
            if ours
            else ""
        )

    def sizes(self, name: str) -> dict[str, int] | None:
        """Bytes of each object of a run; None where it lies here as it is."""
        return None if self.is_own(name) else {key: stored.size for key, stored in self.objects_of(name).items()}

    def remove(self, name: str) -> None:
        """Delete a run in the store: first the mark by which it is listed."""
        self.objects.remove([*self.objects.listed(f"{MARKS}/{name}/")])
        self.objects.remove([*self.objects.listed(f"{name}/")])
        self._there.pop(name, None)


def _folders(root: Path) -> list[str]:
    try:
        with os.scandir(root) as there:
            return [entry.name for entry in there if entry.name[0] not in "._" and entry.is_dir()]
    except OSError:
        return []


_mirrors: dict[tuple[int, Path], Mirror] = {}


def mirror_of(path: Path) -> Mirror:
    """The mirror in which a folder or file lies."""
    key = os.getpid(), archive_of(path)
    return _mirrors.setdefault(key, Mirror(key[1]))
