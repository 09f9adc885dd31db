"""How do the sums of several processes become those of one run?

Under DistributedDataParallel every process sees its own part of the batch. Only sums are kept until a flush, and sums
add: so one exchange a flush gives the statistics of the joined batch. Rows are matched by the name of their layer, so
processes that ran different layers, or left a step out, meet all the same. A process's loss is the mean over its own
part, so its output gradients are world-size times those of the joined batch's mean loss; parameter gradients are
already averaged.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from labapp.recording.board import GRADIENT, PATHS, WIDTH
from labapp.recording.guard import Guard
from labapp.recording.row import Row
from labapp.recording.sums import Sums

COUNTS = ("outputs", "gradients", "paths")


def joined_with_others(waiting: Sequence[Sums], rows: list[Row], shown: list[int], guard: Guard) -> list[Sums]:
    """The landed sums of all processes added up, in the process that is to write them (rank 0); in the others none.

    Every process calls it the same number of times, since the schedule and the flush depend on the step alone. Rows
    that only other processes have are added to `rows` and `shown`. A step that any process lost to a fault is left out:
    what the others have of it is a part of the batch.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return list(waiting)
    world = dist.get_world_size()
    everyone: list[Any] = [None] * world
    told = {}
    for sums in waiting:
        with guard([sums.step]):
            told[sums.step] = _told(sums, rows, shown)
    dist.all_gather_object(everyone, (told, guard.missing))
    if dist.get_rank() != 0:
        return []
    lost = set().union(*(missing for _, missing in everyone))
    elsewhere = lost & {sums.step for sums in waiting} - guard.missing
    if elsewhere:
        guard.add({"another process lost steps to a fault of its recorder": len(elsewhere)}, elsewhere)
    place = {row.layer: at for at, row in enumerate(rows)}
    for layers in (layers for steps, _ in everyone[1:] for layers in steps.values()):
        for name, one in layers.items():
            if name not in place:
                place[name] = len(rows)
                shown.append(len(rows))
                rows.append(one["row"])
    whole = [sums for sums in waiting if sums.step not in lost]
    for sums in whole:
        _widen(sums, len(rows))
        for steps, _ in everyone[1:]:
            for name, one in steps.get(sums.step, {}).items():
                _add(sums, place[name], one)
        sums.table[:, GRADIENT + 1] /= world**2
        sums.table[:, PATHS : PATHS + 3] /= world**2
    return whole


def _told(sums: Sums, rows: list[Row], shown: list[int]) -> dict[str, dict[str, Any]]:
    """What this process knows of one step, by the name of the layer."""
    ends = {end for link in sums.links.values() for end in link if end is not None}
    found = {}
    for at in sorted({*shown, *ends}):
        if at < len(sums.table):
            found[rows[at].layer] = {
                "row": rows[at],
                "table": sums.table[at],
                "counts": [int(getattr(sums, name)[at]) for name in COUNTS],
                "alive": sums.alive.get(at),
                "exponents": {what: sums.exponents.get((at, what)) for what in ("output", "gradient")},
                "samples": {what: sums.samples.get((at, what)) for what in ("output", "gradient")},
                "void": sums.void.get(at),
            }
    return found


def _widen(sums: Sums, rows: int) -> None:
    more = rows - len(sums.table)
    if more > 0:
        sums.table = np.concatenate([sums.table, np.zeros((more, WIDTH))])
        for name in COUNTS:
            setattr(sums, name, np.concatenate([getattr(sums, name), np.zeros(more, dtype=np.int64)]))


def _add(sums: Sums, at: int, one: dict[str, Any]) -> None:
    sums.table[at] += one["table"]
    for name, count in zip(COUNTS, one["counts"], strict=True):
        getattr(sums, name)[at] += count
    marks = one["alive"]
    if marks is not None:
        known = sums.alive.get(at)
        sums.alive[at] = marks if known is None or known.shape != marks.shape else torch.maximum(known, marks)
    for what in ("output", "gradient"):
        counts, sample = one["exponents"][what], one["samples"][what]
        if counts is not None:
            known = sums.exponents.get((at, what))
            sums.exponents[at, what] = counts if known is None else known + counts
        if sample is not None:
            here = sums.samples.get((at, what))
            sums.samples[at, what] = sample if here is None else here.joined(sample)
    if one["void"]:
        sums.void[at] = one["void"]
