"""Which nets are meant on the command line?

A run by its id, its folder or its net's name, at one or more checkpoints; or torchvision:NAME, timm:NAME or
MODULE:FACTORY.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from labapp.config import Experiment, LabError, listed
from labapp.store import Run, find_run

if TYPE_CHECKING:
    from labapp.probes.explanations import Subject


@dataclass(frozen=True, eq=False)
class Asked:
    """One net at one checkpoint, under the name it has in the files."""

    name: str
    subject: Subject
    run: Run | None

    @property
    def title(self) -> str:
        """The net, and its step where it is from a run."""
        return self.name if self.subject.step is None else f"{self.name}, step {self.subject.step:,}"


class Wanted(NamedTuple):
    """What is said about nets that are not from a run; what is left out is what their weights' record says."""

    weights: str | None = None
    image_size: int | None = None
    mean: Sequence[float] = ()
    std: Sequence[float] = ()


def find_nets(
    words: Sequence[str], checkpoints: Sequence[str], root: str, wanted: Wanted, source: Experiment | None
) -> list[Asked]:
    """The nets that the words name, each at each checkpoint."""
    from labapp.probes import explanations

    asked: list[Asked] = []
    runs = {word: find_run(word, root) for word in words if not is_spec(word)}
    if wanted.weights is not None and len(words) - len(runs) != 1:
        raise LabError("--weights belongs to one net that is not from a run, such as mymodule:factory")
    if len(runs) == len(words) and any(wanted[1:]):
        raise LabError("--image-size, --mean and --std belong to nets that are not from a run; a run knows its images")
    short = [run.name for run in runs.values()]
    for word in words:
        if word not in runs:
            like = None if source is None else explanations.reading_of(source)
            asked.append(Asked(word, explanations.of_spec(word, **wanted._asdict(), like=like), None))
            continue
        run = runs[word]
        name = run.name if short.count(run.name) == 1 else run.id
        asked += [Asked(name, explanations.of_run(run, step), run) for step in _steps(run, checkpoints)]
    return asked


def is_spec(word: str) -> bool:
    """Whether a word names a net that is not from a run."""
    return ":" in word and not Path(word).exists()


def _steps(run: Run, wanted: Sequence[str]) -> list[int | None]:
    there = run.checkpoints()
    if not wanted:
        return [None]
    if list(wanted) == ["all"]:
        return [*there] or [None]
    steps = list[int | None]()
    for word in wanted:
        if not word.isdecimal():
            raise LabError(f"--checkpoints takes all or steps, not '{word}'; run '{run.id}' has {listed(there)}")
        steps.append(int(word))
    return steps
