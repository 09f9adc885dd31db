"""What does a run say, while it is written and afterwards?

    run = Run("runs/residual-56-20260301-101500-a1b2")
    run.status, run.progress                                # "running", (120, 300)
    run.layers(columns=["step", "output_grad_norm"], where={"kind": "conv"}, steps=slice(0, 100))

Reading never changes anything, and nothing half-written can make it fail.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
from pydantic import ValidationError

from labapp.config import Experiment, LabError, listed, nearest, place_of_run, sentence, shown
from labapp.store.checkpoints import checkpoint_problems, weights_name
from labapp.store.display import run_card
from labapp.store.entries import NEVER, is_written
from labapp.store.files import current, folders, here
from labapp.store.filters import RowFilter, Steps, steps_condition
from labapp.store.matrices import Matrices, read_matrices
from labapp.store.parts import mark_of
from labapp.store.probed import Probed
from labapp.store.record import Record, read_record
from labapp.store.schema import TABLES, known_columns
from labapp.store.table import Table, damage_below

if TYPE_CHECKING:
    import pandas as pd  # which takes half a second, and a list of runs does without


class Run(Probed):
    """A run as it lies on disk, whether being written, finished or broken off.

    Attributes:
        path: Its folder.
        id: The folder's name.
        seen: The run.json that `record` was read from: its inode, time and size.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = place_of_run(path)
        self.id, self.seen = self.path.name, NEVER
        self._tables: dict[str, Table] = {}
        self._experiment = self.record.experiment

    @classmethod
    def of(cls, path: Path, experiment: Experiment) -> Self:
        """A run that an index knows: its run.json is read when something else than the experiment is asked for."""
        self = cls.__new__(cls)
        self.path, self.id = path, path.name
        self.seen, self._tables, self._experiment = NEVER, {}, experiment
        return self

    @property
    def experiment(self) -> Experiment:
        """What was run."""
        return self._experiment

    @property
    def record(self) -> Record:
        """The contents of run.json as they are now, for reading only."""
        path = self.path / "run.json"
        current(self.path)
        try:
            about = path.stat()
            seen = (about.st_ino, about.st_mtime_ns, about.st_size)
            if seen != self.seen:
                self._record = read_record(path.absolute(), seen)
                self.seen = seen
        except (FileNotFoundError, NotADirectoryError):
            if self.path.is_dir():
                raise LabError(
                    f"{shown(self.path)} holds no run.json, so it is no run; `labapp runs list` shows the runs"
                ) from None
            near = nearest(self.id, folders(self.path.parent)) or "; `labapp runs list` shows the runs"
            raise LabError(f"there is no run at {shown(self.path)}{near}") from None
        except OSError as error:
            raise LabError(f"{shown(path)} cannot be read: {error.strerror}") from None
        except LabError:
            raise
        except ValidationError as error:
            raise LabError(f"{path} is not as this version of the lab writes it: {sentence(error)}") from None
        except (ValueError, TypeError, AttributeError, RecursionError):
            mend = f"`labapp runs check {self.id} --repair` restores it from its copy"
            raise LabError(f"{path} is damaged; {mend}, and the tables beside it are Parquet files") from None
        return self._record

    @property
    def name(self) -> str:
        """Family and depth, "residual-56"."""
        return self.experiment.name

    @property
    def status(self) -> str:
        """One of STATUSES, or "interrupted" when run.json says running but the process that wrote it is gone."""
        record = self.record
        latest = record.attempts[-1] if record.attempts else None
        if record.status == "running" and not is_written(self.path, latest, self.seen):
            return "interrupted"
        return record.status

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
        """What the recorder reports about itself, including its cost."""
        return self.record.recorder

    @property
    def layers_info(self) -> list[dict[str, Any]]:
        """The layers in order of execution: index, path, kind, depth, stage, block, shape, parameters."""
        return self.record.layers

    @property
    def version(self) -> str:
        """A string that changes whenever something is added to the run, as a key for caches."""
        _ = self.record
        return " ".join([*map(str, self.seen), self.written(*folders(self.path))])

    def written(self, *tables: str) -> str:
        """A string that changes whenever rows are added to one of these tables; what run.json says is none of it."""
        return " ".join(filter(None, (mark_of(self.path / name) for name in tables)))

    def tables(self) -> list[str]:
        """The names of the tables that something was written to."""
        return [name for name in folders(self.path) if name not in ("probes", "checkpoints")]

    def table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        where: RowFilter = None,
        steps: Steps = None,
    ) -> pd.DataFrame:
        """A table by its name, rows in the order written.

        Args:
            name: layers, steps, evals, or any other that was written.
            columns: What to read; all by default. A quantity that a part lacks is NaN there.
            where: [("step", ">=", 100), …] which all hold, or {"kind": "conv", "stage": [1, 2]}.
            steps: A step, a slice of steps (its end excluded) or several.
        """
        frame: pd.DataFrame = self.arrow(name, columns, where, steps).to_pandas()
        return frame

    def arrow(
        self, name: str, columns: Sequence[str] | None = None, where: RowFilter = None, steps: Steps = None
    ) -> pa.Table:
        """The same as `table`, in Arrow's form."""
        if name not in TABLES and name not in self.tables():
            there = nearest(name, {*TABLES, *self.tables()}) or f"; it has {listed(sorted({*TABLES, *self.tables()}))}"
            raise LabError(f"run '{self.id}' has no table '{name}'{there}")
        found = self._table(name).read(columns, where, steps_condition(steps))
        if not len(found):
            _ = self.record  # a run removed meanwhile is not an empty one
        return found

    def matrices(self, columns: Sequence[str], since: int | None = None) -> Matrices:
        """Quantities of every layer as matrices of step × layer, from the step `since` on."""
        return read_matrices(self._table("layers"), columns, since)

    def _table(self, name: str) -> Table:
        table = self._tables.setdefault(name, Table(self.path / name, known_columns(name)))
        table.last = self.record.parts.get(name)  # read before the parts are: there may be more of them by then
        return table

    def layers(
        self, columns: Sequence[str] | None = None, where: RowFilter = None, steps: Steps = None
    ) -> pd.DataFrame:
        """One row a (step, layer). Columns: step, layer, kind, depth, relative_depth, stage, block, and QUANTITIES."""
        return self.table("layers", columns, where, steps)

    def steps(self, columns: Sequence[str] | None = None, where: RowFilter = None) -> pd.DataFrame:
        """One row a step. Columns: step, loss, accuracy, learning_rate, grad_norm, seconds, images_per_second."""
        return self.table("steps", columns, where)

    def evals(self, columns: Sequence[str] | None = None, where: RowFilter = None) -> pd.DataFrame:
        """One row an evaluation after `step` steps. Columns: step, split, loss, accuracy."""
        return self.table("evals", columns, where)

    def checkpoints(self) -> list[int]:
        """The steps at which weights were kept; a damaged file is left out here and named in `problems`."""
        return [step for step, problem in self._checkpoints().items() if not problem]

    def _checkpoints(self) -> dict[int, str]:
        return checkpoint_problems(self.path / "checkpoints")

    def checkpoint_path(self, step: int | None = None) -> Path:
        """The weights after `step` steps (the last ones by default), a safetensors file."""
        steps = self.checkpoints()
        if not steps:
            raise LabError(f"run '{self.id}' has no checkpoint; `--checkpoints` says how many are kept")
        if step is not None and step not in steps:
            raise LabError(f"run '{self.id}' has no checkpoint at step {step}; it has {listed(steps)}")
        return here(self.path / "checkpoints" / weights_name(steps[-1] if step is None else step))

    def state_path(self, step: int | None = None) -> Path | None:
        """The training state beside a checkpoint; None when only the weights were kept."""
        path = here(self.checkpoint_path(step).with_suffix(".pt"))
        return path if path.is_file() else None

    @property
    def damage(self) -> list[str]:
        """One sentence for each file that turned out to be damaged when any reader in this process read it."""
        return damage_below(self.path)

    @property
    def problems(self) -> list[str]:
        """One sentence for each file of the run that is missing or cannot be read."""
        found: list[str] = []
        for name in sorted({*self.tables(), *self.record.parts}):
            table = self._table(name)
            table.look()
            found += table.problems.values()
        found += [fault for fault in self.record.faults if fault not in found]
        return found + list(filter(None, self._checkpoints().values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.path.absolute() == other.path.absolute()

    def __hash__(self) -> int:
        return hash(self.path.absolute())

    _repr_html_ = run_card  # in a notebook

    def __repr__(self) -> str:
        return f"Run({os.fspath(self.path)!r})"
