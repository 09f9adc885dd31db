"""Which runs lie in an archive, told without reading each of them?

    listing = look("runs")                  # one small read, and a look at the times of each run's file
    listing.entries[0].id, listing.entries[0].status

What was read once stands in `.index.parquet` at the archive's root, and in memory. Both are caches: a run whose
run.json has another inode, time or size is read again. Without the file, or with one that is damaged or of another
version of the lab, each is read. Where nothing may be written there is memory alone.
"""

import contextlib
import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq

import labapp
from labapp.config import Experiment, LabError, is_read_only, is_remote, place, shown
from labapp.store import remote
from labapp.store.display import listing_card
from labapp.store.entries import COLUMNS, NEVER, Entry, Seen, as_table, entry_of, from_table, labelled, look_at
from labapp.store.labels import FILE as LABELS
from labapp.store.parquet import UNREADABLE, require_bounded, verify, write_table
from labapp.store.run import Run

FILE = ".index.parquet"
LARGEST = 2**30  # bytes of it
WORTH = 50  # runs that were read, in which case it is written anew: fewer are read again in a moment
ARCHIVES = 8  # that are kept in memory
AGE = 2.0  # seconds for which a page believes at most what was found; its parts look at different moments
SHARE = 20  # and at most so many times what looking took: a small archive is looked at again at once
WHOLE = 10.0  # seconds after which a page looks at every run again; until then at those that are written, and new ones
REST = 100  # and at most so many times what that took
_MADE_BY = hashlib.sha256(
    json.dumps([labapp.__version__, *Experiment.model_fields, *COLUMNS.names]).encode()
).hexdigest()


@dataclass(frozen=True, eq=False, repr=False)
class Listing:
    """What lies in an archive at one moment.

    Attributes:
        root: The archive's folder.
        entries: Its runs, newest first.
        broken: The folders that cannot be read as runs, each with the reason.
        who: Another object whenever runs came or went, or one got another name: a key for what depends on that alone.
        standing: The same, also when a run's status changed.
    """

    root: Path
    entries: tuple[Entry, ...]
    broken: tuple[tuple[Path, str], ...]
    who: object
    standing: object

    @classmethod
    def empty(cls, root: Path) -> "Listing":
        """Of a folder that is not there yet."""
        return cls(root, (), (), "nobody", "nobody")

    @cached_property
    def by_id(self) -> Mapping[str, Entry]:
        """The runs by their ids."""
        return {entry.id: entry for entry in self.entries}

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The runs for reading, newest first; what stands in their run.json is read when it is asked for."""
        return tuple(map(self.run, self.entries))

    def run(self, entry: Entry) -> Run:
        """One of them."""
        return Run.of(self.root / entry.id, entry.experiment)

    _repr_html_ = listing_card  # in a notebook

    def __repr__(self) -> str:
        broken = f", {len(self.broken)} that cannot be read" if self.broken else ""
        return f"Listing({os.fspath(self.root)!r}: {len(self.entries)} runs{broken})"


def look(root: str | Path, age: float = 0.0) -> Listing:
    """What lies in an archive now, or was found there less than `age` seconds ago, and a moment where looking is quick.

    Raises:
        LabError: There is no archive, or it cannot be read.
    """
    root = place(root)
    fault = _refreshed(root, age) if is_remote(root) else ""
    key = (root, root.absolute())
    with _keeping:
        archive = _archives.pop(key, None) or _Archive(root)
        _archives[key] = archive  # the latest stands last
        while len(_archives) > ARCHIVES:
            _archives.popitem(last=False)
    found = archive.look(age)
    return replace(found, broken=((root, fault), *found.broken)) if fault else found


def is_there(root: str | Path) -> bool:
    """Whether there is an archive.

    Raises:
        LabError: It is elsewhere, and that cannot be asked.
    """
    root = place(root)
    if is_remote(root):
        remote.refresh(root, 0.0)
    return root.exists()


def _refreshed(root: Path, age: float) -> str:
    """Bring an archive that is elsewhere up to date; why that did not go, where a page has what was there before."""
    try:
        remote.refresh(root, age)
    except LabError as error:
        if not age or not root.is_dir():
            raise
        return f"{error}; what is shown was there before"
    return ""


def forget(root: str | Path) -> None:
    """Look again the next time, whatever age would do: something was changed just now."""
    for (_, absolute), archive in list(_archives.items()):
        if absolute == place(root).absolute():
            archive.looked = archive.whole = -float("inf")


@dataclass
class _Archive:
    """What is known of one archive."""

    root: Path
    looked: float = -float("inf")
    whole: float = -float("inf")  # when every run was looked at
    took: float = 0.0  # seconds, for every run
    folder: Seen = NEVER  # the archive's: another when a run came or went
    there: Mapping[str, bool] = field(default_factory=dict)
    rows: dict[str, Entry] = field(default_factory=dict)
    listing: Listing | None = None
    unsaved: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    opened: bool = False

    def look(self, age: float) -> Listing:
        with self.lock:
            began = time.monotonic()
            if self.listing is not None and began - self.looked < min(age, SHARE * self.took):
                return self.listing
            folder = look_at(os.fspath(self.root))
            resting = age > 0 and began - self.whole < min(WHOLE, REST * self.took)
            if self.listing is not None and resting and folder == self.folder:
                self.listing = self._refresh(every=False)
                self.looked = time.monotonic()
                return self.listing
            self.folder, self.there = folder, run_folders(self.root)
            if not self.opened:
                self.rows, self.opened = _load(self.root), True
            self.listing = self._refresh(every=True)
            self.looked = self.whole = time.monotonic()
            self.took = self.looked - began
            return self.listing

    def _refresh(self, every: bool) -> Listing:
        before = self.rows
        now: dict[str, Entry] = {}
        same = True  # who the runs are
        for name, linked in self.there.items():
            old = before.get(name)
            if not every and old is not None and old.written != "running":
                now[name] = old
                continue
            entry = self._entry(name, linked, old)
            now[name] = entry
            if entry is not old:
                same = same and old is not None and _who(old) == _who(entry)
                if old is None or (old.seen, old.labels_seen) != (entry.seen, entry.labels_seen):
                    self.unsaved.add(name)
        gone = before.keys() - now.keys()
        self.unsaved |= gone
        self.rows = now
        listing = self.listing
        if listing is None or gone or any(now[name] is not before.get(name) for name in now):
            listing = self._listed(same and not gone)
        if len(self.unsaved) >= WORTH and not is_read_only():
            self.unsaved.clear()
            _save(self.root, list(now.values()))
        return listing

    def _entry(self, name: str, linked: bool, old: Entry | None) -> Entry:
        folder = f"{os.fspath(self.root)}/{name}"
        seen, labels = look_at(f"{folder}/run.json"), look_at(f"{folder}/{LABELS}")
        if old is None or seen == NEVER or old.seen != seen:
            old = _read(Path(folder), old)
        if not old.problem and old.labels_seen != labels:
            old = labelled(old, Path(folder), labels)
        if old.linked != linked:
            old = replace(old, linked=linked)
        return old if old.problem else old.known(self.root)

    def _listed(self, same: bool) -> Listing:
        runs = [entry for entry in self.rows.values() if not entry.problem]
        runs.sort(key=lambda entry: (entry.created, entry.id), reverse=True)
        broken = [(self.root / entry.id, entry.problem) for entry in self.rows.values() if entry.problem]
        old = self.listing
        who = old.who if old is not None and same else object()
        stand = [(entry.id, entry.status) for entry in runs]
        stood = [(entry.id, entry.status) for entry in old.entries] if old is not None else None
        standing = old.standing if old is not None and stand == stood else object()
        return Listing(self.root, tuple(runs), tuple(broken), who, standing)


_archives: OrderedDict[tuple[Path, Path], _Archive] = OrderedDict()
_keeping = threading.Lock()


def _who(entry: Entry) -> tuple[object, ...]:
    return entry.problem == "", entry.created, entry.labels.name, entry.experiment


def _read(folder: Path, old: Entry | None) -> Entry:
    """Read a run's run.json."""
    try:
        run = Run(folder)
        record = run.record
        entry = entry_of(record, folder.name, run.seen)
    except LabError as error:
        again = isinstance(error.__context__, OSError)  # a permission is given without a trace in the file
        return Entry(folder.name, NEVER if again else look_at(f"{folder}/run.json"), problem=str(error))
    if old is not None and not old.problem:
        same = old.experiment if old.experiment == entry.experiment else entry.experiment  # one object, less memory
        return replace(entry, experiment=same, labels=old.labels, labels_seen=old.labels_seen)
    return entry


def run_folders(root: str | Path) -> dict[str, bool]:
    """The folders that may be runs, sorted, and whether each is a link.

    Raises:
        LabError: There is no archive, or it cannot be read.
    """
    found = {}
    try:
        with os.scandir(root) as there:
            for entry in there:
                with contextlib.suppress(OSError):  # a link that leads round in a circle
                    if entry.name[0] not in "._" and entry.is_dir():
                        found[entry.name] = entry.is_symlink()
    except FileNotFoundError:
        raise LabError(
            f"there is no archive at {shown(root)}; `labapp starter` makes one, --root names another"
        ) from None
    except NotADirectoryError:
        raise LabError(f"{root} is a file, not an archive; --root names a folder of runs") from None
    except OSError as error:
        raise LabError(f"the archive {root} cannot be read: {error.strerror}") from None
    return dict(sorted(found.items()))


def _load(root: Path) -> dict[str, Entry]:
    """What an index says; nothing where there is none to be believed."""
    path = root / FILE
    try:
        if not 0 < path.stat().st_size <= LARGEST:
            return {}
        verify(path)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if (file.schema_arrow.metadata or {}).get(b"made_by") != _MADE_BY.encode():
                return {}
            require_bounded(file.metadata)
            table = file.read()
        return {entry.id: entry for entry in from_table(table)}
    except (*UNREADABLE, ValueError, TypeError, KeyError, RecursionError):
        return {}


def _save(root: Path, entries: Sequence[Entry]) -> None:
    """Write the index; where that cannot be done, nothing is lost but time."""
    with contextlib.suppress(*UNREADABLE, ValueError):
        write_table(as_table(list(entries)).replace_schema_metadata({"made_by": _MADE_BY}), root / FILE)
