"""What was measured of every run of an archive, without a page that waits for it?

    numbers = numbers_of(listing)
    numbers.number(entry, "accuracy"), numbers.missing

One thread for the whole app reads the tables of runs whose numbers are not known yet or have changed, newest first. It
stands back while a page that asked is drawn, rests as long as it works, so that pages stay quick, and much longer while
something trains in that archive. What it found is kept beside the archive's index.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labapp import frames
from labapp.store import NUMBERS, Entry, KeptNumbers, Listing, Run

LIVE = 10.0  # seconds after which a run that is being written is looked at again
PATIENCE = 600.0  # seconds without anybody asking, after which it stops
CALM = 1.5  # seconds after somebody asked, in which the page is drawn and comes to its reader; once a run at most
WORTH = 50  # runs of an archive for which that is done
SAVED = 30.0  # seconds between two times that what is known is written down
WHILE_TRAINING = 20  # times as long a rest as a piece of work
ARCHIVES = 8


class ArchiveNumbers:
    """The numbers of one archive, and what is still to be read of it."""

    def __init__(self, root: Path) -> None:
        self.kept = KeptNumbers(root, NUMBERS)
        self.listing = Listing.empty(root)
        self.wanted = 0.0
        self._read: dict[str, float] = {}  # when a run was last looked at
        self._failed: dict[str, object] = {}  # what cannot be read, as it was when that was found
        self._order: tuple[object, list[Entry]] = None, []
        self._counted: tuple[object, list[Entry]] = None, []
        self._saved = time.monotonic()

    def number(self, entry: Entry, column: str) -> float:
        """One number of a run, NaN where it is not known or there is none."""
        return self.kept.number(entry, column)

    @property
    def missing(self) -> int:
        """How many runs are still to be read, without live ones of which something is known."""
        return len(self.unread)

    @property
    def unread(self) -> set[str]:
        """Their ids."""
        return {entry.id for entry in self._stale() if not (entry.status == "running" and self.kept.of(entry))}

    @property
    def idle(self) -> bool:
        """Whether there is nothing to read now."""
        return not self._stale()

    def _stale(self) -> list[Entry]:
        """What is to be read; looked for at most once a second, as a page asks several times."""
        key = (self.listing, self.version, len(self._failed), int(time.monotonic()))
        if self._counted[0] != key:
            self._counted = key, [entry for entry in self.listing.entries if self._is_missing(entry)]
        return self._counted[1]

    @property
    def version(self) -> int:
        """Another number whenever more is known."""
        return self.kept.changed

    def _is_missing(self, entry: Entry) -> bool:
        if self.kept.is_current(entry) or self._failed.get(entry.id) == entry.seen:
            return False
        known = self.kept.of(entry) is not None
        return not (known and entry.status == "running" and time.monotonic() - self._read.get(entry.id, 0.0) < LIVE)

    def learn(self, entry: Entry, found: Mapping[str, Any]) -> None:
        """Keep the numbers of a run that somebody worked out."""
        self._read[entry.id] = time.monotonic()
        self.kept.keep(entry, {name: found[name] for name in NUMBERS})

    def read_next(self) -> bool:
        """Read one more run; False where none is left."""
        if self._order[0] is not self.listing:
            self._order = self.listing, list(self.listing.entries[::-1])
        left = self._order[1]
        while left:
            entry = left.pop()  # the newest
            if self._is_missing(entry):
                try:
                    self.learn(entry, frames.summary(Run(self.listing.root / entry.id)))
                except Exception:  # whatever a record holds: a page tells of it when the run is chosen
                    self._failed[entry.id] = entry.seen
                if time.monotonic() - self._saved > SAVED:
                    self.save()
                return True
        return False

    def save(self) -> None:
        """Write down what is known, where reading it again would take a while."""
        self._saved = time.monotonic()
        if len(self.listing.entries) >= WORTH:
            self.kept.save(self.listing.by_id)


def numbers_of(listing: Listing) -> ArchiveNumbers:
    """What is known of the runs of an archive now; more is being read from here on."""
    key = str(listing.root)
    with _lock:
        found = _archives.pop(key, None) or ArchiveNumbers(listing.root)
        _archives[key] = found
        while len(_archives) > ARCHIVES:
            _archives.popitem(last=False)
        found.listing, found.wanted = listing, time.monotonic()
        global _thread
        if (_thread is None or not _thread.is_alive()) and not found.idle:
            _thread = threading.Thread(target=_work, name="labapp-numbers", daemon=True)
            _thread.start()
    return found


_archives: OrderedDict[str, ArchiveNumbers] = OrderedDict()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def _work() -> None:
    """Read until nothing is left, or nobody asks any more; a live run is looked at again when a page asks."""
    changed = set()
    while True:
        began = time.monotonic()
        with _lock:
            wanted = [each for each in _archives.values() if began - each.wanted < PATIENCE]
        latest = max((each.wanted for each in wanted), default=-math.inf)
        if (rest := min(CALM, latest + CALM - began)) > 0:
            time.sleep(rest)
            began = time.monotonic()
        busy = next((each for each in reversed(wanted) if each.read_next()), None)
        if busy is None:
            break
        changed.add(busy)
        training = any(entry.status == "running" for entry in busy.listing.entries)
        time.sleep((time.monotonic() - began) * (WHILE_TRAINING if training else 1))
    for each in changed:
        each.save()
