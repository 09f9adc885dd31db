"""What does a run say, while it is written and afterwards?

    run = Run("runs/residual-56-20260301-101500-a1b2")
    run.status, run.progress                                # "running", (120, 300)
    run.layers(columns=["step", "output_grad_norm"], where={"kind": "conv"}, steps=slice(0, 100))

Reading never changes anything, and nothing half-written can make it fail.
"""

from __future__ import annotations

import functools
import json
import os
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import labapp
from labapp.config import Experiment, LabError, listed, nearest, sentence
from labapp.store.files import files, first_line, folders, sentences
from labapp.store.machine import is_alive
from labapp.store.parts import Table, Where, steps_condition, write_table
from labapp.store.tables import NOTHING, TABLES

Status = Literal["running", "finished", "diverged", "failed", "stopped"]
STATUSES: tuple[str, ...] = get_args(Status)  # and "interrupted", which nobody was left to write down
SILENCE = 600.0  # seconds without a sign after which a run on another machine counts as interrupted
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")  # of a run or a probe; also a file's, on any system
_CHECKPOINT = re.compile(r"step-(\d{8,})\.safetensors")
_PROBE = re.compile(r"(.+)\.step-(\d{8,})\.parquet")


class Record(BaseModel):
    """What stands in run.json."""

    model_config = ConfigDict(validate_assignment=True)

    labapp: str = labapp.__version__
    format: Literal[1] = 1
    id: str
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    experiment: Experiment
    seeds: dict[str, Any] = {}
    status: Status = "running"
    message: str = ""
    progress: dict[str, int] = {}
    seconds: float = 0.0
    attempts: list[dict[str, Any]] = []
    environment: dict[str, Any] = {}
    recorder: dict[str, Any] = {}
    layers: list[dict[str, Any]] = []


@functools.lru_cache(maxsize=1000)
def _record(path: Path, seen: tuple[int, ...]) -> Record:
    """A run.json of a certain inode, time and size; an archive is listed far more often than it changes."""
    return Record(**json.loads(path.read_bytes()))


class Run:
    """A run as it lies on disk, whether being written, finished or broken off.

    Attributes:
        path: Its folder.
        id: The folder's name.
        experiment: What was run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.id = self.path.name
        self._seen: tuple[int, ...] | None = None
        self._tables: dict[str, Table] = {}
        self.experiment = self.record.experiment

    @property
    def record(self) -> Record:
        """What run.json says now; to be read, not changed."""
        path = self.path / "run.json"
        try:
            about = path.stat()
            seen = (about.st_ino, about.st_mtime_ns, about.st_size)
            if seen != self._seen:
                self._record = _record(path.absolute(), seen)
                self._seen = seen
        except (FileNotFoundError, NotADirectoryError):
            if self.path.is_dir():
                raise LabError(
                    f"{self.path} holds no run.json, so it is no run; `labapp runs list` shows the runs"
                ) from None
            near = nearest(self.id, folders(self.path.parent)) or "; `labapp runs list` shows the runs"
            raise LabError(f"there is no run at {self.path}{near}") from None
        except OSError as error:
            raise LabError(f"{path} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            raise LabError(f"{path} is not as this version of the lab writes it: {sentence(error)}") from None
        except (ValueError, TypeError):
            raise LabError(f"{path} is damaged; the run's tables beside it are Parquet files and can be read") from None
        return self._record

    @property
    def name(self) -> str:
        """Family and depth, "residual-56"."""
        return self.experiment.name

    @property
    def status(self) -> str:
        """Running, finished, diverged, failed, stopped; interrupted, if it says running and its process is gone."""
        record = self.record
        if record.status == "running" and not self._is_written(record):
            return "interrupted"
        return record.status

    def _is_written(self, record: Record) -> bool:
        alive = is_alive(record.attempts[-1]) if record.attempts else False
        if alive is None and self._seen:  # on another machine; while it trains it gives a sign every few seconds
            return time.time() - self._seen[1] / 1e9 < SILENCE
        return bool(alive)

    @property
    def progress(self) -> tuple[int, int]:
        """Steps done, and steps in all."""
        progress = self.record.progress
        return progress.get("step", 0), progress.get("steps", self.experiment.steps)

    @property
    def started(self) -> datetime:
        """When the first attempt began."""
        return self.record.created

    @property
    def seconds(self) -> float:
        """Time spent by all attempts."""
        return self.record.seconds

    @property
    def message(self) -> str:
        """How it ended, in words; "" when there is nothing to say."""
        return self.record.message

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """One entry each time the run was begun or taken up again: started, host, pid, from_step, ended, status."""
        return self.record.attempts

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, machine, device, threads and git commit of the latest attempt."""
        return self.record.environment

    @property
    def recorder(self) -> dict[str, Any]:
        """What the recorder says of itself, its cost among it."""
        return self.record.recorder

    @property
    def layers_info(self) -> list[dict[str, Any]]:
        """The layers in order of execution: index, path, kind, depth, stage, block, shape, parameters."""
        return self.record.layers

    @property
    def version(self) -> str:
        """A token that changes whenever something is added; for caches."""
        _ = self.record
        token = [*map(str, self._seen or ())]
        for name in folders(self.path):
            about = (self.path / name).stat()
            names = "/".join(files(self.path / name))
            token.append(f"{name}:{about.st_mtime_ns:x}:{zlib.crc32(names.encode()):x}")
        return " ".join(token)

    def tables(self) -> list[str]:
        """The names of the tables that something was written to."""
        return [name for name in folders(self.path) if name not in ("probes", "checkpoints")]

    def table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        where: Where = None,
        steps: int | slice | range | Iterable[int] | None = None,
    ) -> pd.DataFrame:
        """A table by its name, rows in the order written.

        Args:
            name: layers, steps, evals, or any other that was written.
            columns: What to read; all by default. A quantity that a part lacks is NaN there.
            where: [("step", ">=", 100), …] which all hold, or {"kind": "conv", "stage": [1, 2]}.
            steps: A step, a slice of steps (its end excluded) or several.
        """
        if name not in TABLES and name not in self.tables():
            there = nearest(name, {*TABLES, *self.tables()}) or f"; it has {listed(sorted({*TABLES, *self.tables()}))}"
            raise LabError(f"run '{self.id}' has no table '{name}'{there}")
        found = self._table(name).read(columns, where, steps_condition(steps))
        if not len(found):
            _ = self.record  # a run removed meanwhile is not an empty one
        return found.to_pandas()

    def _table(self, name: str) -> Table:
        return self._tables.setdefault(name, Table(self.path / name, TABLES.get(name, NOTHING)))

    def layers(
        self,
        columns: Sequence[str] | None = None,
        where: Where = None,
        steps: int | slice | range | Iterable[int] | None = None,
    ) -> pd.DataFrame:
        """One row a (step, layer). Columns: step, layer, kind, depth, relative_depth, stage, block, and QUANTITIES."""
        return self.table("layers", columns, where, steps)

    def steps(self, columns: Sequence[str] | None = None, where: Where = None) -> pd.DataFrame:
        """One row a step. Columns: step, loss, accuracy, learning_rate, grad_norm, seconds, images_per_second."""
        return self.table("steps", columns, where)

    def evals(self, columns: Sequence[str] | None = None, where: Where = None) -> pd.DataFrame:
        """One row an evaluation after `step` steps. Columns: step, split, loss, accuracy."""
        return self.table("evals", columns, where)

    def checkpoints(self) -> list[int]:
        """The steps at which weights were kept; a damaged file is not counted, but stands in `problems`."""
        return [step for step, problem in self._checkpoints().items() if not problem]

    def _checkpoints(self) -> dict[int, str]:
        found = {}
        for match in filter(None, map(_CHECKPOINT.fullmatch, files(self.path / "checkpoints"))):
            try:
                with safetensors.safe_open(self.path / "checkpoints" / match[0], framework="numpy"):
                    found[int(match[1])] = ""  # opening checks that the file is as long as its header says
            except (safetensors.SafetensorError, OSError) as error:
                found[int(match[1])] = f"checkpoints/{match[0]} is damaged ({first_line(error)})"
        return dict(sorted(found.items()))

    def checkpoint_path(self, step: int | None = None) -> Path:
        """The weights after `step` steps (the last ones by default), a safetensors file."""
        steps = self.checkpoints()
        if not steps:
            raise LabError(f"run '{self.id}' has no checkpoint; `--checkpoints` says how many are kept")
        if step is not None and step not in steps:
            raise LabError(f"run '{self.id}' has no checkpoint at step {step}; it has {listed(steps)}")
        return self.path / "checkpoints" / f"step-{steps[-1] if step is None else step:08d}.safetensors"

    def state_path(self, step: int | None = None) -> Path | None:
        """The training state beside a checkpoint; None when only the weights were kept."""
        path = self.checkpoint_path(step).with_suffix(".pt")
        return path if path.is_file() else None

    def write_probe(self, name: str, step: int, frame: pd.DataFrame) -> Path:
        """Add the table of one quantity at one checkpoint; also to a finished run, from any process."""
        if not NAME.fullmatch(name):
            raise LabError(f"'{name}' cannot name a probe; letters, digits, '.', '_', '+' and '-' can")
        path = self._probe_path(name, step)
        with sentences(path):
            path.parent.mkdir(exist_ok=True)
            write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
        return path

    def probes(self) -> dict[str, list[int]]:
        """What was probed: the quantity, and the checkpoints it was measured at."""
        found: dict[str, list[int]] = {}
        for match in filter(None, map(_PROBE.fullmatch, files(self.path / "probes"))):
            found.setdefault(match[1], []).append(int(match[2]))
        return {name: sorted(steps) for name, steps in sorted(found.items())}

    def probe(self, name: str, step: int | None = None) -> pd.DataFrame:
        """The table of a quantity at a checkpoint; without a step, of all of them, with the column `step` in front."""
        there = self.probes()
        if name not in there:
            has = f"it has {listed(there)}{nearest(name, there)}" if there else f"`labapp probe {self.id}` makes one"
            raise LabError(f"run '{self.id}' has no probe '{name}'; {has}")
        if step is None:
            tables = [self._probe(name, at).assign(step=at) for at in there[name]]
            whole = pd.concat(tables, ignore_index=True)
            return whole[["step", *whole.columns.drop("step")]]
        if step not in there[name]:
            raise LabError(f"run '{self.id}' has no '{name}' at step {step}; it has {listed(there[name])}")
        return self._probe(name, step)

    def _probe(self, name: str, step: int) -> pd.DataFrame:
        path = self._probe_path(name, step)
        try:
            return pq.ParquetFile(path, page_checksum_verification=True).read().to_pandas()
        except (pa.ArrowException, OSError) as error:
            raise LabError(f"{path} is damaged ({first_line(error)}); `labapp probe {self.id}` makes it anew") from None

    def _probe_path(self, name: str, step: int) -> Path:
        return self.path / "probes" / f"{name}.step-{step:08d}.parquet"

    @property
    def problems(self) -> list[str]:
        """One sentence for each file of the run that is missing or cannot be read; everything else can."""
        found: list[str] = []
        for name in self.tables():
            table = self._table(name)
            table.look()
            found += table.problems.values()
        return found + list(filter(None, self._checkpoints().values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.path.absolute() == other.path.absolute()

    def __hash__(self) -> int:
        return hash(self.path.absolute())

    def __repr__(self) -> str:
        return f"Run({os.fspath(self.path)!r})"


def list_runs(root: str | Path) -> list[Run]:
    """The readable runs of an archive, newest first."""
    runs = [found for path in _run_folders(root) if isinstance(found := _opened(path), Run)]
    return sorted(runs, key=lambda run: (run.started, run.id), reverse=True)


def find_run(word: str | Path, root: str | Path) -> Run:
    """A run by its id, its folder, or its net's name where only one run has it.

    Raises:
        LabError: If there is none, or more than one of that name.
    """
    for path in (Path(root) / word, Path(word)):
        if path.is_dir():
            return Run(path)
    there = list_runs(root)
    same = [run for run in there if run.name == word]
    if len(same) > 1:
        raise LabError(f"{len(same)} runs are a {word}; give one of {listed((run.id for run in same), 'or')}")
    if not same:
        known = [name for run in there for name in (run.id, run.name)]
        near = nearest(word, known) or "; `labapp runs list` shows them"
        raise LabError(f"there is no run '{word}' in {root}{near}")
    return same[0]


def broken_runs(root: str | Path) -> list[tuple[Path, str]]:
    """The folders of an archive that cannot be read as runs, each with the reason."""
    return [(path, found) for path in _run_folders(root) if isinstance(found := _opened(path), str)]


def remove_run(root: str | Path, run_id: str) -> None:
    """Delete a run, readable or not; one that is being written is refused."""
    names = [folder.name for folder in _run_folders(root)]
    if run_id not in names:
        raise LabError(
            f"{root} holds no run '{run_id}'{nearest(run_id, names) or '; `labapp runs list` shows the runs'}"
        )
    path = Path(root) / run_id
    found = _opened(path)
    if isinstance(found, Run) and found.status == "running":
        raise LabError(f"run '{run_id}' is being written; stop it first")
    ours = {"run.json", "checkpoints", "probes", *TABLES}
    if isinstance(found, str) and not ours & {entry.name for entry in path.iterdir()}:
        raise LabError(f"{path} holds nothing that the lab wrote, so it is left alone")
    with sentences(path):
        gone = path.with_name(f".removed-{run_id}-{secrets.token_hex(4)}")
        path.rename(gone)  # for every reader at once
        gone.unlink() if gone.is_symlink() else shutil.rmtree(gone)


def _opened(path: Path) -> Run | str:
    try:
        return Run(path)
    except LabError as error:
        return str(error)


def _run_folders(root: str | Path) -> list[Path]:
    root = Path(root)
    try:
        os.scandir(root).close()
    except FileNotFoundError:
        raise LabError(f"there is no archive at {root}; `labapp starter` makes one, --root names another") from None
    except NotADirectoryError:
        raise LabError(f"{root} is a file, not an archive; --root names a folder of runs") from None
    except OSError as error:
        raise LabError(f"the archive {root} cannot be read: {error.strerror}") from None
    return [root / name for name in folders(root)]
