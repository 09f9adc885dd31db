"""Who is compared: one run, or several as one group?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from labapp.config import LabError, listed
from labapp.frames.naming import settings
from labapp.frames.runs import names
from labapp.store import Run


class Side(NamedTuple):
    """One of the two that are compared.

    Attributes:
        name: "plain-20"; of repetitions "plain-20 (3 seeds)"; of other groups "plain-20, plain-56 and 2 more".
        runs: Each counts as one.
        left_out: What was given but does not count, each with its reason, in sentences.
    """

    name: str
    runs: tuple[Run, ...]
    left_out: tuple[str, ...] = ()


def side(runs: Sequence[Run]) -> Side:
    """Runs as one side of a comparison; of an experiment that ran twice, seed and all, one counts, a finished one.

    Raises:
        LabError: There is no run.
    """
    if not runs:
        raise LabError("a comparison has two sides, and one of them has no run; choose a run for it")
    found = list(dict.fromkeys(runs))
    best: dict[str, Run] = {}
    for run in sorted(found, key=lambda run: (run.status == "finished", run.started, run.id), reverse=True):
        best.setdefault(repr(settings(run.experiment)), run)
    kept = [run for run in found if run in best.values()]
    twice = [run for run in found if run not in kept]
    left_out = (f"{listed(run.id for run in twice)}: the same experiment again, which counts once",) if twice else ()
    return Side(_name(kept), tuple(kept), left_out)


def _name(runs: Sequence[Run]) -> str:
    called, nets = names(runs), dict.fromkeys(names(runs, seeds=False))
    if len(runs) == 1:
        return called[0]
    if len(nets) == 1:
        return f"{next(iter(nets))} ({len(runs)} seeds)"
    return listed(nets) if len(nets) < 4 else f"{', '.join(list(nets)[:2])} and {len(nets) - 2} more"
