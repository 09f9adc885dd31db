"""What does an index say of one run?

What a list of runs needs, and no more: who it is, how far it is, and by which file it is known to be as it was.
"""

import json
import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from labapp.config import Experiment, LabError
from labapp.store.labels import NONE, Labels, read_labels
from labapp.store.lease import is_left
from labapp.store.machine import gave_sign, is_alive, is_namesake
from labapp.store.record import STATUSES, Record

Seen = tuple[int, int, int]  # inode, time of the last change in ns, and bytes of a file
NEVER: Seen = (-1, -1, -1)  # of a file that is not there, or could not be read and is to be tried again
COLUMNS = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "status", "experiment", "attempt", "labels")),
        *((f"{file}_{part}", pa.int64()) for file in ("run", "labels") for part in ("inode", "time", "size")),
        ("created", pa.timestamp("us", "UTC")),
        *((name, pa.int64()) for name in ("step", "steps", "seed")),
        ("seconds", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One folder of an archive.

    Attributes:
        id: Its name.
        seen: Its run.json when it was read.
        labels_seen: The same of its labels.
        problem: Why it is no run that can be read; "" for a run, and only then there is more.
        status: As `Run.status`.
        written: The status that stands in run.json.
        step: Steps done.
        steps: Steps asked for.
        attempt: The process of a run that says it is running.
        labels_problem: Why its labels cannot be read.
        linked: Whether the folder is a link to one elsewhere.
    """

    id: str
    seen: Seen
    labels_seen: Seen = NEVER
    problem: str = ""
    status: str = ""
    written: str = ""
    created: datetime = datetime.min
    experiment: Experiment = None  # type: ignore[assignment] # there unless there is a problem
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    attempt: dict[str, Any] | None = None
    labels: Labels = NONE
    labels_problem: str = ""
    linked: bool = False

    @property
    def name(self) -> str:
        """Family and depth, "residual-56"."""
        return self.experiment.name

    def known(self, root: Path) -> "Entry":
        """The same, with the status as it is now: whoever was writing may have gone."""
        if self.written != "running":
            return self
        status = "running" if is_written(root / self.id, self.attempt, self.seen) else "interrupted"
        return self if status == self.status else replace(self, status=status)


def is_written(folder: Path, attempt: dict[str, Any] | None, seen: Seen) -> bool:
    """Whether a run that says it is running is: its process lives, or it gives signs from another machine."""
    alive = is_alive(attempt) if attempt else False
    if attempt and alive is None and seen != NEVER:  # on another machine, or before the last boot of this one; while it
        # trains it gives a sign every few seconds, and holds its lock, of which a copy elsewhere says nothing
        left = is_namesake(attempt) and is_left(folder)
        return not left and gave_sign(seen[1] / 1e9)
    return bool(alive)


def entry_of(record: Record, run_id: str, seen: Seen) -> Entry:
    """What a record says, without the labels."""
    running = record.status == "running"
    return Entry(
        run_id,
        seen,
        status=record.status,
        written=record.status,
        created=record.created,
        experiment=record.experiment,
        step=record.progress.get("step", 0),
        steps=record.progress.get("steps", record.experiment.steps),
        seconds=record.seconds,
        attempt=record.attempts[-1] if running and record.attempts else None,
    )


def labelled(entry: Entry, folder: Path, seen: Seen) -> Entry:
    """The entry with the labels of its run."""
    if seen == NEVER:
        return replace(entry, labels_seen=seen, labels=NONE, labels_problem="")
    try:
        return replace(entry, labels_seen=seen, labels=read_labels(folder), labels_problem="")
    except LabError as error:
        return replace(entry, labels_seen=NEVER, labels=NONE, labels_problem=str(error))


def look_at(path: str) -> Seen:
    """A file as it is now; NEVER where there is none."""
    try:
        about = os.stat(path)  # noqa: PTH116 - ten thousand times, and a Path takes as long again
    except (OSError, ValueError):
        return NEVER
    return about.st_ino, about.st_mtime_ns, about.st_size


def as_table(entries: list[Entry]) -> pa.Table:
    """Entries as a table of COLUMNS."""
    rows = [_row(entry) for entry in entries if _can_be_kept(entry)]
    return pa.Table.from_pylist(rows, COLUMNS)


def _can_be_kept(entry: Entry) -> bool:
    """Whether it is a run whose folder's name is a text; what is none is read again by each process."""
    try:
        entry.id.encode()
    except UnicodeEncodeError:
        return False
    return not entry.problem and all(abs(number) < 2**63 for number in (*entry.seen, *entry.labels_seen))


def _row(entry: Entry) -> dict[str, Any]:
    files = {
        f"{file}_{part}": value
        for file, seen in (("run", entry.seen), ("labels", entry.labels_seen))
        for part, value in zip(("inode", "time", "size"), seen, strict=True)
    }
    return files | {
        "id": entry.id,
        "status": entry.written,
        "experiment": entry.experiment.model_dump_json(exclude={"seed"}),
        "seed": entry.experiment.seed,
        "attempt": json.dumps(entry.attempt) if entry.attempt else None,
        "labels": None if entry.labels == NONE else entry.labels.model_dump_json(),
        "created": entry.created,
        "step": entry.step,
        "steps": entry.steps,
        "seconds": entry.seconds,
    }


def from_table(table: pa.Table) -> list[Entry]:
    """What `as_table` was given.

    Raises:
        ValueError: The table is another, or was not made by this version of the lab; also a LabError.
    """
    if not table.schema.remove_metadata().equals(COLUMNS):
        raise ValueError("other columns")
    if any(table.column(name).null_count for name in COLUMNS.names if name not in ("attempt", "labels")):
        raise ValueError("a value is missing")
    columns = [table.column(name).to_pylist() for name in COLUMNS.names]
    made: dict[str, Experiment] = {}  # without their seeds: checked once each
    return [_entry(dict(zip(COLUMNS.names, values, strict=True)), made) for values in zip(*columns, strict=True)]


def _entry(row: dict[str, Any], made: dict[str, Experiment]) -> Entry:
    attempt = None if row["attempt"] is None else json.loads(row["attempt"])
    if row["status"] not in STATUSES or not isinstance(attempt, dict | None):
        raise ValueError("not as an index is written")
    said, seed = row["experiment"], row["seed"]
    if said not in made:
        made[said] = Experiment(**json.loads(said), seed=seed)
    experiment = made[said]
    if experiment.seed != seed:
        experiment = experiment.model_copy(update={"seed": seed})
    return Entry(
        row["id"],
        (row["run_inode"], row["run_time"], row["run_size"]),
        (row["labels_inode"], row["labels_time"], row["labels_size"]),
        status=row["status"],
        written=row["status"],
        created=row["created"],
        experiment=experiment,
        step=row["step"],
        steps=row["steps"],
        seconds=row["seconds"],
        attempt=attempt,
        labels=Labels(**json.loads(row["labels"])) if row["labels"] else NONE,
    )
