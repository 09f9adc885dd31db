"""Where does a training begin: at step 0 of a new run, or where one was interrupted?"""

import contextlib
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labapp.config import Experiment, LabError, first_line
from labapp.imagesets import ImageSet
from labapp.store import ResumePoint, Run, RunWriter, resume_points, why_not_resumed
from labapp.training.state import TrainingState

EQUAL = ("device", "processes", "threads", "torch", "machine")  # of the environment, for equal bits
ABOUT = ("name", "classes", "channels", "image_size", "mean", "std")  # of an image set, as a run notes it


class ResumeWarning(UserWarning):
    """Something to know about a training that is taken up again."""


@dataclass(frozen=True)
class NewRun:
    """A run that is made."""

    experiment: Experiment
    root: Path
    run_id: str | None = None
    first = 0

    def check(self, images: ImageSet) -> None:
        """Any images will do."""

    def state(self) -> None:
        """None: the net is as it was made."""

    def writer(self, environment: Mapping[str, Any]) -> RunWriter:
        """Make the run."""
        return RunWriter.create(self.root, self.experiment, run_id=self.run_id, environment=environment)


@dataclass(frozen=True)
class ResumedRun:
    """A run that was interrupted, and the point from which it goes on; without one it begins again at step 0."""

    experiment: Experiment
    path: Path
    point: ResumePoint | None

    def on(self, devices: int | None, hosts: int | None) -> "ResumedRun":
        """The same on so many devices of so many hosts, which changes last bits alone.

        Raises:
            LabError: if there cannot be so many.
        """
        asked = {"devices": devices, "num_nodes": hosts}
        for name, count in asked.items():
            if count is not None and count < 1:
                raise LabError(f"{name} is a whole number above 0, not {count}")
        told = {name: count for name, count in asked.items() if count is not None}
        return replace(self, experiment=self.experiment.model_copy(update=told))

    @property
    def first(self) -> int:
        """Steps done."""
        return self.point.step if self.point else 0

    def check(self, images: ImageSet) -> None:
        """Compare the images with those of the run.

        Raises:
            LabError: If they are others.
        """
        now, then = noted(images), Run(self.path).environment["images"]
        different = [name for name in now if not _same(now[name], then.get(name))]
        if different:
            name = "count" if "count" in different else different[0]
            raise LabError(
                f"the training images of run '{self.path.name}' are not those it was begun with: their {name} was "
                f"{_short(then.get(name))} and is {_short(now[name])}; put them back, or train anew"
            )

    def state(self) -> TrainingState | None:
        """The state at the point."""
        return TrainingState.read(self.point) if self.point else None

    def writer(self, environment: Mapping[str, Any]) -> RunWriter:
        """Begin a new attempt at the run; says what differs from the one before, where that may change bits."""
        before = Run(self.path).environment
        writer = RunWriter(self.path, from_step=self.first, environment=environment)
        now = writer.run.environment
        changed = [
            f"{name} {before.get(name)} → {now.get(name)}" for name in EQUAL if before.get(name) != now.get(name)
        ]
        if changed:
            sentence = f"from step {self.first} on: {', '.join(changed)}"
            writer.update(environment={"changed": [*before.get("changed", ()), sentence]})
            others = before.get("processes") != now.get("processes") and not self.experiment.sync_batchnorm
            norms = ", and batch norms see parts of another size" if others and self.experiment.norm == "batch" else ""
            _say(f"run '{self.path.name}' goes on elsewhere ({', '.join(changed)}), so last bits may differ{norms}")
        return writer


def noted(images: ImageSet) -> dict[str, Any]:
    """What a run notes of its training images."""
    return {name: getattr(images, name) for name in ABOUT} | {"count": len(images)}


def resumed(run: Run, from_start: bool = False) -> ResumedRun:
    """A run from its last whole point on; a warning tells of later ones that are not, and of a run that has none.

    Args:
        run: One that was interrupted.
        from_start: Begin again at step 0, whatever was kept.

    Raises:
        LabError: If it cannot be resumed, or none of its points can be read.
    """
    if reason := why_not_resumed(run):
        raise LabError(reason)
    faults = []
    for point in [] if from_start else resume_points(run.path):
        try:
            TrainingState.read(point)
        except LabError as error:
            faults.append(f"run '{run.id}' cannot go on from step {point.step}: {first_line(error)}")
        else:
            for fault in faults:
                _say(fault)
            return ResumedRun(run.experiment, run.path, point)
    if faults:
        others = f", nor from {len(faults) - 1} earlier ones" if len(faults) > 1 else ""
        raise LabError(f"{faults[0]}{others}; `labapp resume {run.id} --from-start` begins again at step 0")
    if not from_start:
        _say(f"run '{run.id}' has no state to go on from, so it begins again at step 0")
    return ResumedRun(run.experiment, run.path, None)


def _same(now: Any, then: Any) -> bool:
    """Whether two values are equal, as far as JSON and the last bits of a mean on another machine allow."""
    if isinstance(now, list | tuple):
        return isinstance(then, list) and len(now) == len(then) and all(map(_same, now, then))
    if isinstance(now, float):
        return isinstance(then, float | int) and math.isclose(now, then, rel_tol=1e-9)
    return bool(now == then)


def _short(value: Any) -> str:
    words = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return words if len(words) < 80 else f"{words[:77]}…"


def _say(sentence: str) -> None:
    with contextlib.suppress(ResumeWarning):  # where warnings are errors, this one is none: training goes on
        warnings.warn(sentence, ResumeWarning, stacklevel=3)
