"""Where does a run lie on disk, and how is it written and read?

    runs/<id>/run.json        what was run, where, and how it ended
    runs/<id>/layers/ …       tables in parts (`labapp.parts`): layers, steps, evals
    runs/<id>/probes/         one table a quantity and checkpoint
    runs/<id>/checkpoints/    step-00000300.safetensors, and the training state beside it

    with RunWriter.create("runs", experiment) as writer:
        writer.write("steps", {"step": [0], "loss": [2.3]})       # buffered; on disk every two seconds
    Run("runs/<id>").steps(columns=["loss"], where={"step": 0})

Append-only, crash-safe, readable while written: a killed run loses what came after its last flush and nothing else.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import math
import os
import re
import secrets
import shutil
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import safetensors
import safetensors.numpy

import labapp
from labapp.config import Experiment, LabError, listed, nearest
from labapp.machine import environment as machine_environment
from labapp.machine import is_alive, process_identity, this_process
from labapp.parts import MERGE, Table, Where, as_table, sync_folder, write_table, write_whole

__all__ = ["Run", "RunWriter", "broken_runs", "list_runs", "process_identity", "remove_run"]
FORMAT = 1  # of run.json
STATUSES = ("running", "finished", "diverged", "failed", "stopped")  # and "interrupted", which nobody could write down
FLUSH_SECONDS = 2.0
FLUSH_ROWS = 50_000
SILENCE = 600.0  # seconds without a sign after which a run on another machine counts as interrupted
QUANTITIES = (
    "weight_norm",
    "weight_grad_norm",
    "update_ratio",
    "output_mean",
    "output_std",
    "zero_fraction",
    "dead_channels",
    "output_grad_norm",
    "nonfinite",
    "branch_norm",
    "shortcut_norm",
    "branch_grad_norm",
    "shortcut_grad_norm",
    "branch_shortcut_grad_cosine",
)
_WORD, _WHOLE, _REAL = pa.string(), pa.int64(), pa.float32()
TABLES: dict[str, pa.Schema] = {
    "layers": pa.schema(
        [
            ("step", _WHOLE),
            ("layer", _WORD),
            ("kind", _WORD),
            ("depth", _WHOLE),
            ("relative_depth", _REAL),
            ("stage", _WHOLE),
            ("block", _WORD),
            *((quantity, _REAL) for quantity in QUANTITIES),
        ]
    ),
    "steps": pa.schema(
        [
            ("step", _WHOLE),
            ("loss", _REAL),
            ("accuracy", _REAL),
            ("learning_rate", _REAL),
            ("grad_norm", _REAL),
            ("seconds", _REAL),
            ("images_per_second", _REAL),
        ]
    ),
    "evals": pa.schema([("step", _WHOLE), ("split", _WORD), ("loss", _REAL), ("accuracy", _REAL)]),
}
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


class Run:
    """A run as it lies on disk, whether being written, finished or broken off. Reading never changes it.

    `problems` lists what could not be read; everything else stays readable.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.id = self.path.name
        self._seen: tuple[int, ...] | None = None
        self._record: dict[str, Any] = {}
        self._tables: dict[str, Table] = {}
        self.experiment: Experiment = self._experiment(self.record)

    @property
    def record(self) -> dict[str, Any]:
        """What run.json says now."""
        path = self.path / "run.json"
        try:
            about = path.stat()
            seen = (about.st_ino, about.st_mtime_ns, about.st_size)
            if seen != self._seen:
                record = json.loads(path.read_text(encoding="utf-8"))
                if not isinstance(record, dict) or not {"labapp", "id", "experiment", "status"} <= record.keys():
                    raise LabError(f"{path} was not written by the lab; move the folder out of the archive")
                self._record, self._seen = record, seen
        except (FileNotFoundError, NotADirectoryError):
            what = "holds no run.json, so it is not a run" if self.path.is_dir() else "is not there"
            others = nearest(self.id, _folders(self.path.parent)) if what == "is not there" else ""
            raise LabError(f"{self.path} {what}; `labapp runs list` shows the runs{others}") from None
        except OSError as error:
            raise LabError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            if isinstance(error, LabError):
                raise
            raise LabError(f"{path} is damaged and cannot be read; the tables beside it are Parquet files") from None
        return self._record

    def _experiment(self, record: dict[str, Any]) -> Experiment:
        try:
            return Experiment(**record["experiment"])
        except (LabError, TypeError) as error:
            version = record["labapp"]
            raise LabError(f"{self.path / 'run.json'} (labapp {version}) holds no valid experiment: {error}") from None

    @property
    def name(self) -> str:
        """Family and depth, "residual-56"."""
        return self.experiment.name

    @property
    def status(self) -> str:
        """Running, finished, diverged, failed, stopped, or interrupted: it says running but its process is gone."""
        record = self.record
        if record["status"] == "running" and not self._is_written():
            return "interrupted"
        return str(record["status"])

    def _is_written(self) -> bool:
        alive = is_alive(self.attempts[-1]) if self.attempts else False
        if alive is None:  # on another machine: it says something every few seconds while it trains
            return time.time() - (self.path / "run.json").stat().st_mtime < SILENCE
        return alive

    @property
    def progress(self) -> tuple[int, int]:
        """Steps done, and steps in all."""
        progress = self.record.get("progress", {})
        return int(progress.get("step", 0)), int(progress.get("steps", self.experiment.steps))

    @property
    def started(self) -> datetime.datetime:
        """When the first attempt began."""
        return datetime.datetime.fromisoformat(self.record["created"])

    @property
    def seconds(self) -> float:
        """Time spent by all attempts."""
        return float(self.record.get("seconds", 0.0))

    @property
    def message(self) -> str:
        """How it ended, in words; "" when there is nothing to say."""
        return str(self.record.get("message", ""))

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """One entry each time the run was begun or taken up again."""
        return list(self.record.get("attempts", []))

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, device, threads and git commit of the latest attempt."""
        return dict(self.record.get("environment", {}))

    @property
    def recorder(self) -> dict[str, Any]:
        """What the recorder says of itself, its cost among it."""
        return dict(self.record.get("recorder", {}))

    @property
    def layers_info(self) -> list[dict[str, Any]]:
        """The layers in order of execution: index, path, kind, depth, stage, block, shape, parameters."""
        return list(self.record.get("layers", []))

    @property
    def version(self) -> str:
        """A token that changes whenever something is added; for caches."""
        about = (self.path / "run.json").stat()
        token = [f"{about.st_mtime_ns:x}-{about.st_ino:x}"]
        for folder in sorted(entry.path for entry in os.scandir(self.path) if entry.is_dir()):
            names = ",".join(sorted(os.listdir(folder)))  # noqa: PTH208 -- names only, and many
            token.append(f"{os.stat(folder).st_mtime_ns:x}-{zlib.crc32(names.encode()):08x}")  # noqa: PTH116
        return "/".join(token)

    def table(self, name: str, columns: Sequence[str] | None = None, where: Where = None) -> pd.DataFrame:
        """A table by name; only `columns` are read; `where` is [("step", ">=", 100), …] or {"kind": "conv"}."""
        return self._table(name).read(columns, where).to_pandas()

    def _table(self, name: str) -> Table:
        return self._tables.setdefault(name, Table(self.path / name, TABLES.get(name, pa.schema([]))))

    def layers(
        self,
        columns: Sequence[str] | None = None,
        where: Where = None,
        steps: int | slice | range | Sequence[int] | None = None,
    ) -> pd.DataFrame:
        """One row a (step, layer). Columns: step, layer, kind, depth, relative_depth, stage, block, and QUANTITIES."""
        return self._table("layers").read(columns, where, steps_condition(steps)).to_pandas()

    def steps(self, columns: Sequence[str] | None = None, where: Where = None) -> pd.DataFrame:
        """One row a step. Columns: step, loss, accuracy, learning_rate, grad_norm, seconds, images_per_second."""
        return self.table("steps", columns, where)

    def evals(self, columns: Sequence[str] | None = None, where: Where = None) -> pd.DataFrame:
        """One row an evaluation, `step` steps being done. Columns: step, split, loss, accuracy."""
        return self.table("evals", columns, where)

    def checkpoints(self) -> list[int]:
        """The steps at which weights were kept."""
        found = (re.fullmatch(r"step-(\d{8,})\.safetensors", name) for name in _files(self.path / "checkpoints"))
        return sorted(int(match[1]) for match in found if match)

    def checkpoint_path(self, step: int | None = None) -> Path:
        """The weights at a step (the last by default), a safetensors file."""
        steps = self.checkpoints()
        if not steps:
            raise LabError(f"run '{self.id}' has no checkpoint yet")
        if step is not None and step not in steps:
            raise LabError(f"run '{self.id}' has no checkpoint at step {step}; it has {listed(steps)}")
        return self.path / "checkpoints" / f"step-{steps[-1] if step is None else step:08d}.safetensors"

    def state_path(self, step: int | None = None) -> Path | None:
        """The training state beside a checkpoint, if it was kept."""
        path = self.checkpoint_path(step).with_suffix(".pt")
        return path if path.exists() else None

    def write_probe(self, name: str, step: int, frame: pd.DataFrame) -> Path:
        """Add the table of one quantity at one checkpoint; also to a finished run, from any process."""
        if not _SAFE.fullmatch(name):
            raise LabError(f"'{name}' cannot name a probe; letters, digits, '.', '_', '+' and '-' can")
        path = self.path / "probes" / name / f"step-{step:08d}.parquet"
        with _sentences(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
        return path

    def probes(self) -> dict[str, list[int]]:
        """The probes there are: quantity to the steps it was measured at."""
        found: dict[str, list[int]] = {}
        for name in sorted(_folders(self.path / "probes")):
            steps = (re.fullmatch(r"step-(\d{8,})\.parquet", file) for file in _files(self.path / "probes" / name))
            if measured := sorted(int(match[1]) for match in steps if match):
                found[name] = measured
        return found

    def probe(self, name: str, step: int | None = None) -> pd.DataFrame:
        """A probe's table at a step; without one, of all steps, with the column `step` in front."""
        there = self.probes()
        if name not in there:
            has = f"it has {listed(there)}{nearest(name, there)}" if there else "`labapp probe` makes one"
            raise LabError(f"run '{self.id}' has no probe '{name}'; {has}")
        if step is not None and step not in there[name]:
            raise LabError(f"run '{self.id}' has '{name}' at {listed(there[name])}, not at step {step}")
        frames = {at: self._probe(name, at) for at in (there[name] if step is None else [step])}
        if step is not None:
            return frames[step]
        return pd.concat([frame.drop(columns="step", errors="ignore").assign(step=at) for at, frame in frames.items()])

    def _probe(self, name: str, step: int) -> pd.DataFrame:
        path = self.path / "probes" / name / f"step-{step:08d}.parquet"
        try:
            return pq.read_table(path, page_checksum_verification=True, partitioning=None).to_pandas()
        except (pa.ArrowException, OSError) as error:
            raise LabError(f"{path} is damaged ({_first_line(error)}); `labapp probe` makes it again") from None

    @property
    def problems(self) -> list[str]:
        """One sentence for each file that cannot be read."""
        found: dict[str, str] = {}
        for name in sorted({*TABLES, *self._tables}):
            table = self._table(name)
            table.pieces()
            found |= {f"{name}/{file}": text for file, text in table.problems.items()}
        for step in self.checkpoints():
            path = self.checkpoint_path(step)
            try:
                with safetensors.safe_open(path, framework="numpy"):
                    pass
            except (safetensors.SafetensorError, OSError) as error:
                found[path.name] = f"checkpoints/{path.name} is damaged ({_first_line(error)})"
        return list(found.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.path.absolute() == other.path.absolute()

    def __hash__(self) -> int:
        return hash(self.path.absolute())

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


class RunWriter:
    """Writes one run; one process at a time. Opening a run that exists begins a new attempt at it.

        with RunWriter.create("runs", experiment) as writer:
            writer.describe(layers, recorder)
            writer.write("steps", {"step": [0], "loss": [2.3]})
            writer.checkpoint(300, tensors, state)

    `write` only buffers. Leaving the block finishes the run: as failed when an exception passes, as stopped on Ctrl-C.
    """

    def __init__(self, path: str | Path, *, from_step: int = 0, environment: Mapping[str, Any] | None = None) -> None:
        run = Run(path)
        with _sentences(run.path), _only_one(run.path):
            if run.status == "running" and run.attempts and run.attempts[-1].get("pid") != os.getpid():
                raise LabError(
                    f"run '{run.id}' is being written by process {run.attempts[-1].get('pid')}; stop it first"
                )
            for table in TABLES:
                for name in _files(run.path / table):
                    if name.endswith(".tmp"):
                        (run.path / table / name).unlink(missing_ok=True)
            record = run.record
            if record["attempts"]:
                record["attempts"][-1].setdefault("status", run.status)
                record["attempts"].append(this_process() | {"from_step": from_step})
            record |= {"status": "running", "message": ""}
            record["environment"] |= machine_environment() | dict(environment or {})
            self._begin(run.path, record)
            self._save()

    @classmethod
    def create(
        cls,
        root: str | Path,
        experiment: Experiment,
        *,
        run_id: str | None = None,
        environment: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make runs/<id>/ with its run.json, both at once, and open it."""
        now = datetime.datetime.now(datetime.UTC)
        run_id = run_id or f"{experiment.name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        if not _SAFE.fullmatch(run_id):
            raise LabError(f"'{run_id}' cannot name a run; letters, digits, '.', '_', '+' and '-' can")
        root = Path(root)
        record = {
            "labapp": labapp.__version__,
            "format": FORMAT,
            "id": run_id,
            "created": now.isoformat(),
            "experiment": experiment.model_dump(mode="json"),
            "seeds": {"seed": experiment.seed},
            "status": "running",
            "message": "",
            "progress": {"step": 0, "steps": experiment.steps},
            "seconds": 0.0,
            "attempts": [this_process() | {"from_step": 0}],
            "environment": machine_environment() | dict(environment or {}),
            "recorder": {},
            "layers": [],
        }
        new = root / f".new-{run_id}-{os.getpid()}"
        self = cls.__new__(cls)
        with _sentences(root):
            new.mkdir(parents=True)
            try:
                self._begin(new, record)
                self._save()
                new.rename(root / run_id)  # fails when a run of this name is there
            except OSError:
                shutil.rmtree(new, ignore_errors=True)
                if (root / run_id).exists():
                    raise LabError(f"{root / run_id} exists; choose another id, or resume that run") from None
                raise
            sync_folder(root)
        self.path = root / run_id
        return self

    def _begin(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self._record = record
        self._attempt = len(record["attempts"])
        self._since = time.monotonic() - float(record["seconds"])
        self._buffers: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
        self._rows = 0
        self._flushed = time.monotonic()
        self._parts: dict[str, int] = {}
        self._done = int(record["progress"]["step"])
        self._lock = threading.RLock()
        self._over = False

    @property
    def id(self) -> str:
        """The run's name in the archive."""
        return self.path.name

    @property
    def run(self) -> Run:
        """The run, for reading."""
        return Run(self.path)

    def describe(self, layers: Sequence[Mapping[str, Any]], recorder: Mapping[str, Any]) -> None:
        """Put the list of layers and the recorder's settings into run.json."""
        self.update(layers=list(layers), recorder=recorder)

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append rows; a value that is not a list or an array stands for all of them."""
        rows, kept = _rows(table, columns)
        with self._lock:
            if self._over:
                raise LabError(f"run '{self.id}' is finished; open it again with RunWriter(path) to add to it")
            self._buffers.setdefault(table, []).append((rows, kept))
            self._rows += rows
            if rows and "step" in kept:
                last = int(kept["step"][-1])
                self._done = max(self._done, last if table == "evals" else last + 1)
            if self._rows >= FLUSH_ROWS or time.monotonic() - self._flushed >= FLUSH_SECONDS:
                self.flush()

    def flush(self) -> None:
        """Bring what was written so far to the disk; on failure it stays in memory for the next time."""
        with self._lock:
            self._flushed = time.monotonic()  # also when it fails: a full disk is not asked again at every step
            wrote = False
            for name in list(self._buffers):
                with _sentences(self.path / name):
                    self._write_part(name, self._buffers[name])
                self._rows -= sum(rows for rows, _ in self._buffers.pop(name))
                wrote = True
            if wrote:
                self._save()

    def _write_part(self, name: str, chunks: list[tuple[int, Mapping[str, Any]]]) -> None:
        folder = self.path / name
        if not folder.is_dir():
            folder.mkdir()
            sync_folder(self.path)
        number = self._parts.get(name, 0)
        known = TABLES.get(name, pa.schema([]))
        write_table(as_table(chunks, known), folder / f"part-{self._attempt:02d}-{number:06d}.parquet")
        self._parts[name] = number + 1
        if (number + 1) % MERGE == 0:
            Table(folder, known).merge(self._attempt)

    def checkpoint(self, step: int, tensors: Mapping[str, Any], state: bytes | None = None) -> Path:
        """Keep weights (arrays or tensors) and the training state after `step` steps; the tables reach as far."""
        path = self.path / "checkpoints" / f"step-{step:08d}.safetensors"
        self.flush()
        with _sentences(path):
            path.parent.mkdir(exist_ok=True)
            if state is not None:  # first, so that whoever sees the weights finds their state
                write_whole(path.with_suffix(".pt"), lambda file: file.write(state))
            weights = _as_safetensors(tensors, {"run": self.id, "step": str(step)})
            write_whole(path, lambda file: file.write(weights))
        return path

    def write_probe(self, name: str, step: int, frame: pd.DataFrame) -> Path:
        """As `Run.write_probe`."""
        return self.run.write_probe(name, step, frame)

    def update(self, **fields: Any) -> None:
        """Change fields of run.json, atomically; dictionaries are merged."""
        with self._lock:
            for name, value in fields.items():
                if name not in self._record or name in ("labapp", "format", "id", "created", "attempts"):
                    raise LabError(f"run.json has no '{name}' to update{nearest(name, self._record)}")
                if name == "status" and value not in STATUSES:
                    raise LabError(
                        f"unknown status '{value}'; a run is {listed(STATUSES, 'or')}{nearest(value, STATUSES)}"
                    )
                self._record[name] = self._record[name] | dict(value) if isinstance(value, Mapping) else value
            if "progress" in fields:
                self._done = int(self._record["progress"]["step"])
            if "seconds" in fields:
                self._since = time.monotonic() - float(fields["seconds"])
            self._save()

    def finish(self, status: str = "finished", message: str = "") -> Run:
        """Flush, make one file of each table, and say how it ended."""
        with self._lock:
            if not self._over:
                self.flush()
                with _sentences(self.path):
                    for name in TABLES.keys() | self._parts.keys():
                        Table(self.path / name, TABLES.get(name, pa.schema([]))).compact()
                ended = datetime.datetime.now(datetime.UTC).isoformat()
                self._record["attempts"][-1] |= {"ended": ended, "status": status}
                self.update(status=status, message=message)
                self._over = True
        return self.run

    def _save(self) -> None:
        self._record["progress"]["step"] = self._done
        self._record["seconds"] = round(time.monotonic() - self._since, 3)
        text = json.dumps(_plain(self._record), indent=1, ensure_ascii=False, allow_nan=False)
        with _sentences(self.path):
            write_whole(self.path / "run.json", lambda file: file.write(text.encode()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        elif issubclass(kind, Exception):
            self.finish("failed", f"{kind.__name__}: {_first_line(error)}")
        else:
            self.finish("stopped", kind.__name__)


def list_runs(root: str | Path) -> list[Run]:
    """The readable runs of an archive, newest first."""
    runs = [run for run in (_try(path) for path in _run_folders(root)) if isinstance(run, Run)]
    return sorted(runs, key=lambda run: (run.record["created"], run.id), reverse=True)


def broken_runs(root: str | Path) -> list[tuple[Path, str]]:
    """The folders of an archive that cannot be read as runs, each with the reason."""
    return [(path, found) for path in _run_folders(root) if isinstance(found := _try(path), str)]


def remove_run(root: str | Path, run_id: str) -> None:
    """Delete a run, readable or not; one that is being written is refused."""
    path = Path(root) / run_id
    names = [folder.name for folder in _run_folders(root)]
    if run_id not in names:
        raise LabError(
            f"{root} holds no run '{run_id}'{nearest(run_id, names) or '; `labapp runs list` shows the runs'}"
        )
    found = _try(path)
    if isinstance(found, Run) and found.status == "running":
        raise LabError(f"run '{run_id}' is still running; stop it first")
    ours = {"run.json", "checkpoints", "probes", *TABLES}
    if isinstance(found, str) and not ours & {entry.name for entry in path.iterdir()}:
        raise LabError(f"{path} holds nothing that the lab wrote, so it is left alone")
    with _sentences(path):
        gone = path.with_name(f".removed-{run_id}-{secrets.token_hex(4)}")
        path.rename(gone)  # at once for every reader
        shutil.rmtree(gone)


def _rows(table: str, columns: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    """How many rows these are, and the columns as they are kept: copied, since the caller may use its buffer again."""
    kept, single, rows = {}, [], None
    for name, values in columns.items():
        if hasattr(values, "detach"):
            values = values.detach().cpu().numpy()
        if isinstance(values, str) or not hasattr(values, "__len__") or getattr(values, "shape", None) == ():
            single.append(name)
            kept[name] = values
            continue
        if rows is None:
            rows = len(values)
        elif len(values) != rows:
            raise LabError(f"column '{name}' of table '{table}' has {len(values)} rows where the others have {rows}")
        kept[name] = values.copy() if isinstance(values, np.ndarray) else list(values)
    rows = 1 if rows is None else rows
    for name in single:
        kept[name] = [kept[name]] * rows
    return rows, kept


def steps_condition(steps: int | slice | range | Sequence[int] | None) -> ds.Expression | None:
    """A step, a slice of steps (its end excluded, no stride) or a list of them, as a filter."""
    if steps is None:
        return None
    step = ds.field("step")
    if not isinstance(steps, slice | range):
        return step.isin([steps] if isinstance(steps, int) else list(steps))
    if steps.step not in (None, 1):
        raise LabError(f"steps is a slice without a stride, not one in strides of {steps.step}")
    low = step >= (steps.start or 0)
    return low if steps.stop is None else low & (step < steps.stop)


def _as_safetensors(tensors: Mapping[str, Any], about: dict[str, str]) -> bytes:
    odd = any("float8" in str(value.dtype) or "bfloat16" in str(value.dtype) for value in tensors.values())
    if odd:  # what numpy has no type for; the tensors show that torch is loaded
        from safetensors.torch import save

        return save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, about)
    arrays = {n: v.detach().cpu().numpy() if hasattr(v, "detach") else np.asarray(v) for n, v in tensors.items()}
    return safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, about)


def _plain(value: Any) -> Any:
    """A value as JSON has it: arrays as lists, numbers that JSON lacks as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _try(path: Path) -> Run | str:
    try:
        return Run(path)
    except LabError as error:
        return str(error)


def _run_folders(root: str | Path) -> list[Path]:
    root = Path(root)
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))
    except FileNotFoundError:
        raise LabError(f"there is no archive at {root}; `labapp starter` makes one, --root names another") from None
    except NotADirectoryError:
        raise LabError(f"{root} is a file, not an archive; --root names a folder of runs") from None
    except OSError as error:
        raise LabError(f"the archive {root} cannot be read: {error.strerror}") from None


def _folders(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []


def _files(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 -- names only
    except OSError:
        return []


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Let one process at a time begin an attempt."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """A disk's refusal, as one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or _first_line(error)
        raise LabError(
            f"cannot write to {path}: {reason}; free or mend that place, or name another with --root"
        ) from None
