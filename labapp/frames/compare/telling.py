"""Which two of several runs are worth comparing first?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from labapp.frames.compare.configuration import configuration
from labapp.frames.compare.sides import Side, side
from labapp.frames.runs import names
from labapp.store import Run

MOST = 12  # nets that are tried with each other


def telling(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The two nets that differ in the fewest settings, each with all its seeds; one net's two runs, where there is one.

    Of equals a plain and a residual net, then the deepest, then the newest; the plain net is A, or the older one. A
    side stays empty where there is no run for it.
    """
    nets: dict[str, list[Run]] = {}
    for run, net in zip(runs, names(runs, seeds=False), strict=True):
        nets.setdefault(net, []).append(run)
    sides = [side(sorted(own, key=lambda run: (run.started, run.id))) for own in list(nets.values())[:MOST]]
    if len(sides) < 2:
        own = [run for each in sides for run in each.runs]
        return own[:1], own[1:2]
    return _ordered(min(combinations(sides, 2), key=_rank))


def _rank(pair: tuple[Side, Side]) -> tuple[int, bool, int]:
    families = {each.runs[0].experiment.family for each in pair}
    depth = max(each.runs[0].experiment.depth or 0 for each in pair)
    return len(configuration(*pair)), families != {"plain", "residual"}, -depth


def _ordered(pair: tuple[Side, Side]) -> tuple[list[Run], list[Run]]:
    one, other = sorted(pair, key=lambda each: (each.runs[0].experiment.family != "plain", each.runs[0].started))
    return list(one.runs), list(other.runs)
