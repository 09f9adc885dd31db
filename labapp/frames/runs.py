"""Who are these runs, and by what name is one told from the others?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from labapp.config import Experiment, LabError
from labapp.store import Run, list_runs

IDENTITY = ["run", "run_id", "family", "net_depth", "seed"]  # what every table says about its run
ALWAYS_SAID = ("norm", "activation", "seed")  # where they are not the usual ones
_NO_PART_OF_A_NAME = {
    "data",
    "device",
    "devices",
    "checkpoints",
    "eval_every",
    "record",
    "record_every",
    "record_points",
}


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
    called = pd.DataFrame(_called(runs), columns=list(Called._fields))
    table.insert(0, "run", called["run"])
    table.insert(1, "net", called["net"])
    return table.assign(place=called["place"], net_place=called["net_place"])


def identities(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What every table says about its run, one dictionary a run."""
    return [{str(name): value for name, value in row.items()} for row in describe(runs)[IDENTITY].to_dict("records")]


def names(runs: Sequence[Run], seeds: bool = True) -> list[str]:
    """What each run is called on every page, chart and figure: "residual-56", "plain-20 (no norm, seed 1)".

    A name depends on the run and on the older runs of its archive, never on what else is chosen. It says an unusual
    norm, activation and seed, and in what else the run differs from the oldest one of its net and depth; of equal
    experiments a later one adds the last part of its id. Without `seeds`, repetitions of an experiment share a name.
    """
    called = _called(runs)
    return [each.run if seeds else each.net for each in called]


class Called(NamedTuple):
    """What a run and its net are called, and their places among those of their family, the oldest at 0."""

    run: str
    net: str
    place: int
    net_place: int


def _called(runs: Sequence[Run]) -> list[Called]:
    """One for each run; equal names of runs from several archives end in the run's id."""
    known: dict[tuple[Path, str], Called] = {}
    for root in dict.fromkeys(run.path.parent for run in runs):
        known |= {(root, name): called for name, called in _of_archive(root, runs).items()}
    result = [known[run.path.parent, run.id] for run in runs]
    said = [each.run for each in result]
    return [
        each._replace(run=run.id) if said.count(each.run) > 1 and each.run != run.id else each
        for run, each in zip(runs, result, strict=True)
    ]


def _of_archive(root: Path, runs: Sequence[Run]) -> dict[str, Called]:
    """Of every run of an archive by its id, and of those of `runs` that are no longer in it."""
    try:
        there = list_runs(root)[::-1]  # the oldest first
    except LabError:
        there = []
    there += [run for run in runs if run.path.parent == root and run.id not in {other.id for other in there}]
    oldest: dict[str, Experiment] = {}
    places: dict[tuple[str, str], int] = {}  # family and net, in which the oldest run of the net is
    found: dict[str, Called] = {}
    taken: set[str] = set()
    count: dict[str, int] = {}
    for run in there:
        what = run.experiment
        parts = _parts(what, oldest.setdefault(run.name, what))
        net, name = (_with(run.name, parts, without) for without in ("seed", ""))
        if name in taken:  # the same experiment again: only the folder tells them apart
            name = _with(run.name, parts | {"id": run.id.rpartition("-")[2]}, "")
        name = run.id if name in taken else name
        taken.add(name)
        place = count.get(what.family, 0)
        count[what.family] = place + 1
        found[run.id] = Called(name, net, place, places.setdefault((what.family, net), place))
    return found


def _parts(own: Experiment, oldest: Experiment) -> dict[str, str]:
    """What the name of a run says besides its net and depth, by setting."""
    mine, usual, first = (settings(each) for each in (own, usual_of(own), oldest))
    given = asked_for(own) | asked_for(oldest)  # what follows from other settings goes without saying
    return {
        key: _in_words(key, value)
        for key, value in mine.items()
        if (key in ALWAYS_SAID and value != usual[key]) or (value != first[key] and key in given)
    }


def _with(name: str, parts: dict[str, str], without: str) -> str:
    said = [words for key, words in parts.items() if key != without]
    return f"{name} ({', '.join(said)})" if said else name


def usual_of(experiment: Experiment) -> Experiment:
    """The experiment of this net in which nothing else was asked for."""
    if experiment.net is not None:  # of another maker
        return Experiment(net=experiment.net)
    return Experiment(family=experiment.family, form=experiment.form)


@lru_cache(maxsize=1024)
def asked_for(experiment: Experiment) -> frozenset[str]:
    """The settings that do not follow from the others: a warm-up of a third of the steps does, one of 5 does not."""
    whole = experiment.model_dump(exclude_none=True)
    given = dict(whole)
    for key, value in whole.items():
        del given[key]
        if not _makes(given, experiment):
            given[key] = value
    return frozenset(given)


def _makes(given: dict[str, Any], experiment: Experiment) -> bool:
    try:
        return Experiment(**given) == experiment
    except LabError:
        return False


@lru_cache(maxsize=1024)
def settings(experiment: Experiment) -> dict[str, Any]:
    """The settings that may change a result, by name; shared between callers, to be read only."""
    return experiment.model_dump(exclude=_NO_PART_OF_A_NAME)


def _in_words(name: str, value: Any) -> str:
    """A setting as part of a name: seed 1, no norm, preactivation, learning rate 0.05."""
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if value is None or value == "none":
        return f"no {name}"
    if name in {"norm", "init"}:
        return f"{value} {name}"
    return str(value) if name in {"activation", "imageset"} else f"{name.replace('_', ' ')} {value}"
