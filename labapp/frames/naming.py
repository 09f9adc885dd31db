"""By what name is a run told from the others of its archive?

A name depends on the run and on older ones alone, so that a new run changes none. It says an unusual norm, activation
and seed, and in what else the run differs from the oldest one of its net and depth; of equal experiments a later one
adds the last part of its id. A name that somebody gave takes the place of all that for its run, and changes no other's:
where another run has it already, it ends in a part of the id too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from labapp.config import Experiment, LabError
from labapp.store import Entry, Listing

ALWAYS_SAID = ("norm", "activation", "seed")  # where they are not the usual ones
_NO_PART_OF_A_NAME = {
    "data",
    "device",
    "devices",
    "num_nodes",
    "checkpoints",
    "eval_every",
    "record",
    "record_every",
    "record_points",
    "histograms",
    "spreads",
    "gradient_noise",
}
_FREE = {  # settings from which no other one follows, see `asked_for`
    *("data", "train_images", "test_images", "batch_size", "learning_rate", "momentum", "nesterov", "weight_decay"),
    *("clip_norm", "accumulate", "seed", "record", "record_every", "record_points", "eval_every", "checkpoints"),
    *("histograms", "spreads", "gradient_noise"),
    *("device", "precision", "devices", "num_nodes", "sync_batchnorm", "norm", "activation", "init", "padding_mode"),
}
_DEFAULTS = {name: field.default for name, field in Experiment.model_fields.items()}


class Called(NamedTuple):
    """What a run and its net are called, and their places among those of their family, the oldest at 0."""

    run: str
    net: str
    place: int
    net_place: int


def called(listing: Listing) -> Mapping[str, Called]:
    """Of every run of an archive, by its id."""
    with _naming:
        kept = _known.get(str(listing.root))
        if kept is None or kept[0] is not listing.who:
            if len(_known) >= ARCHIVES:
                _known.clear()
            kept = _known[str(listing.root)] = listing.who, name_all(listing.entries[::-1])
    return kept[1]


ARCHIVES = 8  # whose names are kept
_known: dict[str, tuple[object, dict[str, Called]]] = {}
_naming = threading.Lock()


def name_all(entries: Iterable[Entry]) -> dict[str, Called]:
    """The names of runs, the oldest first."""
    there = list(entries)
    automatic = _automatic(there)
    if not any(entry.labels.name for entry in there):
        return automatic
    taken = {each.run for each in automatic.values()} | automatic.keys()
    found = dict(automatic)
    for entry in there:
        if given := entry.labels.name:
            own = automatic[entry.id].run
            name = given
            if name in taken and name != own:
                name = f"{given} ({_end(entry.id)})"
            name = f"{given} ({entry.id})" if name in taken and name != own else name
            taken.add(name)
            found[entry.id] = found[entry.id]._replace(run=name)
    return found


def _automatic(entries: Iterable[Entry]) -> dict[str, Called]:
    oldest: dict[str, Experiment] = {}
    places: dict[tuple[str, str], int] = {}  # family and net, in which the oldest run of the net is
    found: dict[str, Called] = {}
    taken: set[str] = set()
    count: dict[str, int] = {}
    for entry in entries:
        what, usual = entry.experiment, entry.name
        parts = _parts(what, oldest.setdefault(usual, what))
        net, name = (_with(usual, parts, without) for without in ("seed", ""))
        if name in taken:  # the same experiment again: only the folder tells them apart
            name = _with(usual, parts | {"id": _end(entry.id)}, "")
        name = entry.id if name in taken else name
        taken.add(name)
        place = count.get(what.family, 0)
        count[what.family] = place + 1
        found[entry.id] = Called(name, net, place, places.setdefault((what.family, net), place))
    return found


def _end(run_id: str) -> str:
    return run_id.rpartition("-")[2]


def _parts(own: Experiment, oldest: Experiment) -> dict[str, str]:
    """What the name of a run says besides its net and depth, by setting."""
    mine, usual, first = own.__dict__, usual_of(own).__dict__, oldest.__dict__
    said = {key for key in ALWAYS_SAID if mine[key] != usual[key]}
    differing = {key for key, value in mine.items() if value != first[key]} - said - _NO_PART_OF_A_NAME
    if differing:  # what follows from other settings goes without saying
        said |= differing & (asked_for(own) | asked_for(oldest))
    return {key: _in_words(key, value) for key, value in mine.items() if key in said} if said else {}


def _with(name: str, parts: dict[str, str], without: str) -> str:
    said = [words for key, words in parts.items() if key != without]
    return f"{name} ({', '.join(said)})" if said else name


def usual_of(experiment: Experiment) -> Experiment:
    """The experiment of this net in which nothing else was asked for."""
    if experiment.net is not None:  # of another maker
        return _usual(None, None, experiment.net)
    return _usual(experiment.family, experiment.form, None)


@lru_cache(maxsize=256)
def _usual(family: str | None, form: str | None, net: str | None) -> Experiment:
    return Experiment(net=net) if net is not None else Experiment(family=family, form=form)


def asked_for(experiment: Experiment) -> frozenset[str]:
    """The settings that do not follow from the others: a warm-up of a third of the steps does, one of 5 does not.

    From most settings no other one follows, so the search is made once for all runs that are equal in the rest.
    """
    values = experiment.__dict__
    rest = tuple(values[name] for name in _BINDING)
    base, asked = _searched(rest)
    if base is None:
        return frozenset(_search(experiment))
    return asked | {name for name in _FREE if values[name] is not None and values[name] != base[name]}


_BINDING = tuple(name for name in Experiment.model_fields if name not in _FREE)


@lru_cache(maxsize=4096)
def _searched(rest: tuple[Any, ...]) -> tuple[dict[str, Any] | None, frozenset[str]]:
    """The experiment with these settings in which no free one was asked for, and which of these were."""
    try:
        base = Experiment(**dict(zip(_BINDING, rest, strict=True)))
    except LabError:  # only together with others is it one
        return None, frozenset()
    if any(getattr(base, name) != value for name, value in zip(_BINDING, rest, strict=True)):
        return None, frozenset()
    return base.__dict__, frozenset(_search(base)) - _FREE


def _search(experiment: Experiment) -> set[str]:
    whole = experiment.model_dump(exclude_none=True)
    given = dict(whole)
    for key, value in whole.items():
        del given[key]
        if not _makes(given, experiment):
            given[key] = value
    return set(given)


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
