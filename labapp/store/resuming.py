"""From where can a training go on that was interrupted?

From a checkpoint that has its training state, or from the point that is kept between two of them: the same two files
in `_resume/`, written anew every so often and gone when the training has ended. Pages show the checkpoints alone.
"""

import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from labapp.config import LabError, first_line, place_of_run
from labapp.store.checkpoints import (
    FOLDER,
    KEPT,
    checkpoint_damage,
    checkpoint_problems,
    weights_name,
    write_checkpoint,
)
from labapp.store.files import files, here, sentences
from labapp.store.lease import Lease
from labapp.store.run import Run


class ResumePoint(NamedTuple):
    """The weights and the training state after `step` steps."""

    step: int
    weights: Path  # a safetensors file
    problem: str  # why it cannot be opened; "" where it can

    def state(self) -> bytes:
        """The training state, a file that loads with weights_only=True, after both files were found whole.

        Raises:
            LabError: if they are not.
        """
        path = here(self.weights.with_suffix(".pt"))
        if damage := self.problem or checkpoint_damage(self.weights):
            raise LabError(damage)
        try:
            return path.read_bytes()
        except OSError as error:
            raise LabError(f"{path} cannot be read: {error.strerror or first_line(error)}") from None


def resume_points(path: str | Path) -> list[ResumePoint]:
    """The points of a run that have their training state, the latest first; those that cannot be opened say why."""
    found, path = [], place_of_run(path)
    for folder in (path / KEPT, path / FOLDER):
        there = files(folder)
        for step, problem in checkpoint_problems(folder).items():
            weights = folder / weights_name(step)
            if weights.with_suffix(".pt").name in there:
                found.append(ResumePoint(step, weights, problem))
    return sorted(found, key=lambda point: point.step, reverse=True)


def why_not_resumed(run: Run) -> str:
    """Why a run cannot be resumed, in a sentence; "" where it can."""
    status = run.status
    if status == "running":
        last = run.attempts[-1]
        return f"run '{run.id}' is being written by process {last.get('pid')} on {last.get('host')}; stop it first"
    if status == "diverged":
        return (
            f"run '{run.id}' diverged ({run.message}), and resumed it would diverge at the same step; "
            "train anew with a smaller --learning-rate, or with --clip-norm"
        )
    if status in ("finished", "incomplete"):
        return f"run '{run.id}' is {status}: its training has ended, so there is nothing to resume"
    if "images" not in run.environment:
        return (
            f"run '{run.id}' was recorded in a loop of its own, not by `labapp train`, so only that can go on with it"
        )
    return ""


class Keeping:
    """What a `RunWriter` keeps so that its training can go on."""

    path: Path
    flush: Callable[[], None]
    _note: Callable[[str], None]
    _disk: threading.RLock
    _lease: Lease

    def checkpoint(self, step: int, tensors: Mapping[str, Any], state: bytes | None = None) -> Path:
        """Write the weights and the training state after `step` steps, and before them all waiting rows.

        Args:
            step: Steps done.
            tensors: Arrays or torch tensors by name.
            state: What else it takes to go on, as bytes of a file that loads with weights_only=True.
        """
        self.flush()
        with self._disk, sentences(path := self.path / "checkpoints" / weights_name(step)):
            self._lease.require()
            write_checkpoint(path, self.path.name, step, tensors, state)
        return path

    def keep(self, step: int, tensors: Mapping[str, Any], state: bytes) -> None:
        """Write all waiting rows, and the point after `step` steps in place of the one before, as `checkpoint` does.

        What fails costs this point alone: it is noted, and the one before stays.

        Raises:
            LabError: if another writer has taken the run over.
        """
        folder = self.path / KEPT
        path = folder / weights_name(step)
        try:
            self.flush()
            with self._disk, sentences(folder):
                self._lease.require()
                write_checkpoint(path, self.path.name, step, tensors, state)
                for name in files(folder)[::-1]:  # weights before their state, which alone is no point
                    if not name.startswith(path.stem):
                        (folder / name).unlink(missing_ok=True)
        except LabError as error:
            if not self._lease.held:
                raise
            self._note(f"no resume point was kept: {first_line(error)}")

    def drop_kept(self) -> None:
        """Delete the kept point, once the training has ended."""
        with self._disk:
            self._lease.require()
            shutil.rmtree(self.path / KEPT, ignore_errors=True)
