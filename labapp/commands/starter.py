"""How is the starter comparison recorded from a terminal, and how did it end?

Nets train at the same time, one a core, each in a process of its own; afterwards their checkpoints are measured, so
that every page of the app has something to show. What is there already is not done again.
"""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table
from tyro.conf import arg

from labapp.commands.accuracies import final_accuracy
from labapp.commands.options import Root
from labapp.commands.progress import SeriesProgress, console, figures, percent
from labapp.commands.workers import Tell, Workers, cores
from labapp.config import Experiment, LabError
from labapp.probes.catalogue import shown, why_not
from labapp.store import Run
from labapp.training.logbook import Moment, first_over_last
from labapp.training.starter import STARTER, Result, finished, resumable, seconds

MOST = 4  # nets at a time, whatever the cores: each holds torch and its batches in memory
JobsOption = Annotated[int | None, arg(metavar="N", help="nets at a time (default: one a core, at most 4)")]


def record(
    experiments: Sequence[Experiment], root: str | Path, console: Console, jobs: int | None = None
) -> list[Result]:
    """Train those experiments that the archive holds no finished run of, then measure what was not measured yet.

    Args:
        experiments: What to train; when one fails, the others are still trained.
        root: The archive.
        console: Where to say how it goes.
        jobs: Nets at a time; as many as there are cores when left out, at most `MOST`.

    Raises:
        LabError: For a mistake that meets all of them, such as a folder that cannot be written.
    """
    there, begun = finished(experiments, root), resumable(experiments, root)
    for experiment, run in there.items():
        console.print(f"{experiment.name} is there already ({run.id})")
    for experiment, run in begun.items():
        if experiment not in there:
            console.print(f"{experiment.name} was interrupted and goes on ({run.id})")
    count = max(1, min(jobs or min(cores(), MOST), len(experiments)))
    faults: dict[Experiment, str] = {}
    began = time.monotonic()
    with Workers(count) as workers, SeriesProgress() as display:
        for experiment in sorted(set(experiments) - set(there), key=lambda each: _turn(each, experiments)):
            work = workers.add(
                _train, experiment, str(root), str(begun[experiment].path) if experiment in begun else ""
            )
            training, measuring = seconds(experiment)
            display.expect(work, f"training {experiment.name}", training, after=measuring)
        for experiment, run in there.items():
            if not is_measured(run):
                work = workers.add(_probe, str(run.path))
                display.expect(work, f"measuring {experiment.name}", seconds(experiment)[1])
        for work in workers.finished(lambda: display.show(workers.running)):
            display.end(work)
            if work.function is not _train:
                continue
            experiment = work.arguments[0]
            if work.fault:
                faults[experiment] = work.fault
                display.forget(seconds(experiment)[1])
                continue
            there[experiment] = Run(work.value)
            display.expect(workers.add(_probe, work.value), f"measuring {experiment.name}", seconds(experiment)[1])
    if display.done:
        console.print(f"recorded and measured in {time.monotonic() - began:.0f} s")
    return [Result(each, there.get(each), faults.get(each, "")) for each in experiments]


def is_measured(run: Run) -> bool:
    """Whether every table that a page shows and that applies to a run's net is there at some checkpoint."""
    kept = run.probes()
    return all(name in kept for name in shown() if not why_not(name, run.experiment))


def _turn(experiment: Experiment, experiments: Sequence[Experiment]) -> tuple[bool, float]:
    """The first two come first, because they soon show something; then the longest, so that none is left over."""
    at = list(experiments).index(experiment)
    return (True, -seconds(experiment)[0]) if at > 1 else (False, at)


def _train(experiment: Experiment, root: str, begun: str, tell: Tell) -> str:
    """Train and record a net, and measure what costs nothing; in a process of its own. The run's folder.

    One that was begun goes on, if it still can; else a new run is made.
    """
    from labapp.commands.cheap import measure_cheaply
    from labapp.training.loop import resume, train

    def progress(moment: Moment) -> None:
        tell(moment.step / moment.steps, _where(moment))

    run = None
    if begun:
        with contextlib.suppress(LabError):
            run = resume(begun, progress=progress)
    measure_cheaply(run := run or train(experiment, root, progress=progress))
    return str(run.path)


def _probe(path: str, tell: Tell) -> None:
    """Measure what the app's pages show and was not measured yet on a run's checkpoints; in a process of its own."""
    from labapp.probes import measure

    run = Run(path)
    if not run.checkpoints():
        return
    todo = measure.missing(run, measure.tasks(run, shown())[0])
    for done, outcome in enumerate(measure.measure(run, todo), start=1):
        tell(done / len(todo), outcome.task.name)


def _where(moment: Moment) -> str:
    return f"step {moment.step} of {moment.steps}, test {percent(moment.test_accuracy)}"


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
    """Does depth help? Training and test accuracy of plain beside residual nets that finished, one row a depth."""
    done = [run for _, run, _ in results if run is not None and run.status == "finished"]
    found = {(run.experiment.family, run.experiment.depth): run for run in done}
    said = "One seed each, so chance cannot be told from the nets."
    table = Table(title="Plain against residual", title_justify="left", caption=said, caption_justify="left")
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


def starter(root: Root = "runs", jobs: JobsOption = None) -> int:
    """Record the starter comparison: plain, residual, dense and VGG nets side by side.

    Trains plain-20, residual-20, plain-56, residual-56, a DenseNet-BC of 40 layers and a VGG of 11 on the same images
    in the same order with the same recipe, several at a time, and measures their checkpoints. What is in the archive
    already is not done again, so a starter that was interrupted goes on.
    """
    screen = console()
    if jobs is not None and jobs < 1:
        raise LabError(f"--jobs is the number of nets at a time, so it cannot be {jobs}")
    results = record(STARTER, root, screen, jobs)
    screen.print(summary(results))
    screen.print(degradation(results))
    return 1 if any(result.run is None for result in results) else 0
