"""Which tables are there to be made of a run, and which are missing? Told without torch.

A task is one table: a quantity at a checkpoint. `labapp.probes.measure` makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labapp.config import LabError, listed
from labapp.probes.catalogue import CHEAP, PLAN, chosen, is_cheap, spec_of, why_not
from labapp.store import Run


@dataclass(frozen=True)
class Task:
    """One table to be made.

    Attributes:
        name: Of the table.
        step: Under which it is kept.
        checkpoint: Whose weights are taken.
        quantity: In the catalogue.
        cheap: Whether only what asks for weights alone goes into it.
    """

    name: str
    step: int
    checkpoint: int
    quantity: str
    cheap: bool = False


def tasks(run: Run, names: Sequence[str] = (), checkpoints: str | Sequence[int] = "") -> tuple[list[Task], list[str]]:
    """What there is to measure on a run, and one sentence about each quantity that does not apply to its net.

    Args:
        run: A run with checkpoints.
        names: Quantities; all that apply when left out.
        checkpoints: all, few, ends, last, or steps; each quantity's own choice when left out.

    Raises:
        LabError: For an unknown quantity, a checkpoint that the run does not have, or none at all.
    """
    there = steps_of(run, "all")
    if checkpoints:
        steps_of(run, checkpoints)  # says that one is not there, before anything is measured
    found, reasons = [], []
    for name in chosen(names):
        why = why_not(name, run.experiment)
        if why:
            reasons.append(f"{name}: {why}")
            continue
        when = spec_of(name).when
        if when == "plan":
            found.append(Task(name, PLAN, there[-1], name))
            continue
        found += [Task(name, step, step, name) for step in steps_of(run, checkpoints or when)]
    return found, reasons


def cheap_tasks(run: Run, names: Sequence[str] = ()) -> list[Task]:
    """What is made in moments and is not there yet: tables of the architecture, and of weights at every checkpoint.

    Raises:
        LabError: For an unknown quantity, or where the run has no checkpoint.
    """
    there = steps_of(run, "all")
    kept = run.probes()
    found = []
    for name in chosen(names):
        if is_cheap(name, run.experiment):
            plan = spec_of(name).when == "plan"
            lacking = [step for step in ([PLAN] if plan else there) if step not in kept.get(name, ())]
            found += [Task(name, step, there[-1] if plan else step, name, cheap=True) for step in lacking]
    return found


def missing(run: Run, todo: Sequence[Task]) -> list[Task]:
    """Those tasks whose table is not there, or only its cheap part."""
    kept = run.probes()

    def there(task: Task) -> bool:
        if task.step not in kept.get(task.name, ()):
            return False
        if task.cheap or spec_of(task.quantity).when == "plan" or not is_cheap(task.quantity, run.experiment):
            return True
        table = run.probe(task.name, task.step)
        return "weighting" not in table or not set(table["weighting"]) <= set(CHEAP)

    return [task for task in todo if not there(task)]


def steps_of(run: Run, wanted: str | Sequence[int]) -> list[int]:
    """The checkpoints of a run that are meant by all, few, ends or last, or by their steps.

    Raises:
        LabError: If there is none, or not that one.
    """
    if not isinstance(wanted, str):
        for step in wanted:
            run.checkpoint_path(step)
        return sorted(set(wanted))
    there = run.checkpoints()
    if wanted not in ("all", "few", "ends", "last"):
        raise LabError(f"checkpoints are all, few, ends, last or steps, not '{wanted}'; this run has {listed(there)}")
    if not there:
        run.checkpoint_path()  # says that there is none
    count = {"all": len(there), "few": 4, "ends": 2, "last": 1}[wanted]
    if count == 1:
        return there[-1:]
    last = len(there) - 1
    return sorted({there[round(last * i / (count - 1))] for i in range(count)})
