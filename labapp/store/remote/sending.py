"""How does what was written here get into the store, so that nobody reads half of it and no two machines write one run?

In the order in which it was written: parts and states, then run.json, then the run's mark in the list, and what went
away here goes away there last. The run.json of a writer goes in only if it is still the one that this writer put there
before: so it is the lease, and whoever takes a run over puts his own there, which one of several can do.

Until everything is sent a run is `.unsent`: what lies here is the run. It stays so when a store cannot be reached, or a
process is killed, and `labapp runs send` or going on with the training sends it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from labapp.config import LabError, address_of, first_line, shown
from labapp.store.appending import StoreWarning
from labapp.store.lease import Lease
from labapp.store.remote.known import FOLDER, UNSENT, Known, known, look, own_files
from labapp.store.remote.mirror import MARKS, mirror_of
from labapp.store.remote.objects import NOTHING_THERE, OutdatedError

SOONEST, LATEST = 15.0, 300.0  # seconds between two sendings; a run without a sign for 600 is given up by who reads it
SHARE = 20  # and so many of them at most in the time that the run takes: early ones often, a week's not 40,000
RECORD, LABELS = "run.json", "labels.json"


class Parcel(NamedTuple):
    """What is sent at once, as it was at one moment.

    Attributes:
        files: key -> a second name of the file, and its time and size.
        record: run.json, and its time and size.
        gone: Keys that are here no more.
    """

    files: dict[str, tuple[Path, int, int]]
    record: tuple[bytes, int, int]
    gone: list[str]


class RemoteLease(Lease):
    """The right to write a run that is elsewhere, and its way there.

    Of two writers one has it, on whatever machines they are. Sending goes on behind the writer; what fails is said,
    and tried again.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._mirror = mirror_of(path)
        self._tag = NOTHING_THERE  # of the run.json in the store
        self._claimed = self._mine = False
        self._lost = ""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="labapp-sender")
        self._sending: Future[None] | None = None
        self._last = self._since = monotonic()
        self._said: set[str] = set()

    def claim(self, new: Path) -> None:
        """Make the run in the store, with the run.json of the folder that is to become its own.

        Raises:
            LabError: It is there already, or the store cannot be written.
        """
        try:
            self._tag = self._mirror.objects.put(self._named(RECORD), (new / RECORD).read_bytes(), NOTHING_THERE)
        except OutdatedError:
            raise LabError(f"{shown(self.path)} is there already; choose another id, or resume that run") from None
        self._claimed = True
        (new / UNSENT).touch()
        self._mirror.objects.put(f"{MARKS}/{self._named(RECORD)}", (new / RECORD).read_bytes())

    def give_up(self) -> None:
        """Delete what `claim` made, where the folder here could not be."""
        if self._claimed:
            with contextlib.suppress(LabError):
                self._mirror.remove(self.path.name)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()  # where nothing else lies in it

    def take(self) -> None:
        """Take the run, here and there.

        Raises:
            LabError: Another process has it, or somebody went on with it elsewhere.
        """
        super().take()
        if not self._claimed:
            try:
                self._take_there()
            except LabError:
                super().release()
                raise

    def _take_there(self) -> None:
        own, name = self._mirror.is_own(self.path.name), self.path.name
        there = self._mirror.objects.look(self._named(RECORD))
        said = self._mirror.objects.read(self._named(RECORD)) if there else None
        if there is None and not own:
            raise LabError(f"there is no run at {shown(self.path)} any more; `labapp runs list` shows the runs")
        if own and said is not None and _latest(said) not in _tokens((self.path / RECORD).read_bytes()):
            raise LabError(
                f"somebody went on with run '{name}' at {shown(self.path)}; what this machine recorded of it lies "
                f"in {self.path} and was not sent: move that folder away to read or resume the other"
            )
        if not own and said != (self.path / RECORD).read_bytes():
            self._mirror.refresh()
            raise LabError(f"run '{name}' was changed by somebody else just now; try again")
        if not own:
            self._mirror.bring_whole(name)
            (self.path / UNSENT).touch()
        self._tag, self._mine = there.tag if there else NOTHING_THERE, not own

    def saved(self) -> None:
        """Notes that run.json was written; the first one makes the run this writer's, later ones go when it is time."""
        super().saved()
        if not self._begun:
            return
        if not self._claimed:
            self._claim_now()
        elif self._sending is not None and self._sending.done():
            error, self._sending = self._sending.exception(), None
            if error is not None and not self._lost:
                self._say(f"run '{self.path.name}' waits in {self.path} to be sent: {first_line(error)}")
        if self.due:
            parcel, self._last = self._packed(), monotonic()
            self._sending = self._thread.submit(self._send, parcel)

    def _claim_now(self) -> None:
        text = (self.path / RECORD).read_bytes()
        try:
            self._tag = self._mirror.objects.put(self._named(RECORD), text, self._tag)
        except OutdatedError:
            if self._mine:
                (self.path / UNSENT).unlink(missing_ok=True)
            self._mirror.refresh()
            super().release()
            raise LabError(f"run '{self.path.name}' is being written by another process; stop it first") from None
        self._claimed = True
        self._mirror.objects.put(f"{MARKS}/{self._named(RECORD)}", text)

    @property
    def due(self) -> bool:
        """Whether it is time to send."""
        now = monotonic()
        pause = min(max(SOONEST, (now - self._since) / SHARE), LATEST)
        return self._sending is None and not self._lost and now - self._last >= pause

    def require(self) -> None:
        """As `Lease.require`; also whether nobody took the run over in the store, as far as that was heard of."""
        if self._lost:
            raise LabError(self._lost)
        super().require()

    def release(self) -> str:
        """Send the rest and give the run back; why something was not sent, "" where all was."""
        left = ""
        if self._sending is not None:
            wait([self._sending])
        if self._begun and not self._lost:
            try:
                self._send(self._packed())
                (self.path / UNSENT).unlink(missing_ok=True)
            except (LabError, OSError) as error:
                archive = address_of(self.path)[0]
                left = (
                    f"run '{self.path.name}' lies whole in {self.path}, but was not sent ({first_line(error)}); "
                    f"`labapp runs send --root {archive}` sends it"
                )
        self._thread.shutdown(wait=False)
        super().release()
        return left or self._lost

    def _packed(self) -> Parcel:
        """What is new here, as it is now: a second name keeps a file that is merged or replaced while it is sent."""
        out = self.path / FOLDER / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        sure, files = Known(self.path), dict[str, tuple[Path, int, int]]()
        for key, path in own_files(self.path).items():
            if key != RECORD and not sure.tag(key):
                link = out / str(len(files))
                try:
                    os.link(path, link)
                except OSError:  # a disk without links
                    shutil.copy2(path, link)
                files[key] = (link, *look(link))
        record = ((self.path / RECORD).read_bytes(), *look(self.path / RECORD))
        return Parcel(files, record, [key for key in sure.files if not (self.path / key).exists()])

    def _send(self, parcel: Parcel) -> None:
        objects, done, gone = self._mirror.objects, dict[str, tuple[str, int, int]](), list[str]()
        try:
            there = objects.look(self._named(RECORD))
            if (there.tag if there else NOTHING_THERE) != self._tag:
                raise OutdatedError
            for key, (path, *seen) in parcel.files.items():
                done[key] = (objects.put(self._named(key), path), seen[0], seen[1])
                if key == LABELS:
                    objects.put(f"{MARKS}/{self._named(key)}", path)
            text, *seen = parcel.record
            self._tag = objects.put(self._named(RECORD), text, self._tag)
            done[RECORD] = self._tag, seen[0], seen[1]
            objects.put(f"{MARKS}/{self._named(RECORD)}", text)
            if parcel.gone:
                objects.remove(self._named(key) for key in parcel.gone)
                gone = parcel.gone
        except OutdatedError:
            self._lost = (
                f"run '{self.path.name}' was taken over or removed at {shown(self.path)}; this writer sends nothing "
                f"more there, and what it recorded lies in {self.path}"
            )
            raise LabError(self._lost) from None
        finally:
            with known(self.path) as sure:
                sure.files = {key: kept for key, kept in (sure.files | done).items() if key not in gone}
            shutil.rmtree(self.path / FOLDER / "out", ignore_errors=True)

    def _named(self, key: str) -> str:
        return f"{self.path.name}/{key}"

    def _say(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            with contextlib.suppress(StoreWarning):  # where warnings are errors, this one is none: training goes on
                warnings.warn(sentence, StoreWarning, stacklevel=2)


def _attempts(record: bytes) -> list[dict[str, Any]]:
    with contextlib.suppress(ValueError, AttributeError):
        return list(json.loads(record).get("attempts") or [])
    return []


def _tokens(record: bytes) -> set[str | None]:
    return {attempt.get("token") for attempt in _attempts(record)}


def _latest(record: bytes) -> str | None:
    return next((attempt.get("token") for attempt in _attempts(record)[-1:]), None)
