"""Who are these runs, and by what name is one told from the others?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from labapp.config import Experiment
from labapp.store import Run

IDENTITY = ["run", "run_id", "family", "net_depth", "seed"]  # what every table says about its run
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
        run (the shortest name that tells these runs apart), net (the same without seed: equal for runs that are
        repetitions), run_id, family, net_depth, seed, norm, activation, init, imageset, status; one row a run.
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
    table.insert(0, "run", names(runs))
    table.insert(1, "net", names(runs, seeds=False))
    return table


def identities(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What every table says about its run, one dictionary a run."""
    return [{str(name): value for name, value in row.items()} for row in describe(runs)[IDENTITY].to_dict("records")]


def names(runs: Sequence[Run], seeds: bool = True) -> list[str]:
    """The shortest names that tell these runs apart: "residual-56", or "plain-20, seed 1" where seeds differ.

    Of settings that differ, the usual one goes without saying: beside "plain-20, no norm" stands "plain-20". Without
    `seeds`, repetitions of an experiment share a name.
    """
    settings = [_settings(run.experiment, seeds) for run in runs]
    result = []
    for run, own in zip(runs, settings, strict=True):
        twins = [other for twin, other in zip(runs, settings, strict=True) if twin.name == run.name]
        usual = _settings(usual_of(run.experiment), seeds) | {"seed": None}
        differing = [key for key, value in own.items() if any(other[key] != value for other in twins)]
        parts = [run.name, *(_in_words(key, own[key]) for key in differing if own[key] != usual[key])]
        if seeds and twins.count(own) > 1:  # the same experiment again: only the folder tells them apart
            parts.append(run.id.removeprefix(f"{run.name}-"))
        result.append(", ".join(parts))
    return result


def usual_of(experiment: Experiment) -> Experiment:
    """The experiment of this net in which nothing else was asked for."""
    if experiment.net is not None:  # of another maker
        return Experiment(net=experiment.net)
    return Experiment(family=experiment.family, form=experiment.form)


def _settings(experiment: Experiment, seeds: bool) -> dict[str, Any]:
    return experiment.model_dump(exclude=_NO_PART_OF_A_NAME if seeds else _NO_PART_OF_A_NAME | {"seed"})


def _in_words(name: str, value: Any) -> str:
    """A setting as part of a name: seed 1, no norm, preactivation, learning rate 0.05."""
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if value is None or value == "none":
        return f"no {name}"
    if name in {"norm", "init"}:
        return f"{value} {name}"
    return str(value) if name in {"activation", "imageset"} else f"{name.replace('_', ' ')} {value}"
