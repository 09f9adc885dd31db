"""How are the probes of a run measured and stored?

Each task is one table: a quantity at a checkpoint. A quantity that cannot be measured there says why in one sentence,
and the others go on.
"""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from labapp.config import FOREIGN, LabError, first_line
from labapp.diagnostics.measuring.batch_statistics import calibrated
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.probes.catalogue import IMAGES, against_name, spec_of
from labapp.probes.given import CALIBRATION, SEED, Given, ProbeImages, probe_images, require_same_images
from labapp.probes.subjects import as_stored
from labapp.probes.tasks import Task, cheap_tasks, missing, steps_of, tasks
from labapp.store import Run

__all__ = [
    "Outcome",
    "Task",
    "against",
    "cheap_tasks",
    "function_of",
    "measure",
    "missing",
    "offered",
    "steps_of",
    "table_of",
    "tasks",
]


@dataclass(frozen=True)
class Outcome:
    """What became of a task: rows written, or the reason why there are none. `remarks` are about parts of a table."""

    task: Task
    rows: int
    seconds: float
    reason: str = ""
    remarks: list[str] = field(default_factory=list)


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
        make = functools.partial(_registered, task.quantity)
        yield _one(run, task, test.first(spec_of(task.quantity).images or 1), test, tell, make)


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
        from labapp.probes import representation  # scikit-learn and SciPy are not for every probe

        with calibrated(second.net, test.first(CALIBRATION).images):
            table = representation.similarity(given, second.net)
        return table.assign(other_run=other.id, other_step=step)

    for own in steps_of(run, checkpoints):
        task = Task(against_name(other.id, step), own, own, "similarity")
        begin(task)
        yield _one(run, task, test, test, tell, compare)


def function_of(name: str) -> Callable[..., pd.DataFrame]:
    """The function that makes a table: one of the lab, or of a package, which is imported here and not before.

    Raises:
        LabError: If the name is not known, or the package cannot be imported.
    """
    spec = spec_of(name)
    if not spec.package:
        return _named(f"labapp.{spec.module or f'diagnostics.{name}'}", name)
    try:
        return _named(spec.module, name)
    except Exception as error:  # whatever somebody's module does while it is imported
        raise LabError(
            f"{spec.package}, which offers '{name}', cannot be imported ({type(error).__name__}: {first_line(error)})"
        ) from error


def _named(module: str, name: str) -> Callable[..., pd.DataFrame]:
    found: Callable[..., pd.DataFrame] = getattr(importlib.import_module(module), name)
    return found


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


def _registered(name: str, given: Given) -> pd.DataFrame:
    """The table of a registered diagnostic; one of another package has copies, so that what it changes is its own."""
    function, spec = function_of(name), spec_of(name)
    if not spec.package:
        return table_of(function, given)
    net, batch = copy.deepcopy(given.net), given.test
    with undisturbed(net):
        own = ProbeImages(batch.images.clone(), batch.labels.clone())
        table = table_of(function, replace(given, net=net, test=own))
    if not isinstance(table, pd.DataFrame):
        raise LabError(f"'{name}' of {spec.package} returns {type(table).__name__}, not a pandas.DataFrame")
    return table


def table_of(function: Callable[..., pd.DataFrame], given: Given) -> pd.DataFrame:
    """What a function makes of what it asks for by the names of its parameters."""
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
    rows, reason, spec = 0, "", spec_of(task.quantity)
    try:
        subject = as_stored(run, task.checkpoint)
        seen = spec.images > 0 and not task.cheap
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
    except Exception as error:  # whatever a net or a diagnostic of another maker does; the other quantities go on
        if run.experiment.family != FOREIGN and not spec.package:
            raise
        whose = f", by {spec.package}" if spec.package else ""
        reason = f"this net could not be measured{whose} ({type(error).__name__}: {first_line(error)})"
    return Outcome(task, rows, time.perf_counter() - began, reason, remarks)
