"""How is a sweep worked off: what is there, what runs, what has ended?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from labapp.commands.progress import SeriesProgress
from labapp.commands.sweep import estimating
from labapp.commands.sweep.engines import MEASURING, Engine, compare_two, measure_one, tag_run, train_one
from labapp.commands.sweep.measuring import lacking, pairs
from labapp.commands.workers import Work
from labapp.config import Experiment, shown
from labapp.config.sweeps import Planned, Sweep
from labapp.store import Listing, Run
from labapp.training.sweeps import Standing, opened, standings

PACE = 1.0  # seconds between two looks at what others train
RETRIES = 2
Faults = dict[Experiment, list[str]]  # what went wrong, in sentences
Ended = Callable[[], Iterator[Work]]


class Standings:
    """What became of the experiments of a sweep; looked at again after each change."""

    def __init__(self, sweep: Sweep, root: str, retry: bool) -> None:
        self.sweep, self.root, self.retry = sweep, root, retry
        self.planned = {each.experiment: each for each in sweep.planned}  # as they stand in the file
        self.tried: set[Experiment] = set()  # by this command
        self.look()
        self.at_first = {each.experiment: each.state for each in self.all}

    def look(self) -> None:
        """Look into the archive."""
        self.listing: Listing = opened(self.root)
        found = standings([*self.planned], self.listing)
        self.all: list[Standing] = [
            replace(each, state="failed") if each.state == "absent" and each.experiment in self.tried else each
            for each in found  # what fails before it has a run leaves none
        ]

    def count(self, *states: str) -> int:
        """How many experiments stand so."""
        return sum(each.state in states for each in self.all)

    @property
    def todo(self) -> list[Standing]:
        """Those that are to be trained, or to go on."""
        wanted = ("absent", "interrupted", *(("failed", "diverged") if self.retry else ()))
        return [each for each in self.all if each.state in wanted and each.experiment not in self.tried]

    def label(self, experiment: Experiment) -> str:
        """What an experiment is called here."""
        return self.planned[experiment].label

    @property
    def runs(self) -> dict[Planned, Run]:
        """The runs that have finished."""
        there = ((self.planned[each.experiment], each.run) for each in self.all if each.state == "finished")
        return {planned: run for planned, run in there if run is not None}


def work_off(there: Standings, screen: Console, engine: Callable[[], Engine], retries: int = RETRIES) -> Faults:
    """Train what is to be trained, wait for what others train, then measure; returns what went wrong, by experiment.

    Args:
        there: The experiments.
        screen: Where it is told.
        engine: Makes what works it off.
        retries: How often what was lost with its process goes on in another one.
    """
    faults: Faults = {}
    for standing in there.all:
        if standing.run is not None and there.sweep.tag not in there.listing.by_id[standing.run.id].labels.tags:
            tag_run(there.root, standing.run.id, there.sweep.tag)
    _say_what_is_there(there, screen)
    try:
        with engine() as workers, SeriesProgress(screen) as display:
            ended = partial(_ended, workers, display, retries)
            _train(there, workers, display, faults, ended)
            _compare(there, workers, display, faults, ended)
    except KeyboardInterrupt:
        there.look()
        screen.print(
            f"stopped: {there.count('finished')} of {len(there.all)} are finished, {there.count('interrupted')} go on "
            "where they are; the same command goes on"
        )
        raise
    return faults


def _say_what_is_there(there: Standings, screen: Console) -> None:
    total = len(there.all)
    screen.print(f"{there.sweep.name}: {total} experiments, {len(there.todo)} to train, {_counted(there)}")
    if there.count("running"):
        screen.print(f"{there.count('running')} are being trained by another process, which is waited for")


def _counted(there: Standings) -> str:
    states = ("finished", "running", "interrupted", "diverged", "failed")
    said = [f"{there.count(state)} {state}" for state in states if there.count(state)]
    return ", ".join(said) or "none there yet"


def _train(there: Standings, workers: Engine, display: SeriesProgress, faults: Faults, ended: Ended) -> None:
    """Train and measure; then look whether others have trained what they were at, and go on with it if not.

    One seed of everything comes before the next, so that what is stopped is whole as far as it is; the longest first.
    """
    costs = _costs(there)
    measured: set[Experiment] = set()
    while True:
        for planned, run in there.runs.items():
            if planned.experiment not in measured and (wishes := lacking(run, planned)):
                work = workers.add(measure_one, shown(run.path), wishes)
                display.expect(work, f"measuring {planned.label}", costs[planned.experiment] * MEASURING)
            measured.add(planned.experiment)
        for standing in sorted(there.todo, key=lambda each: (each.experiment.seed, -costs[each.experiment])):
            planned = there.planned[standing.experiment]
            there.tried.add(standing.experiment)
            work = workers.add(train_one, planned.experiment, there.root, there.sweep.tag, there.retry, planned.probes)
            cost = costs[planned.experiment] * (1 + MEASURING * bool(planned.probes))
            display.expect(work, f"training {planned.label}", cost)
        for work in ended():
            if work.function is train_one:
                _trained(work, display, faults)
                if work.value is not None and work.value.state == "running":
                    there.tried.discard(work.arguments[0])  # goes on here if whoever trains it does not come to its end
                if work.value is not None and work.value.state == "finished":
                    measured.add(work.arguments[0])
            else:
                _measured(work, display, faults)
        there.look()
        if not there.todo and not there.count("running"):
            return
        if not there.todo:
            time.sleep(PACE)


def _ended(workers: Engine, display: SeriesProgress, retries: int) -> Iterator[Work]:
    """The works, each as it ends; one that was lost with its process is begun once more, and goes on where it was."""
    for work in workers.finished(lambda: display.show(workers.running)):
        if work.lost and work.tries < retries:
            again = workers.add(work.function, *work.arguments)
            again.tries = work.tries + 1
            display.again(work, again)
        else:
            yield work


def _trained(work: Work, display: SeriesProgress, faults: Faults) -> None:
    """Write down how a training ended."""
    said = [work.fault]
    if work.value is not None:
        _, state, words, unmeasured = work.value
        if state == "failed":
            work.fault = words or "it lost a part of its record"
        elif state == "finished":
            work.words = words
        elif state == "running":
            work.words = "another process is at it"
        else:
            work.words = f"{state} ({words})" if words else state
        said = [work.fault, *unmeasured]
    display.end(work)
    if any(said):
        faults.setdefault(work.arguments[0], []).extend(filter(None, said))


def _measured(work: Work, display: SeriesProgress, faults: Faults) -> None:
    display.end(work)
    said = [work.fault] if work.fault else work.value
    if said:
        experiment = Run(Path(work.arguments[0])).experiment
        faults.setdefault(experiment, []).extend(said)


def _compare(there: Standings, workers: Engine, display: SeriesProgress, faults: Faults, ended: Ended) -> None:
    """Compare the layers of runs that differ in their seed, where that is asked for."""
    for planned, run, other, wish in pairs(there.sweep.planned, there.runs):
        work = workers.add(compare_two, shown(run.path), shown(other.path), wish)
        display.expect(work, f"comparing {planned.label} with seed {other.experiment.seed}", 1.0)
    for work in ended():
        _measured(work, display, faults)


def _costs(there: Standings) -> dict[Experiment, float]:
    """What trainings cost beside each other: by paces of the archive, else by steps, images and layers."""
    wanted = [each.experiment for each in there.all]
    known = estimating.paces(wanted, there.listing)
    costs: dict[Experiment, float] = {}
    for experiment in wanted:
        cost = estimating.by_same_nets(experiment, known)
        if cost is not None:
            costs[experiment] = (cost.low * cost.high) ** 0.5
    rough = {each: each.steps * each.batch_size * (each.depth or 20) * (each.width or 16) for each in wanted}
    scale = statistics.median([costs[each] / rough[each] for each in costs] or [1e-6])
    return {each: costs.get(each, rough[each] * scale) for each in wanted}
