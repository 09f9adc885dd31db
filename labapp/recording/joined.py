"""How do the sums of several processes become those of one run?

Under DistributedDataParallel and fully_shard every process sees its own part of the batch. Only sums are kept until a
flush, and sums add: so one collective a flush gives the statistics of the joined batch (`schema`: what is sent). What
has no place in it yet, at first everything, costs one more collective in which all agree on a wider one. Rows are
matched by the name of their layer, so processes that ran different layers, or left a step out, meet all the same. A
process's loss is the mean over its own part, so its output gradients are world-size times those of the joined batch's
mean loss; parameter gradients are already averaged.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from labapp.config import LabError
from labapp.recording.board import GRADIENT, PATHS, WIDTH
from labapp.recording.change import Change
from labapp.recording.guard import Guard
from labapp.recording.row import Row
from labapp.recording.schema import DIFFERENT, LOST, MARKED, RAISED, THERE, Due, Message, Schema
from labapp.recording.sharded import is_sharded
from labapp.recording.spread import Spread
from labapp.recording.sums import Sums

COUNTS = ("outputs", "gradients", "paths")


def exchange_of(model: nn.Module) -> "Exchange | None":
    """An exchange between the processes that train a model together; None where this one trains it alone."""
    while hasattr(model, "_orig_mod"):  # torch.compile around it
        model = model._orig_mod  # type: ignore[assignment]
    if not (dist.is_available() and dist.is_initialized()):
        return None
    together = isinstance(model, nn.parallel.DistributedDataParallel) or any(is_sharded(p) for p in model.parameters())
    group: Any = getattr(model, "process_group", None) or dist.group.WORLD
    return Exchange(group) if together and dist.get_world_size(group) > 1 else None


class Exchange:
    """The collectives of one recorder: one a flush, and one more where something is new.

    Every process calls `joined` at the same steps, since schedule and flush depend on the step alone, and never while
    an exception is on its way.

    Args:
        group: The processes.
    """

    def __init__(self, group: Any) -> None:
        self.group = group
        self.world, self.rank = dist.get_world_size(group), dist.get_rank(group)
        self.schema = Schema()
        self._agreed = False
        self._rows: dict[str, Row] = {}  # of layers that other processes met

    @property
    def open(self) -> bool:
        """Whether the processes can still be asked."""
        return dist.is_initialized()

    @np.errstate(all="ignore")  # NaN and Inf are data
    def joined(
        self,
        waiting: Sequence[Sums],
        due: Sequence[Due],
        rows: list[Row],
        shown: list[int],
        guard: Guard,
        raised: Collection[int] = (),
    ) -> list[Sums]:
        """The landed sums of all processes added up, in the process that is to write them (rank 0); in the others none.

        Rows that only other processes have are added to `rows` and `shown`. A step that any process lost to a fault, or
        in which its training raised, is left out: what the others have of it is a part of the batch.

        Args:
            waiting: Of the steps that this process recorded.
            due: The steps since the last flush, the same in every process.
            rows: What the sums are of.
            shown: Those that are in the tables.
            guard: What fails here costs its step; the others are told, because they wait for this process.
            raised: Steps in which training raised in this process.
        """
        told = dict.fromkeys(rows[at].layer for at in shown if at < len(rows))
        wanted = Schema(dict.fromkeys(told, 0))
        for sums in waiting:
            with guard([sums.step]):
                wanted.add(_schema_of(sums, rows, shown))
        everyone = self._sent(waiting, due, rows, guard, wanted, raised) if self._agreed else None
        if everyone is None or everyone.head["new"].any():
            self._agree(wanted, rows)
            everyone = self._sent(waiting, due, rows, guard, wanted, raised)
        heads = everyone.head[:, 0]
        if (heads["first"] != heads["first"][0]).any() or (heads["count"] != heads["count"][0]).any():
            raise LabError("the processes recorded different steps; when= has to depend on the step alone")
        if self.rank != 0:
            return []
        return self._added(everyone, waiting, due, rows, shown, guard)

    def _sent(
        self,
        waiting: Sequence[Sums],
        due: Sequence[Due],
        rows: Sequence[Row],
        guard: Guard,
        wanted: Schema,
        raised: Collection[int],
    ) -> Message:
        """The messages of all processes, one behind the other: the one collective."""
        message = Message(self.schema, due)
        message.head[0] = (not self.schema.covers(wanted), due[0].step if due else -1, len(due))
        if not message.head["new"][0]:
            place = {row.layer: at for at, row in enumerate(rows)}
            by_step = {sums.step: sums for sums in waiting}
            for at, one in enumerate(due):
                with guard([one.step]):
                    if one.step in by_step:
                        _fill(message, self.schema, due, at, by_step[one.step], place)
                if one.step in guard.missing:
                    message.steps["state"][at] = LOST
                elif one.step in raised:
                    message.steps["state"][at] = RAISED
        device = "cuda" if dist.get_backend(self.group) == "nccl" else "cpu"
        own = torch.from_numpy(message.data).to(device)
        everyone = own.new_empty(self.world, own.numel())
        dist.all_gather(list(everyone), own, group=self.group)
        return Message(self.schema, due, everyone.cpu().numpy())

    def _agree(self, wanted: Schema, rows: Sequence[Row]) -> None:
        """Makes the schema wide enough for all processes; the same in each of them."""
        own = {row.layer: row for row in rows if row.layer in wanted.rows and row.layer not in self.schema.rows}
        everyone: list[Any] = [None] * self.world
        dist.all_gather_object(everyone, (wanted, own), group=self.group)
        for asked, met in everyone:
            self.schema.add(asked)
            self._rows = met | self._rows
        self._agreed = True

    def _added(
        self,
        everyone: Message,
        waiting: Sequence[Sums],
        due: Sequence[Due],
        rows: list[Row],
        shown: list[int],
        guard: Guard,
    ) -> list[Sums]:
        place = {row.layer: at for at, row in enumerate(rows)}
        for name in self.schema.rows:
            if name not in place:
                place[name] = len(rows)
                shown.append(len(rows))
                rows.append(self._rows[name])
        state = everyone.steps["state"]  # (processes, steps)
        lost = {one.step for one, bad in zip(due, (state == LOST).any(0), strict=True) if bad}
        elsewhere = lost - guard.missing
        if elsewhere:
            guard.add({"another process lost steps to a fault of its recorder": len(elsewhere)}, elsewhere)
        places = np.array([place[name] for name in self.schema.rows], dtype=np.int64)
        by_step, found = {sums.step: sums for sums in waiting}, []
        for at, one in enumerate(due):
            if one.step in lost or (state[:, at] == RAISED).any() or not (state[:, at] == THERE).any():
                continue
            sums = by_step.get(one.step) or _empty(one.step, len(rows))
            _widen(sums, len(rows))
            here = everyone.steps[:, at]  # (processes,)
            sums.table[places] = here["table"].sum(0)
            sums.table[:, GRADIENT + 1] /= self.world**2
            sums.table[:, PATHS : PATHS + 3] /= self.world**2
            for column, name in enumerate(COUNTS):
                getattr(sums, name)[places] = here["counts"][:, :, column].sum(0)
            sums.void |= {int(row): "another process cannot tell it" for row in places[here["void"].any(0)]} | sums.void
            self._channels(sums, here, place)
            if sums.change is not None and sums.change.shares is not None:
                _whole(sums.change, here)
            found.append(sums)
        histograms, spreads = ([one.step for one in due if getattr(one, what)] for what in ("histograms", "spreads"))
        for sums in found:
            if sums.step in histograms:
                self._exponents(sums, everyone.histograms[:, histograms.index(sums.step)], place)
            if sums.step in spreads:
                self._samples(sums, everyone.spreads[:, spreads.index(sums.step)], place)
        return found

    def _channels(self, sums: Sums, here: np.ndarray, place: dict[str, int]) -> None:
        told, marks = here["marked"], torch.from_numpy(here["marks"].max(0))  # alive where it is in any process
        same = ((told == MARKED).any(0) & ~(told == DIFFERENT).any(0)).tolist()
        for told_of, (name, where) in zip(same, self.schema.channels().items(), strict=True):
            sums.alive.pop(place[name], None)
            if told_of:
                sums.alive[place[name]] = marks[where]

    def _exponents(self, sums: Sums, here: np.ndarray, place: dict[str, int]) -> None:
        counts = here["counts"].sum(0)  # (histograms, 256)
        for at, (name, what) in enumerate(self.schema.exponents):
            if counts[at].any():
                sums.exponents[place[name], what] = torch.from_numpy(counts[at])

    def _samples(self, sums: Sums, here: np.ndarray, place: dict[str, int]) -> None:
        for at, ((name, what), where) in enumerate(self.schema.values().items()):
            there = here["there"][:, at] > 0
            if there.any():
                scale = self.world if what == "gradient" else 1
                low, high = here["extremes"][there, at].T / scale
                values = torch.from_numpy(here["values"][there, where].reshape(-1) / scale)
                sums.samples[place[name], what] = Spread(torch.tensor([low.min(), high.max()]), values)


def _schema_of(sums: Sums, rows: Sequence[Row], shown: Sequence[int]) -> Schema:
    """What one step of this process has, by the names of layers."""
    ends = {end for link in sums.links.values() for end in link if end is not None}
    told = [at for at in sorted({*shown, *ends}) if at < len(sums.table)]
    channels = {rows[at].layer: sums.alive[at].numel() if at in sums.alive else 0 for at in told}
    inside = set(told)
    exponents = {(rows[at].layer, what): None for at, what in sums.exponents if at in inside}
    samples = {(rows[at].layer, what): one.values.numel() for (at, what), one in sums.samples.items() if at in inside}
    sharded = sums.change is not None and sums.change.shares is not None
    return Schema(channels, exponents, samples, sums.change.sizes if sharded and sums.change else (0, 0))


def _fill(message: Message, schema: Schema, due: Sequence[Due], at: int, sums: Sums, place: dict[str, int]) -> None:
    """Writes one step into the message of this process."""
    here = message.steps[at]
    rows = [place.get(name, len(sums.table)) for name in schema.rows]
    numbers = [number for number, row in enumerate(rows) if row < len(sums.table)]
    if numbers:
        own = [rows[number] for number in numbers]
        here["table"][numbers] = sums.table[own]
        here["counts"][numbers] = np.stack([getattr(sums, name)[own] for name in COUNTS], 1)
        if sums.void:
            here["void"][numbers] = [row in sums.void for row in own]
        slices = list(schema.channels().values())
        for number, row in zip(numbers, own, strict=True):
            if (marks := sums.alive.get(row)) is not None:
                same = marks.numel() == slices[number].stop - slices[number].start
                here["marked"][number] = MARKED if same else DIFFERENT
                if same:
                    here["marks"][slices[number]] = marks.numpy()
    if sums.change is not None and sums.change.shares is not None:
        _fill_shards(here, sums.change)
    if due[at].histograms:
        counts = message.histograms["counts"][sum(one.histograms for one in due[:at])]
        for number, (name, what) in enumerate(schema.exponents):
            if (found := sums.exponents.get((place.get(name, -1), what))) is not None:
                counts[number] = found.numpy()
    if due[at].spreads:
        spread = message.spreads[sum(one.spreads for one in due[:at])]
        spread["values"] = np.nan  # no value
        for number, ((name, what), where) in enumerate(schema.values().items()):
            if (sample := sums.samples.get((place.get(name, -1), what))) is not None:
                values = sample.values.double().cpu().numpy()
                spread["there"][number] = 1
                spread["extremes"][number] = sample.extremes.double().cpu().numpy()
                spread["values"][where.start : where.start + len(values)] = values
    here["state"] = THERE  # last: a step that failed on the way is none


def _fill_shards(here: Any, change: Change) -> None:
    """The squares of this process's shards, each by its share: what several processes hold counts once."""
    weights, parameters = change.shares or (np.ones(0), np.ones(0))
    here["weights"] = np.where(change.known[:, None], change.weights**2 * weights[:, None], 0)
    here["gradients"] = np.where(change.present, change.gradients**2 * parameters, 0)
    used = change.gradients if change.used is None else change.used
    here["used"] = np.where(change.seen, used**2 * parameters, 0)
    here["known"], here["present"], here["seen"] = change.known, change.present, change.seen
    here["changed"] = change.used is not None


def _whole(change: Change, here: np.ndarray) -> None:
    """The norms of whole weights and gradients, from the shards of all processes."""
    change.known, change.present, change.seen = (here[name].max(0) > 0 for name in ("known", "present", "seen"))
    change.weights = np.where(change.known[:, None], np.sqrt(here["weights"].sum(0)), np.nan)
    change.gradients = np.where(change.present, np.sqrt(here["gradients"].sum(0)), np.nan)
    changed = bool(here["changed"].any())
    change.used = np.where(change.seen, np.sqrt(here["used"].sum(0)), np.nan) if changed else None


def _empty(step: int, rows: int) -> Sums:
    """Of a step that only other processes ran."""
    outputs, gradients, paths = (np.zeros(rows, dtype=np.int64) for _ in COUNTS)
    return Sums(step, np.zeros((rows, WIDTH)), outputs, gradients, paths)


def _widen(sums: Sums, rows: int) -> None:
    more = rows - len(sums.table)
    if more > 0:
        sums.table = np.concatenate([sums.table, np.zeros((more, WIDTH))])
        for name in COUNTS:
            setattr(sums, name, np.concatenate([getattr(sums, name), np.zeros(more, dtype=np.int64)]))
