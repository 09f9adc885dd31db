"""Which plain and residual nets does a figure set side by side?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labapp import frames
from labapp.config import BELONGS_TO, LabError
from labapp.store import Run

FAMILIES = ("plain", "residual")


def deepest_pair(runs: Sequence[Run], seeds: int) -> list[Run]:
    """The deepest plain net and the residual net of its depth that differ in nothing else, by family, then by seed.

    Of several such pairs of one depth, that with the most seeds.

    Args:
        runs: Among which to look.
        seeds: The most of each net.

    Raises:
        LabError: If there is no such pair.
    """
    found: dict[tuple[int, str], dict[str, dict[str, list[Run]]]] = {}
    for run, net in zip(runs, frames.names(runs, seeds=False), strict=True):
        family, settings = run.experiment.family, frames.comparable(run.experiment)
        if family in FAMILIES:
            shared = {name: value for name, value in settings.items() if "plain" in BELONGS_TO.get(name, FAMILIES)}
            own = found.setdefault((run.experiment.depth or 0, repr(shared)), {}).setdefault(family, {})
            own.setdefault(net, []).append(run)
    pairs: dict[Any, list[list[Run]]] = {
        key: [max(families[family].values(), key=len) for family in FAMILIES]
        for key, families in found.items()
        if len(families) == len(FAMILIES)
    }
    if not pairs:
        raise LabError("there is no plain net beside a residual net of its depth that was trained alike; train both")
    deepest = max(pairs, key=lambda key: (key[0], sum(map(len, pairs[key]))))
    return [run for own in pairs[deepest] for run in sorted(own, key=lambda run: run.experiment.seed)[:seeds]]
