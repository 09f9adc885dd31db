"""How are the probes of a run measured and stored?

Each task is one table: a quantity at a checkpoint. A quantity that cannot be measured there says why in one sentence,
and the others go on.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from labapp.config import FOREIGN, LabError, listed
from labapp.diagnostics.measuring.batch_statistics import calibrated
from labapp.probes import representation
from labapp.probes.catalogue import CATALOGUE, IMAGES, PLAN, against_name, chosen, is_cheap, why_not
from labapp.probes.given import CALIBRATION, SEED, Given, ProbeImages, probe_images, require_same_images
from labapp.probes.reuse import CHEAP
from labapp.probes.subjects import as_stored
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


@dataclass(frozen=True)
class Outcome:
    """What became of a task: rows written, or the reason why there are none. `remarks` are about parts of a table."""

    task: Task
    rows: int
    seconds: float
    reason: str = ""
    remarks: list[str] = field(default_factory=list)


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
        when = CATALOGUE[name].when
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
            plan = CATALOGUE[name].when == "plan"
            lacking = [step for step in ([PLAN] if plan else there) if step not in kept.get(name, ())]
            found += [Task(name, step, there[-1] if plan else step, name, cheap=True) for step in lacking]
    return found


def missing(run: Run, todo: Sequence[Task]) -> list[Task]:
    """Those tasks whose table is not there, or only its cheap part."""
    kept = run.probes()

    def there(task: Task) -> bool:
        if task.step not in kept.get(task.name, ()):
            return False
        if task.cheap or CATALOGUE[task.quantity].when == "plan" or not is_cheap(task.quantity, run.experiment):
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


def measure(
    run: Run,
    todo: Sequence[Task],
    *,
    images: int | None = None,
    begin: Callable[[Task], None] = lambda task: None,
    tell: Callable[[float], None] = lambda share: None,
) -> Iterator[Outcome]:
    """Make tables and keep them in the run's probes, one after the other.

    Args:
        run: Where the weights are and the tables go.
        todo: From `tasks`.
        images: Probe images at most, of which a quantity takes as many as it needs; up to IMAGES when left out.
        begin: Called before each task.
        tell: Told the share of the present task that is done.
    """
    if not todo:
        return
    test = _test_images(run, images)
    for task in todo:
        begin(task)
        make = functools.partial(_table, function_of(task.quantity))
        yield _one(run, task, test.first(CATALOGUE[task.quantity].images or 1), test, tell, make)


def against(
    run: Run,
    other: Run,
    *,
    checkpoints: str | Sequence[int] = "last",
    other_checkpoint: int | None = None,
    images: int | None = None,
    begin: Callable[[Task], None] = lambda task: None,
    tell: Callable[[float], None] = lambda share: None,
) -> Iterator[Outcome]:
    """CKA between the layers of two runs, or of one run at two checkpoints.

    Args:
        run: Whose probes the table goes to.
        other: The other run; its layers stand in the columns other_….
        checkpoints: Of the first run.
        other_checkpoint: Of the other one; the last when left out.
        images: Probe images; up to IMAGES when left out.
        begin: Called before each task.
        tell: Told the share of the present task that is done.

    Raises:
        LabError: If the nets do not see the same images.
    """
    require_same_images(run.experiment, other.experiment)
    second = as_stored(other, other_checkpoint)
    step = int(second.step or 0)
    test = _test_images(run, images)

    def compare(given: Given) -> pd.DataFrame:
        with calibrated(second.net, test.first(CALIBRATION).images):
            table = representation.similarity(given, second.net)
        return table.assign(other_run=other.id, other_step=step)

    for own in steps_of(run, checkpoints):
        task = Task(against_name(other.id, step), own, own, "similarity")
        begin(task)
        yield _one(run, task, test, test, tell, compare)


def function_of(name: str) -> Callable[..., pd.DataFrame]:
    """The function that makes a table of the catalogue."""
    return getattr(importlib.import_module(f"labapp.{CATALOGUE[name].module or f'diagnostics.{name}'}"), name)


def offered(given: Given) -> dict[str, Any]:
    """What a function of the catalogue may ask for, by the names of its parameters."""
    return {
        "given": given,
        "model": given.net,
        "net": given.net,
        "images": given.test.images,
        "labels": given.test.labels,
        "train": given.untrained,
        "seed": SEED,
        "progress": given.tell,
    }


def _table(function: Callable[..., pd.DataFrame], given: Given) -> pd.DataFrame:
    asked = inspect.signature(function).parameters
    return function(**{name: value for name, value in offered(given).items() if name in asked})


def _test_images(run: Run, count: int | None) -> ProbeImages:
    if count is not None and count < 1:
        raise LabError(f"--images is the number of probe images, so it cannot be {count}")
    batch = probe_images(run.experiment, "test", IMAGES if count is None else count)
    if count is not None and len(batch.labels) < count:
        raise LabError(
            f"{run.experiment.imageset} has {len(batch.labels)} test images here, so {count} of them cannot be taken"
        )
    return batch


def _one(
    run: Run,
    task: Task,
    test: ProbeImages,
    every: ProbeImages,
    tell: Callable[[float], None],
    function: Callable[[Given], pd.DataFrame],
) -> Outcome:
    began = time.perf_counter()
    remarks: list[str] = []
    rows, reason = 0, ""
    try:
        subject = as_stored(run, task.checkpoint)
        seen = CATALOGUE[task.quantity].images > 0 and not task.cheap
        settled = calibrated(subject.net, every.first(CALIBRATION).images) if seen else nullcontext("")
        with settled as batch_norm:
            given = Given(
                subject.net,
                task.checkpoint,
                run.experiment,
                test,
                functools.partial(probe_images, run.experiment, "train", len(test.images)),
                len(subject.classes),
                tell,
                remarks.append,
                batch_norm=batch_norm,
                cheap=task.cheap,
            )
            table = function(given)
        if seen and "batch_norm" not in table:
            table = table.assign(batch_norm=batch_norm)
        run.write_probe(task.name, task.step, table)
        rows = len(table)
    except LabError as error:
        reason = str(error)
    except Exception as error:  # whatever a net of another maker does; the other quantities go on
        if run.experiment.family != FOREIGN:
            raise
        reason = f"this net could not be measured ({type(error).__name__}: {(str(error).splitlines() or [''])[0]})"
    return Outcome(task, rows, time.perf_counter() - began, reason, remarks)
