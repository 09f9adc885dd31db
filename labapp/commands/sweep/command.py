"""The command: a file of experiments, an archive, and what is to be done about them."""

from __future__ import annotations

import json as json_
import math
import os
import sys
import time
from dataclasses import replace
from typing import Annotated

from tyro.conf import Positional, arg

from labapp.commands.options import Root, Trust
from labapp.commands.progress import console
from labapp.commands.sweep import estimating
from labapp.commands.sweep.engines import ENGINES, Means
from labapp.commands.sweep.measuring import require_known
from labapp.commands.sweep.reports import as_json, forecast, outcome
from labapp.commands.sweep.working import RETRIES, Standings, work_off
from labapp.commands.workers import cores
from labapp.config import (
    LabError,
    is_remote,
    listed,
    nearest,
    permissions,
    place,
    require_trust,
    require_writing,
)
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
AddressOption = Annotated[
    str,
    arg(
        metavar="HOST:PORT",
        help="the Ray cluster: that of its head, or auto on one of its nodes "
        "(default: RAY_ADDRESS, else Ray is begun on this machine)",
        help_behavior_hint="",
    ),
]
CpusOption = Annotated[
    float | None,
    arg(metavar="N", help="CPUs of the cluster that each run takes (default: its threads)", help_behavior_hint=""),
]
GpusOption = Annotated[
    float | None,
    arg(
        metavar="N",
        help="GPUs that each takes, or the share of one; with 0 it sees none "
        "(default: 1 where an experiment asks for a GPU, else 0)",
        help_behavior_hint="",
    ),
]
RetriesOption = Annotated[int, arg(metavar="N", help="how often a run goes on whose process or node was lost")]
JsonOption = Annotated[bool, arg(help="print JSON; progress goes to stderr")]


def sweep(
    spec: Positional[SpecWord] = "",
    dry_run: DryOption = False,
    jobs: JobsOption = None,
    threads: ThreadsOption = None,
    retry_failed: RetryOption = False,
    engine: EngineOption = "local",
    address: AddressOption = "",
    cpus_per_run: CpusOption = None,
    gpus_per_run: GpusOption = None,
    retries: RetriesOption = RETRIES,
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
        raise LabError(f"unknown engine '{engine}'; there are {listed(ENGINES)}{nearest(engine, ENGINES)}")
    _require_means(engine, address, cpus_per_run, gpus_per_run, retries)
    asked = read(spec)
    require_known(asked.planned)
    permissions.trust(trust)
    screen = console(stderr=json)
    means = _means(asked, Means(root, jobs, threads or _usual_threads(), address, say=screen.print), engine)
    means = replace(means, cpus=cpus_per_run or means.cpus, gpus=means.gpus if gpus_per_run is None else gpus_per_run)
    standings = Standings(asked, means.root, retry_failed)
    if dry_run:
        todo = [standing.experiment for standing in standings.todo]
        listing = standings.listing
        there = {*estimating.MADE, *(entry.experiment.imageset for entry in listing.entries if not entry.problem)}
        costs = estimating.estimates(todo, estimating.paces(todo, listing), there, means.threads, screen.print)
        if json:
            said = as_json(standings, means.at_once, means.threads, costs)
            sys.stdout.write(json_.dumps(said, ensure_ascii=False, indent=1) + "\n")
        else:
            forecast(screen, standings, means.at_once, means.threads, costs)
        return 0
    require_writing("a sweep")
    for planned in asked.planned:
        require_trust(planned.experiment.net, planned.at)
    if not means.address and means.at_once * means.threads > cores():
        some = f"{means.at_once} trainings of {means.threads} threads"
        screen.print(f"{some} on {cores()} cores get in each other's way")
    began = time.monotonic()
    faults = work_off(standings, screen, lambda: ENGINES[engine](means), retries)
    seconds = time.monotonic() - began
    if json:
        sys.stdout.write(
            json_.dumps(as_json(standings, means.jobs, means.threads, faults=faults, seconds=seconds), indent=1) + "\n"
        )
    else:
        outcome(screen, standings, faults, seconds)
    return 1 if standings.count("failed", "interrupted") else 0


def _usual_threads() -> int:
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else 1


def _means(asked: Sweep, given: Means, engine: str) -> Means:
    """What was given, and what follows for the rest from the engine and the experiments."""
    on_gpu = any(planned.experiment.device in ("gpu", "cuda", "mps") for planned in asked.planned)
    means = replace(given, cpus=float(given.threads), gpus=float(on_gpu))
    if engine == "ray":
        where = place(means.root)  # workers have a working folder of their own
        root = means.root if is_remote(where) else str(where.resolve())
        means = replace(means, root=root, address=means.address or os.environ.get("RAY_ADDRESS", ""))
    return means if means.jobs or means.address else replace(means, jobs=1 if on_gpu else means.at_once)


def _require_means(engine: str, address: str, cpus: float | None, gpus: float | None, retries: int) -> None:
    """Whether what a cluster is asked for makes sense.

    Raises:
        LabError: If it does not.
    """
    given = {"address": address or None, "cpus-per-run": cpus, "gpus-per-run": gpus}
    for name, value in given.items():
        if value is not None and engine != "ray":
            raise LabError(f"--{name} is of a cluster, so it goes with --engine ray")
    if retries < 0:
        raise LabError(f"--retries is a number from 0 on, so it cannot be {retries}")
    if cpus is not None and not 0 < cpus < math.inf:
        raise LabError(f"--cpus-per-run is a number above 0, so it cannot be {cpus:g}")
    if gpus is not None and not (0 <= gpus <= 1 or (1 < gpus < math.inf and gpus == int(gpus))):
        raise LabError(f"--gpus-per-run is a whole number, or a share of one GPU such as 0.5, so it cannot be {gpus:g}")
