"""What does a dashboard hear of a run besides its curves: settings, versions, how it ended, what people said of it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from labapp.config import LabError
from labapp.store import Labels, Run
from labapp.store.labels import NONE, read_labels


@dataclass(frozen=True)
class AboutRun:
    """What a run is and was.

    Attributes:
        id: Its folder's name.
        name: What somebody called it; its id where nobody did.
        settings: The experiment, without what it does not have.
        environment: Versions, machine, device.
        first: The step from which on this attempt writes; rows from there on replace earlier ones.
    """

    id: str
    name: str
    status: str
    message: str
    started: datetime
    step: int
    steps: int
    seconds: float
    settings: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    note: str = ""
    first: int = 0

    def facts(self) -> dict[str, str]:
        """What is neither a setting nor a curve, as words."""
        facts = {
            "run": self.id,
            "status": self.status,
            "message": self.message,
            "started": self.started.isoformat(timespec="seconds"),
            "steps": f"{self.step} of {self.steps}",
            "seconds": f"{self.seconds:.1f}",
            "tags": ", ".join(self.tags),
        }
        return {name: words for name, words in facts.items() if words} | {
            f"environment.{name}": str(value)
            for name, value in self.environment.items()
            if isinstance(value, str | int | float) and value != ""
        }


def about_run(run: Run, first: int = 0) -> tuple[AboutRun, list[str]]:
    """What there is to say of a run, and sentences about what cannot be read."""
    record, faults = run.record, []
    labels: Labels = NONE
    try:
        labels = read_labels(run.path)
    except LabError as error:
        faults.append(str(error))
    step, steps = run.progress
    return AboutRun(
        run.id,
        labels.name or run.id,
        run.status,
        run.message,
        run.started,
        step,
        steps,
        run.seconds,
        run.experiment.model_dump(exclude_none=True),
        {"labapp": record.labapp, **run.environment},
        labels.tags,
        labels.note,
        first,
    ), faults
