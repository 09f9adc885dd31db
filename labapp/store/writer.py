"""How is a run written to disk while training goes on?

`write` copies rows into memory. Every two seconds a thread writes the rows that have gathered as new parts, synced and
renamed, so that training does not wait for the disk. A killed process loses only what came after the last flush.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from labapp.config import Experiment, LabError, first_line, nearest, place, sentence, shown
from labapp.store.appending import Appender, StoreWarning
from labapp.store.buffer import Buffer
from labapp.store.files import alone, clear_temporary, sentences, sync_folder, write_whole
from labapp.store.following import Followable, Followers
from labapp.store.lease import lease_on
from labapp.store.machine import environment as this_environment
from labapp.store.machine import process_identity, this_process
from labapp.store.record import COPY, NAME, Record, as_json, as_name, plain
from labapp.store.resuming import Keeping
from labapp.store.run import Run

if TYPE_CHECKING:
    import pandas as pd

FLUSH_SECONDS = 2.0
FLUSH_ROWS = 50_000
FULL = 4  # times FLUSH_ROWS in memory: then training does wait for the disk
_FIXED = ("labapp", "format", "id", "created", "experiment", "attempts")


class RunWriter(Keeping, Followable):
    """Writes one run; one process at a time. Opening a run that exists begins a new attempt at it.

        with RunWriter.create("runs", experiment) as writer:
            writer.describe(layers, recorder)
            writer.write("steps", {"step": [0], "loss": [2.3]})
            writer.checkpoint(300, tensors, state)

    Leaving the block finishes the run: as failed when an exception passes, as stopped on Ctrl-C.

    Args:
        path: A run's folder, to take it up again.
        from_step: Steps done at the checkpoint that this attempt begins from. What earlier attempts wrote from there on
            is set aside at once, see `superseding`. Without it, a table's rows are when this attempt writes to it.
        environment: What to note besides versions and machine: device, threads.
    """

    def __init__(
        self, path: str | Path, *, from_step: int | None = None, environment: Mapping[str, Any] | None = None
    ) -> None:
        run = Run(path)
        with sentences(run.path), alone(run.path):
            record = run.record.model_copy(deep=True)
            if run.status == "running" and record.attempts[-1].get("process") != process_identity(os.getpid()):
                where = f"process {record.attempts[-1].get('pid')} on {record.attempts[-1].get('host')}"
                raise LabError(f"run '{run.id}' is being written by {where}; stop it first")
            if record.attempts:
                record.attempts[-1].setdefault("status", "interrupted" if record.status == "running" else record.status)
            self._lease = lease_on(run.path)
            self._lease.take()
            clear_temporary(run.path)
            record.status, record.message = "running", ""
            done = record.progress.get("step", 0) if from_step is None else from_step
            self._begin(run.path, record, done, environment)
            self._save()
            try:
                self._parts.take_up(run.tables(), from_step)
            except LabError as error:
                self._end("failed", f"it could not be taken up: {first_line(error)}")
                raise

    @classmethod
    def create(
        cls,
        root: str | Path,
        experiment: Experiment,
        *,
        run_id: str | None = None,
        environment: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make the folder <root>/<id> with its run.json, so that both appear at once, and open it for writing."""
        run_id = run_id or f"{as_name(experiment.name)}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        if not NAME.fullmatch(run_id):
            raise LabError(f"'{run_id}' cannot name a run; letters, digits, '.', '_', '+' and '-' can")
        record = Record(id=run_id, experiment=experiment, seeds={"seed": experiment.seed})
        record.progress = {"step": 0, "steps": experiment.steps}
        self = cls.__new__(cls)
        path = place(root) / run_id
        self._lease = lease_on(path)
        new = path.with_name(f".new-{run_id}-{secrets.token_hex(4)}")
        with sentences(path.parent):
            new.mkdir(parents=True)
            try:
                self._begin(new, record, 0, environment)
                self._save()
                self._lease.claim(new)
                new.rename(path)  # refused by the system when a run of this name is there
            except (OSError, LabError):
                shutil.rmtree(new, ignore_errors=True)
                self._lease.give_up()
                if path.exists():
                    raise LabError(f"{shown(path)} is there already; choose another id, or resume that run") from None
                raise
            sync_folder(path.parent)
        self.path = self._parts.path = path
        self._lease.take()
        self._lease.saved()
        return self

    def _begin(self, path: Path, record: Record, from_step: int, environment: Mapping[str, Any] | None) -> None:
        record.attempts.append(this_process() | {"from_step": from_step, "token": self._lease.token})
        record.environment |= this_environment() | plain(environment or {})
        self.path = path
        self._record = record
        self._since = time.monotonic() - record.seconds
        self._buffer = Buffer(done=from_step)
        self._parts = Appender(path, len(record.attempts), self._note, record.parts)
        self._told: dict[str, Any] = {}
        self._followers = Followers()
        self._flushed = time.monotonic()
        self._disk = threading.RLock()  # held while something is written
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="labapp-writer")
        self._behind: Future[None] | None = None
        self._over = self._copied = False

    @property
    def id(self) -> str:
        """The run's name in the archive."""
        return self.path.name

    @property
    def run(self) -> Run:
        """The run, for reading."""
        return Run(self.path)

    def describe(self, layers: Sequence[Mapping[str, Any]], recorder: Mapping[str, Any]) -> None:
        """Put the layers, and what the recorder reports about itself, into run.json: at once if the layers are new."""
        self._told = plain(recorder)
        if (now := plain(layers)) != self._record.layers:
            self.update(layers=now)

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append rows to layers, steps, evals or a table of your own.

        Args:
            table: Its name.
            columns: A list or array of numbers or words each; a single value stands for all rows.
        """
        if self._over:
            raise LabError(f"run '{self.id}' is finished; RunWriter(path) opens it again")
        self._buffer.add(table, columns)
        if self._buffer.rows >= FLUSH_ROWS or time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self._flush_behind()

    def _flush_behind(self) -> None:
        if self._behind is not None:
            if not self._behind.done() and self._buffer.rows < FULL * FLUSH_ROWS:
                return
            last, self._behind = self._behind, None
            self._flushed = time.monotonic()  # a full disk is not asked again at every step
            error = last.exception()
            if isinstance(error, LabError) and self._lease.held:
                self._note(first_line(error))  # what could not be written still waits, and is tried again
                if self._buffer.rows < FULL * FLUSH_ROWS:
                    return
            last.result()
        self._flushed = time.monotonic()
        self._behind = self._thread.submit(self._flush_now)

    def flush(self) -> None:
        """Write all waiting rows to disk; those that cannot be written keep waiting."""
        if self._behind is not None:
            wait([self._behind])
        self._behind = None
        self._flush_now()

    def _note(self, fault: str) -> None:
        """Tells of a fault at once, and in run.json; once."""
        with self._disk:
            if fault not in self._record.faults:
                self._record.faults.append(fault)
                with contextlib.suppress(StoreWarning):  # where warnings are errors, this one is none: training goes on
                    warnings.warn(f"run '{self.id}': {fault}", StoreWarning, stacklevel=3)
                with contextlib.suppress(LabError):
                    self._lease.require()
                    self._save()

    def _flush_now(self) -> None:
        with self._disk:
            self._lease.require()
            taken = self._buffer.take()
            if not taken:
                return
            grown, sending = [], self._lease.due
            try:
                while taken:
                    name = next(iter(taken))
                    self._parts.append(name, taken[name])
                    self._followers.wrote(name, taken[name])
                    grown.append(name)
                    del taken[name]
            finally:
                self._buffer.put_back(taken)
                self._flushed = time.monotonic()
            for name in grown:
                self._parts.arrange(name, sending)
            self._save()

    def write_probe(self, name: str, step: int, frame: pd.DataFrame) -> Path:
        """As `Run.write_probe`."""
        return self.run.write_probe(name, step, frame)

    def update(self, **fields: Any) -> None:
        """Change fields of run.json now; dictionaries are merged into those that are there."""
        with self._disk:
            self._lease.require()
            for name, value in fields.items():
                allowed = [field for field in Record.model_fields if field not in _FIXED]
                if name not in allowed:
                    raise LabError(f"'{name}' of run.json cannot be changed{nearest(name, allowed)}")
                now, value = getattr(self._record, name), plain(value)
                merged = now | value if isinstance(value, dict) and isinstance(now, dict) else value
                try:
                    setattr(self._record, name, merged)
                except ValidationError as error:
                    raise LabError(sentence(error)) from None
            if "progress" in fields:
                self._buffer.done = self._record.progress.get("step", self._buffer.done)
            if "seconds" in fields:
                self._since = time.monotonic() - self._record.seconds
            self._save()

    def finish(self, status: str = "finished", message: str = "") -> Run:
        """Write and publish all rows, read every table once, and note in run.json how the run ended."""
        if not self._over:
            try:
                self.flush()  # before the lock is taken: the thread needs it too
            except LabError as error:
                self._end("failed", f"the last {self._buffer.rows:,} rows were not written: {first_line(error)}")
                raise
            with self._disk:
                known = len(self._record.faults)
                lost = self._parts.finish(self.run.tables())
                if lost and status == "finished":
                    status = "incomplete"
                self._end(status, message or "; ".join(self._record.faults[known:][:1] or lost[:1]))
        return self.run

    def _end(self, status: str, message: str) -> None:
        with self._disk:
            self._record.attempts[-1] |= {"ended": datetime.now(UTC).isoformat(), "status": status}
            try:
                self.update(status=status, message=message)
            finally:
                self._over = True
                self._thread.shutdown(wait=False)
                left = self._lease.release()
                self._followers.ended(self.path)
            if left and status in ("failed", "stopped"):  # an exception is on its way
                warnings.warn(left, StoreWarning, stacklevel=3)
            elif left:
                raise LabError(left)

    def _save(self) -> None:
        self._record.progress["step"] = self._buffer.done
        self._record.parts |= self._parts.last
        self._record.recorder |= self._told
        self._record.seconds = round(time.monotonic() - self._since, 3)
        text = as_json(self._record)
        with sentences(self.path):
            write_whole(self.path / "run.json", lambda file: file.write(text))
            self._lease.saved()
            if not self._copied or self._record.status != "running":  # when an attempt begins, and when it ends
                write_whole(self.path / COPY, lambda file: file.write(text))
                self._copied = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is None:
            self.finish()
        elif issubclass(kind, Exception):
            self.finish("failed", f"{kind.__name__}: {first_line(error)}")
        else:
            self.finish("stopped", "stopped by hand" if kind is KeyboardInterrupt else kind.__name__)
