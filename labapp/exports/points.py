"""How do rows of a run's tables become points of curves?

An export and a live mirror show the same, because both go through `Curves`: rows in, as the archive has them, points
out. A curve begins with its first number: NaN before it says that a layer has no such quantity, NaN after it is data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from labapp.exports.chosen import CurveChoice
from labapp.exports.naming import LayerNames, digits, of_layer, of_table

OF_LAYERS = ("layers", "histograms", "spreads")
UNDERFLOW, NOT_FINITE = -127, 128  # exponents of a histogram that have no place on an axis of powers of two
ALWAYS = ("loss",)  # columns whose NaN are shown from the first on
FIVE = ("minimum", "lower", "median", "upper", "maximum")


class PowerBins(NamedTuple):
    """A histogram over log₂|x|.

    Attributes:
        edges: (K + 1) ascending whole numbers.
        counts: (K) how many values lie between two of them.
    """

    edges: np.ndarray
    counts: np.ndarray


class CurvePoint(NamedTuple):
    """What curves show at one step."""

    step: int
    scalars: dict[str, float]
    histograms: dict[str, PowerBins]


class Curves:
    """Turns rows into points, and knows what it left out.

    Args:
        wanted: Quantities and layers.

    Attributes:
        names: Of all curves that have begun.
        notes: Sentences about what is shown of less than was there.
    """

    def __init__(self, wanted: CurveChoice) -> None:
        self.wanted = wanted
        self.names: set[str] = set()
        self.notes: list[str] = []
        self._before: Counter[str] = Counter()  # NaN in front of a curve's first number
        self._unplaced: Counter[str] = Counter()
        self._places: dict[str, str] | None = None  # layer -> its name, of those that are shown
        self._seen: set[str] = set()
        self._layer_names = LayerNames()
        self._left: set[str] = set()

    def knows(self, layers: list[tuple[str, str, int]]) -> list[str]:
        """Takes path, kind and depth of the net's layers, before any row of them; the paths of those that are shown."""
        first = self._places is None
        places: dict[str, str] = self._places or {}
        if first:
            self._layer_names = LayerNames(digits([depth for _, _, depth in layers]))
            chosen, said = self.wanted.among(layers)
            if said:
                self.notes.append(said)
        else:  # a layer that was called for the first time later on
            chosen = [layer for layer, kind, _ in layers if layer not in self._seen and self.wanted.fits(layer, kind)]
        depths = {layer: depth for layer, _, depth in layers}
        self._seen |= set(depths)
        self._places = places | {layer: self._layer_names(layer, depths[layer]) for layer in chosen}
        return list(self._places)

    def points(self, table: str, columns: Mapping[str, Any]) -> Iterator[CurvePoint]:
        """The points that rows of a table are, in their order; none of a table that has no curves.

        Args:
            table: Its name.
            columns: The rows: a list or array for each column.
        """
        if "step" not in columns or (table in OF_LAYERS and table != "layers" and not self.wanted.takes(table)):
            return
        if table == "layers":
            yield from self._of_layers(columns)
        elif table == "histograms":
            yield from self._of_histograms(columns)
        elif table == "spreads":
            yield from self._of_spreads(columns)
        elif table == "evals":
            yield from self._of_evals(columns)
        elif words := [name for name, values in columns.items() if _is_words(values)]:
            if table not in self._left:
                self._left.add(table)
                self.notes.append(
                    f"table '{table}' has words ({', '.join(words)}) and no curves; csv and parquet take it"
                )
        else:
            yield from self._of_steps(table, columns)

    def left_out(self) -> list[str]:
        """What was not shown, in sentences."""
        found = list(self.notes)
        never = [name for name in self._before if name not in self.names]
        early = sum(count for name, count in self._before.items() if name in self.names)
        if never:
            found.append(f"{len(never):,} curve{'s' * (len(never) != 1)} without a single number left out")
        if early:
            found.append(f"{early:,} NaN in front of a curve's first number left out")
        for what, count in self._unplaced.items():
            found.append(f"{count:,} {what} left out of histograms, which are over log2|x|")
        return found

    def _add(self, scalars: dict[str, float], name: str, value: float, always: bool = False) -> None:
        if name not in self.names:
            if value != value and not always:
                self._before[name] += 1
                return
            self.names.add(name)
        scalars[name] = value

    def _of_steps(self, table: str, columns: Mapping[str, Any]) -> Iterator[CurvePoint]:
        names = {name: of_table(table, name) for name in columns if name != "step"}
        for at, step in enumerate(columns["step"]):
            scalars: dict[str, float] = {}
            for name, curve in names.items():
                self._add(scalars, curve, float(columns[name][at]), name in ALWAYS)
            yield CurvePoint(int(step), scalars, {})

    def _of_evals(self, columns: Mapping[str, Any]) -> Iterator[CurvePoint]:
        for at, (step, split) in enumerate(zip(columns["step"], columns["split"], strict=True)):
            scalars: dict[str, float] = {}
            for name, values in columns.items():
                if name not in ("step", "split") and not _is_words(values):
                    self._add(scalars, of_table(split, name), float(values[at]), name in ALWAYS)
            yield CurvePoint(int(step), scalars, {})

    def _of_layers(self, columns: Mapping[str, Any]) -> Iterator[CurvePoint]:
        kinds, depths = columns.get("kind"), columns.get("depth")
        count = len(columns["step"])
        kinds = kinds if kinds is not None else [""] * count
        depths = depths if depths is not None else [0] * count
        if new := [at for at, layer in enumerate(columns["layer"]) if layer not in self._seen]:
            about = {columns["layer"][at]: (str(kinds[at]), int(depths[at])) for at in new}
            self.knows([(layer, kind, depth) for layer, (kind, depth) in about.items()])
        wanted = [(name, columns[name]) for name in self.wanted.columns if name in columns]
        for step, rows in self._shown(columns):
            scalars: dict[str, float] = {}
            for at, place in rows:
                for name, values in wanted:
                    self._add(scalars, of_layer(name, place), float(values[at]))
            yield CurvePoint(step, scalars, {})

    def _of_spreads(self, columns: Mapping[str, Any]) -> Iterator[CurvePoint]:
        for step, rows in self._shown(columns):
            scalars: dict[str, float] = {}
            for at, place in rows:
                for name in FIVE:
                    self._add(scalars, f"spreads/{columns['of'][at]}/{place}/{name}", float(columns[name][at]))
            yield CurvePoint(step, scalars, {})

    def _of_histograms(self, columns: Mapping[str, Any]) -> Iterator[CurvePoint]:
        for step, rows in self._shown(columns):
            found: dict[str, dict[int, int]] = {}
            for at, place in rows:
                exponent, count = int(columns["exponent"][at]), int(columns["count"][at])
                if UNDERFLOW < exponent < NOT_FINITE:
                    found.setdefault(f"histograms/{columns['of'][at]}/{place}", {})[exponent] = count
                else:
                    self._unplaced["zeros" if exponent <= UNDERFLOW else "values that are not finite"] += count
            self.names |= set(found)
            yield CurvePoint(step, {}, {name: _bins(counts) for name, counts in found.items()})

    def _shown(self, columns: Mapping[str, Any]) -> Iterator[tuple[int, list[tuple[int, str]]]]:
        """Step by step, in which rows layers stand that are shown, and their names."""
        places = self._places or {}
        step: Any = None
        rows: list[tuple[int, str]] = []
        for at, (now, layer) in enumerate(zip(columns["step"], columns["layer"], strict=True)):
            if now != step:
                if rows:
                    yield int(step), rows
                step, rows = now, []
            if layer in places:
                rows.append((at, places[layer]))
        if rows:
            yield int(step), rows


def _is_words(values: Any) -> bool:
    kind = getattr(values, "dtype", None)
    if kind is not None:
        return getattr(kind, "kind", "O") not in "fiub"
    return any(isinstance(value, str) for value in values)


def _bins(counts: Mapping[int, int]) -> PowerBins:
    """One bin a power of two from the smallest to the largest, those between them that are empty too."""
    low, high = min(counts), max(counts)
    return PowerBins(np.arange(low, high + 2), np.array([counts.get(exponent, 0) for exponent in range(low, high + 1)]))
