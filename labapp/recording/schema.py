"""What does each process of a run send the others at a flush, so that one collective is enough?

Bytes of one length in all processes: for each step since the last flush a record of numbers, in an order that was
agreed on before. What one process alone has (a layer that only it ran) has its place in the records of all, empty in
those of the others. So nobody asks what the others have; who meets something new says so in the head of its message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from labapp.recording.board import WIDTH

BINS = 256
NOTHING, THERE, LOST, RAISED = range(
    4
)  # of a step in one process: not run, recorded, lost to a fault, or training raised
MARKED, DIFFERENT = 1, 2  # of a layer's channels: told, or of another number than agreed
Key = tuple[str, str]  # layer, "output" or "gradient"
Pair = tuple[dict[Any, int], dict[Any, int]]


class Due(NamedTuple):
    """A step whose turn it was to be recorded, in every process."""

    step: int
    histograms: bool = False
    spreads: bool = False


@dataclass
class Schema:
    """What all processes send, in this order.

    Attributes:
        rows: layer -> how many of its channels are marked.
        exponents: the histograms.
        samples: of each spread the number of values.
        shards: numbers of weights and of parameters, where they are sharded over the processes; else (0, 0).
    """

    rows: dict[str, int] = field(default_factory=dict)
    exponents: dict[Key, None] = field(default_factory=dict)
    samples: dict[Key, int] = field(default_factory=dict)
    shards: tuple[int, int] = (0, 0)

    def covers(self, other: "Schema") -> bool:
        """Whether what `other` names has its place here."""
        pairs: list[Pair] = [(self.rows, other.rows), (self.samples, other.samples)]
        wide = all(own.get(name, -1) >= size for own, asked in pairs for name, size in asked.items())
        return wide and other.exponents.keys() <= self.exponents.keys() and _holds(self.shards, other.shards)

    def add(self, other: "Schema") -> None:
        """Makes room for what `other` names, behind what was there."""
        pairs: list[Pair] = [(self.rows, other.rows), (self.samples, other.samples)]
        for own, asked in pairs:
            for name, size in asked.items():
                own[name] = max(size, own.get(name, 0))
        self.exponents |= other.exponents
        self.shards = (max(self.shards[0], other.shards[0]), max(self.shards[1], other.shards[1]))

    def channels(self) -> dict[str, slice]:
        """Where the marks of each layer's channels lie."""
        return _slices(self.rows)

    def values(self) -> dict[Key, slice]:
        """Where the values of each spread lie."""
        return _slices(self.samples)


class Message:
    """What one process sends, or the messages of all, one behind the other.

    Attributes:
        head: (…, 3) whether something has no place in the schema; the first step, and how many there are.
        steps, histograms, spreads: (…, steps) records; of histograms and spreads for those steps that have them.
    """

    def __init__(self, schema: Schema, due: Sequence[Due], data: np.ndarray | None = None) -> None:
        kinds = _records(schema)
        counts = (1, len(due), sum(one.histograms for one in due), sum(one.spreads for one in due))
        lengths = [count * kind.itemsize for count, kind in zip(counts, kinds, strict=True)]
        self.data = np.zeros(sum(lengths), dtype=np.uint8) if data is None else data  # (…, bytes)
        ends = np.cumsum(lengths)
        parts = [self.data[..., end - length : end] for end, length in zip(ends, lengths, strict=True)]
        self.head, self.steps, self.histograms, self.spreads = (
            _viewed(part, kind, count) for part, kind, count in zip(parts, kinds, counts, strict=True)
        )


def _records(schema: Schema) -> tuple[np.dtype, np.dtype, np.dtype, np.dtype]:
    rows, samples, (weights, parameters) = len(schema.rows), len(schema.samples), schema.shards
    head = [("new", "i8"), ("first", "i8"), ("count", "i8")]
    step: list[Any] = [
        ("state", "u1"),
        ("table", "f8", (rows, WIDTH)),
        ("counts", "i8", (rows, 3)),
        ("void", "u1", (rows,)),
        ("marked", "u1", (rows,)),
        ("marks", "u1", (sum(schema.rows.values()),)),
    ]
    if weights or parameters:  # sums of squares of the shards, and whether there are any
        step += [("weights", "f8", (weights, 2)), ("known", "u1", (weights,))]
        step += [(name, "f8", (parameters,)) for name in ("gradients", "used")]
        step += [(name, "u1", (parameters,)) for name in ("present", "seen")] + [("changed", "u1")]
    exponents = [("counts", "i8", (len(schema.exponents), BINS))]
    spread = [("there", "u1", (samples,)), ("extremes", "f8", (samples, 2))]
    spread.append(("values", "f8", (sum(schema.samples.values()),)))
    return np.dtype(head), np.dtype(step), np.dtype(exponents), np.dtype(spread)


def _viewed(part: np.ndarray, kind: np.dtype, count: int) -> np.ndarray:
    """(…, count) records over the same memory; of bytes in the middle of others, a copy for reading."""
    shape = (*part.shape[:-1], count)
    if not count or not kind.itemsize:
        return np.zeros(shape, dtype=kind)
    return np.ascontiguousarray(part).view(kind).reshape(shape) if part.ndim > 1 else part.view(kind)


def _slices(sizes: Mapping[Any, int]) -> dict[Any, slice]:
    ends = [0, *accumulate(sizes.values())]
    return {name: slice(*both) for name, both in zip(sizes, pairwise(ends), strict=True)}


def _holds(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] >= other[0] and one[1] >= other[1]
