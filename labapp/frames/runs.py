"""Who are these runs, and by what name is one told from the others?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from labapp.config import LabError
from labapp.frames.naming import Called, called, name_all
from labapp.store import AGE, Entry, Run, look
from labapp.store.entries import NEVER

IDENTITY = ["run", "run_id", "family", "net_depth", "seed"]  # what every table says about its run


def describe(runs: Sequence[Run]) -> pd.DataFrame:
    """Who the runs are, without opening a table.

    Returns:
        run (its name, see `names`), net (the same without seed: equal for runs that are repetitions), run_id, family,
        net_depth, seed, norm, activation, init, imageset, status, place and net_place (of the run, and of the oldest
        run of its net, among the runs of its family in the archive, the oldest at 0); one row a run.
    """
    rows = [
        {
            "run_id": run.id,
            "family": run.experiment.family,
            "net_depth": run.experiment.depth,
            "seed": run.experiment.seed,
            "norm": run.experiment.norm,
            "activation": run.experiment.activation,
            "init": run.experiment.init,
            "imageset": run.experiment.imageset,
            "status": run.status,
        }
        for run in runs
    ]
    table = pd.DataFrame(rows, columns=[*IDENTITY[1:], "norm", "activation", "init", "imageset", "status"])
    called = pd.DataFrame(callings(runs), columns=list(Called._fields))
    table.insert(0, "run", called["run"])
    table.insert(1, "net", called["net"])
    return table.assign(place=called["place"], net_place=called["net_place"])


def identities(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What every table says about its run, one dictionary a run."""
    return [
        {
            "run": called.run,
            "run_id": run.id,
            "family": run.experiment.family,
            "net_depth": math.nan if run.experiment.depth is None else run.experiment.depth,
            "seed": run.experiment.seed,
        }
        for run, called in zip(runs, callings(runs), strict=True)
    ]


def names(runs: Sequence[Run], seeds: bool = True) -> list[str]:
    """What each run is called on every page, chart and figure: "residual-56", "plain-20 (no norm, seed 1)".

    A name depends on the run and on the older runs of its archive, never on what else is chosen. It says an unusual
    norm, activation and seed, and in what else the run differs from the oldest one of its net and depth; of equal
    experiments a later one adds the last part of its id. Without `seeds`, repetitions of an experiment share a name.
    """
    called = callings(runs)
    return [each.run if seeds else each.net for each in called]


def callings(runs: Sequence[Run]) -> list[Called]:
    """What each run and its net are called; equal names of runs from several archives end in the run's id."""
    known: dict[tuple[Path, str], Called] = {}
    for root in dict.fromkeys(run.path.parent for run in runs):
        ours = [run for run in runs if run.path.parent == root]
        known |= {(root, name): each for name, each in _of_archive(root, ours).items()}
    result = [known[run.path.parent, run.id] for run in runs]
    said = Counter(each.run for each in result)
    return [
        each._replace(run=run.id) if said[each.run] > 1 and each.run != run.id else each
        for run, each in zip(runs, result, strict=True)
    ]


def _of_archive(root: Path, runs: Sequence[Run]) -> dict[str, Called]:
    """Of these runs of an archive, also of those that are no longer in it."""
    for age in (AGE, 0.0):  # a run that was not there a moment ago may be there now
        try:
            listing = look(root, age)
        except LabError:
            there: tuple[Entry, ...] = ()
            break
        there, names = listing.entries, called(listing)
        if all(run.id in names for run in runs):
            return {run.id: names[run.id] for run in runs}
    known = {entry.id for entry in there}
    gone = [Entry(run.id, NEVER, experiment=run.experiment) for run in runs if run.id not in known]
    return dict(name_all([*there[::-1], *gone]))
