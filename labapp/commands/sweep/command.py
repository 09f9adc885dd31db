"""The command: a file of experiments, an archive, and what is to be done about them."""

from __future__ import annotations

import json as json_
import os
import sys
import time
from typing import Annotated

from tyro.conf import Positional, arg

from labapp.commands.options import Root, Trust
from labapp.commands.progress import console
from labapp.commands.sweep import estimating
from labapp.commands.sweep.engines import ENGINES
from labapp.commands.sweep.measuring import require_known
from labapp.commands.sweep.reports import as_json, forecast, outcome
from labapp.commands.sweep.working import Standings, work_off
from labapp.commands.workers import cores
from labapp.config import LabError, listed, nearest, permissions, require_trust, require_writing
from labapp.config.sweeps import Sweep, read

SpecWord = Annotated[str, arg(metavar="SPEC", help="a YAML file of lists and grids of experiments")]
JobsOption = Annotated[
    int | None, arg(metavar="N", help="trainings at a time (default: one a core; on a GPU one)", help_behavior_hint="")
]
ThreadsOption = Annotated[
    int | None,
    arg(metavar="N", help="threads of each training (default: OMP_NUM_THREADS, else 1)", help_behavior_hint=""),
]
DryOption = Annotated[bool, arg(help="say what would run, what is there, and about how long it takes")]
RetryOption = Annotated[bool, arg(help="try again what failed or diverged")]
EngineOption = Annotated[str, arg(metavar="NAME", help=f"who computes: {listed(ENGINES, 'or')}")]
JsonOption = Annotated[bool, arg(help="print JSON; progress goes to stderr")]


def sweep(
    spec: Positional[SpecWord] = "",
    dry_run: DryOption = False,
    jobs: JobsOption = None,
    threads: ThreadsOption = None,
    retry_failed: RetryOption = False,
    engine: EngineOption = "local",
    json: JsonOption = False,
    trust: Trust = (),
    root: Root = "runs",
) -> int:
    """Train the experiments of a file that the archive lacks, several at a time, and measure what it asks for.

    The file has a `base` of options of `labapp train`, a `grid` of lists that multiply, `runs` of their own,
    `seeds: [0, 1, 2]`, `probes` to be measured afterwards, and may have several `blocks` of these:

    base: {width: 8, steps: 300}; grid: {family: [plain, residual], depth: [20, 56]}; seeds: [0, 1, 2];
    probes: {lesions: {checkpoints: last, images: 128}}

    What is in the archive is not trained again, what was interrupted goes on, what failed or diverged is kept. So the
    same command goes on after Ctrl-C. Exit code 0 where every training ended, diverged ones too, 1 where one failed.
    """
    if not spec:
        raise LabError("which sweep? `labapp sweep FILE.yaml` trains the experiments of a file")
    for name, number in (("jobs", jobs), ("threads", threads)):
        if number is not None and number < 1:
            raise LabError(f"--{name} is a number from 1 on, so it cannot be {number}")
    if engine not in ENGINES:
        raise LabError(f"unknown engine '{engine}'; there is {listed(ENGINES)}{nearest(engine, ENGINES)}")
    asked = read(spec)
    require_known(asked.planned)
    permissions.trust(trust)
    each = threads or _usual_threads()
    at_once = jobs or _usual_jobs(asked, each)
    standings = Standings(asked, root, retry_failed)
    if dry_run:
        screen = console(stderr=json)
        todo = [standing.experiment for standing in standings.todo]
        listing = standings.listing
        there = {*estimating.MADE, *(entry.experiment.imageset for entry in listing.entries if not entry.problem)}
        costs = estimating.estimates(todo, estimating.paces(todo, listing), there, each, screen.print)
        if json:
            sys.stdout.write(json_.dumps(as_json(standings, at_once, each, costs), ensure_ascii=False, indent=1) + "\n")
        else:
            forecast(screen, standings, at_once, each, costs)
        return 0
    require_writing("a sweep")
    for planned in asked.planned:
        require_trust(planned.experiment.net, planned.at)
    screen = console(stderr=json)
    if at_once * each > cores():
        screen.print(f"{at_once} trainings of {each} threads on {cores()} cores get in each other's way")
    began = time.monotonic()
    faults = work_off(standings, screen, lambda: ENGINES[engine](at_once, each))
    seconds = time.monotonic() - began
    if json:
        sys.stdout.write(
            json_.dumps(as_json(standings, at_once, each, faults=faults, seconds=seconds), indent=1) + "\n"
        )
    else:
        outcome(screen, standings, faults, seconds)
    return 1 if standings.count("failed", "interrupted") else 0


def _usual_threads() -> int:
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else 1


def _usual_jobs(asked: Sweep, threads: int) -> int:
    on_gpu = any(each.experiment.device in ("gpu", "cuda", "mps") for each in asked.planned)
    return 1 if on_gpu else max(1, cores() // threads)
