"""How is the starter comparison recorded from a terminal, and how did it end?"""

import math
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from labapp.commands.progress import TrainingProgress, figures, percent
from labapp.config import Experiment, LabError
from labapp.store import Run
from labapp.training.logbook import first_over_last
from labapp.training.starter import Result, finished


def record(experiments: Sequence[Experiment], root: str | Path, console: Console) -> list[Result]:
    """Train those experiments that the archive holds no finished run of; when one fails, the next are still trained."""
    there = finished(experiments, root)
    missing = [experiment for experiment in experiments if experiment not in there]
    for experiment, run in there.items():
        console.print(f"{experiment.name} is there already ({run.id})")
    if missing:
        console.print("torch is being loaded …")
        from labapp.training.loop import train

    faults: dict[Experiment, str] = {}
    began = time.monotonic()
    with TrainingProgress(missing) as display:
        for experiment in missing:
            try:
                there[experiment] = train(experiment, root, progress=display.next())
            except LabError:
                raise  # a mistake that would meet every one of them: a folder that cannot be written
            except Exception as error:
                faults[experiment] = f"{type(error).__name__}: {error}"
    if missing:
        console.print(f"recorded in {time.monotonic() - began:.0f} s")
    return [Result(each, there.get(each), faults.get(each, "")) for each in experiments]


def summary(results: Sequence[Result]) -> Table:
    """One row a net: test accuracy, gradient ratio at initialisation and at the end, time."""
    table = Table(title="The starter comparison", title_justify="left")
    table.add_column("net")
    table.add_column("test accuracy", justify="right")
    table.add_column("gradient first/last, at first", justify="right")
    table.add_column("at the end", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("status")
    for experiment, run, fault in results:
        if run is None:
            table.add_row(experiment.name, "–", "–", "–", "–", f"failed: {fault}")
            continue
        rows = run.layers(columns=["step", "kind", "depth", "output_grad_norm"], where={"kind": "conv"})
        first, last = (first_over_last(rows, step) for step in (rows["step"].min(), rows["step"].max()))
        accuracy = percent(final_accuracy(run, "test"))
        table.add_row(run.name, accuracy, figures(first), figures(last), f"{run.seconds:.0f}", run.status)
    return table


def degradation(results: Sequence[Result]) -> Table:
    """Does depth help? Training and test accuracy of plain beside residual nets, one row a depth."""
    found = {(run.experiment.family, run.experiment.depth): run for _, run, _ in results if run is not None}
    table = Table(title="Plain against residual", title_justify="left")
    table.add_column("layers", justify="right")
    for family in ("plain", "residual"):
        table.add_column(f"{family}: training", justify="right")
        table.add_column("test", justify="right")
    table.add_column("residual − plain, test", justify="right")
    for depth in sorted({depth for family, depth in found if depth and family == "plain"}):
        plain, residual = found["plain", depth], found.get(("residual", depth))
        if residual is None:
            continue
        shares = [final_accuracy(run, split) for run in (plain, residual) for split in ("train", "test")]
        table.add_row(str(depth), *map(percent, shares), f"{100 * (shares[3] - shares[1]):+.1f} points")
    return table


def final_accuracy(run: Run, split: str) -> float:
    """The last accuracy measured on a split, a share; NaN where there is none."""
    evals = run.evals(columns=["accuracy"], where={"split": split})
    return float(evals["accuracy"].iloc[-1]) if len(evals) else math.nan
