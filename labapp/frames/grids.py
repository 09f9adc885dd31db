"""What was recorded of every layer at every step of a run, as matrices of step × layer?

A page shows one step of many, or one number for all of them. As rows a long run has millions, with the same words in
each; a `Grid` keeps the words once, and makes rows of the steps that are asked for. One that was read before is brought
up to date by what was added since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labapp.frames.runs import IDENTITY
from labapp.frames.thinning import evenly
from labapp.store import UNKNOWN, Matrices, Run

LAYER = ["step", "layer", "kind", "depth", "relative_depth", "stage", "block"]  # what a table says about its layer
Values = NDArray[Any]  # (T, n)


@dataclass(frozen=True, eq=False)
class Grid:
    """Some quantities of the layers of a run.

    Attributes:
        steps: (T,) that were recorded, ascending.
        layers: One row a layer, n in all, by depth: the columns of `LAYER` but the step.
        columns: (T, n) float32 by quantity; NaN where it was not measured, and where it was NaN.
        there: (T, n) whether the layer has a row at that step.
        rows: Of the run's table.
        attempts: Of the run.
    """

    steps: NDArray[np.int64]
    layers: pd.DataFrame
    columns: dict[str, Values]
    there: NDArray[np.bool_]
    rows: int
    attempts: int
    kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)  # what was worked out from it

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.there.nbytes + sum(each.nbytes for each in self.columns.values())

    def of_layers(self, at: NDArray[np.int64]) -> Grid:
        """The same of some layers, by their places."""
        return replace(
            self,
            layers=self.layers.take(at).reset_index(drop=True),
            columns={name: each[:, at] for name, each in self.columns.items()},
            there=self.there[:, at],
        )


ReadGrid = Callable[[Run, Sequence[str]], Grid]


def read_grid(run: Run, quantities: Sequence[str], before: Grid | None = None) -> Grid:
    """The grid of a run; where `before` was read earlier, of the same quantities, only what was added since is read."""
    attempts = len(run.attempts)
    if before is not None and len(before.steps) and before.attempts == attempts and before.rows != UNKNOWN:
        last = int(before.steps[-1])  # of which rows may still have been on their way
        news = run.matrices(quantities, since=last)
        kept = before.steps < last
        if news.rows == int(before.there[kept].sum()) + int(news.there.sum()):
            return _extended(run, before, kept, news)
    found = run.matrices(quantities)
    layers = _layers(run, found)
    order = layers.index.to_numpy()
    return Grid(
        found.steps,
        layers.reset_index(drop=True),
        {name: each[:, order] for name, each in found.columns.items()},
        found.there[:, order],
        found.rows,
        attempts,
    )


def _layers(run: Run, found: Matrices) -> pd.DataFrame:
    """What is known of the layers, by depth; the index is their place in the matrices."""
    if not found.places:
        return pd.DataFrame(columns=LAYER[1:])
    first = np.unique(found.steps[found.there.argmax(0)])  # where each is met first; nearly always one step
    told = run.layers(columns=LAYER, steps=[int(step) for step in first])
    told["place"] = list(zip(told["layer"].fillna(""), told["depth"].fillna(-1).astype(int), strict=True))
    told = told.drop_duplicates("place", keep="last").set_index("place")[LAYER[1:]]
    return (
        told.reindex(pd.Index(found.places, tupleize_cols=False))
        .reset_index(drop=True)
        .sort_values("depth", kind="stable")
    )


def _extended(run: Run, before: Grid, kept: NDArray[np.bool_], news: Matrices) -> Grid:
    """A grid with what was added to it."""
    known = list(zip(before.layers["layer"].fillna(""), before.layers["depth"].fillna(-1).astype(int), strict=True))
    if not set(news.places) <= set(known):  # a layer that is new
        return read_grid(run, list(before.columns))
    column = {place: at for at, place in enumerate(known)}
    at = [column[place] for place in news.places]

    def joined(old: Values, new: Values, nothing: Any) -> Values:
        wide = np.full((len(new), len(known)), nothing, old.dtype)
        wide[:, at] = new
        return np.concatenate([old[kept], wide])

    return replace(
        before,
        steps=np.concatenate([before.steps[kept], news.steps]),
        columns={name: joined(old, news.columns[name], np.nan) for name, old in before.columns.items()},
        there=joined(before.there, news.there, False),
        rows=news.rows,
    )


@dataclass(frozen=True, eq=False)
class Panel:
    """One quantity of the layers of one run that it speaks of.

    Attributes:
        who: The columns of `IDENTITY`.
        steps: (T,) that were recorded.
        layers: n of them, as in `Grid`.
        measured: (T, n) where it was measured.
        columns: (T, n) by column: value, and others that go with it.
        also: Columns with one value a step, (T,).
    """

    who: dict[str, Any]
    steps: NDArray[np.int64]
    layers: pd.DataFrame
    measured: NDArray[np.bool_]
    columns: dict[str, Values]
    also: dict[str, Values]
    kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)  # what was worked out from it

    def rows(self, at: NDArray[np.int64] | None = None) -> pd.DataFrame:
        """The columns of `IDENTITY` and `LAYER`, then the values: a row a measurement, by step and depth.

        Args:
            at: Which steps, as places in `steps`; all when left out.
        """
        at = np.arange(len(self.steps)) if at is None else at
        step, layer = np.nonzero(self.measured[at])
        one = len(at) == 1 and len(layer) == len(self.layers)  # all layers at one step, as pages mostly ask
        layers = self.layers if one else self.layers.take(layer)
        columns = (
            {name: self.who[name] for name in IDENTITY}
            | {"step": self.steps[at][step]}
            | {name: layers[name].array for name in layers}
            | {name: value[at[step], layer] for name, value in self.columns.items()}
            | {name: value[at[step]] for name, value in self.also.items()}
        )
        return pd.DataFrame(columns, index=pd.RangeIndex(len(layer)))  # at once: an insertion costs as much as all

    def of_layers(self, at: NDArray[np.int64]) -> Panel:
        """The same of some layers, by their places."""
        return replace(
            self,
            layers=self.layers.take(at).reset_index(drop=True),
            measured=self.measured[:, at],
            columns={name: each[:, at] for name, each in self.columns.items()},
        )

    def where(self, kept: Values) -> Panel:
        """The same without the measurements that are not kept; (T, n) bool."""
        return replace(self, measured=self.measured & kept)

    def once(self, make: Callable[..., Any], *options: Any) -> Any:
        """What a function makes of the panel, for as long as the panel is; to be read only."""
        if (make, *options) not in self.kept:
            self.kept[make, *options] = make(self, *options)
        return self.kept[make, *options]

    @property
    def recorded(self) -> NDArray[np.int64]:
        """The places in `steps` at which anything was measured."""
        return self.once(_recorded)


def _recorded(panel: Panel) -> NDArray[np.int64]:
    return np.flatnonzero(panel.measured.any(1))


def panels_of(table: pd.DataFrame) -> list[Panel]:
    """Rows of a table with the columns of `IDENTITY` and `LAYER`, and value, as one panel a run."""
    found = []
    for _, own in table.groupby("run", sort=False, observed=True):
        steps, row = np.unique(own["step"].to_numpy(int), return_inverse=True)
        kinds = (
            own[[name for name in LAYER[1:] if name in own]]
            .drop_duplicates(["layer", "depth"])
            .sort_values("depth", kind="stable", ignore_index=True)
        )
        place = pd.MultiIndex.from_frame(kinds[["layer", "depth"]])
        column = place.get_indexer(pd.MultiIndex.from_frame(own[["layer", "depth"]]))
        measured = np.zeros((len(steps), len(kinds)), bool)
        measured[row, column] = True
        value = np.full(measured.shape, np.nan)
        value[row, column] = own["value"]
        who = {name: own[name].iloc[0] for name in IDENTITY}
        found.append(Panel(who, steps, kinds, measured, {"value": value}, {}))
    return found


def moments(panels: Iterable[Panel]) -> pd.DataFrame:
    """Which run has measured something at which step? Columns run and step."""
    parts = [pd.DataFrame({"run": panel.who["run"], "step": panel.steps[panel.recorded]}) for panel in panels]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"run": [], "step": []})
    return table.drop_duplicates(ignore_index=True).astype({"step": int})


def rows_at(panels: Sequence[Panel], standing: pd.DataFrame, also: Iterable[str] = ()) -> pd.DataFrame:
    """The rows of one step a run.

    Args:
        panels: Of any runs.
        standing: The step of each run, from `frames.standing`; NaN leaves it out.
        also: Columns beside value that the table has, where it has no rows.
    """
    own = dict(zip(standing["run"], standing["step"], strict=True))
    parts = [panel.rows(np.flatnonzero(panel.steps == own.get(panel.who["run"]))) for panel in panels]
    return concatenated(parts, also)


def sampled(panel: Panel, steps: int) -> pd.DataFrame:
    """The rows of at most so many steps: evenly spaced ones, the first and the last.

    Up to half of them are ones at which no line through the layers can be drawn, if the run has such.
    """
    there = panel.recorded
    usable = panel.measured & np.isfinite(panel.columns["value"]) & (panel.columns["value"] > 0)
    bad = there[usable[there].sum(1) < 2]
    kept = evenly(bad, steps // 2)
    kept = np.union1d(kept, evenly(np.setdiff1d(there, bad) if len(kept) else there, steps - len(kept)))
    return panel.rows(kept.astype(int))


def all_rows(panels: Sequence[Panel], also: Iterable[str] = ()) -> pd.DataFrame:
    """The rows of all steps."""
    return concatenated([panel.rows() for panel in panels], also)


def concatenated(parts: Sequence[pd.DataFrame], also: Iterable[str] = ()) -> pd.DataFrame:
    """Rows of several panels as one table."""
    parts = [part for part in parts if len(part)]
    columns = list(dict.fromkeys([*IDENTITY, *LAYER, "value", *also]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def span(panels: Iterable[Panel], positive: bool = True) -> tuple[float, float] | None:
    """The least and the greatest finite value at any step, of positive ones alone or of all; None where none is."""
    ends = [end for panel in panels for end in panel.once(_ends, positive)]
    return (min(ends), max(ends)) if ends else None


def _ends(panel: Panel, positive: bool) -> list[float]:
    value = panel.columns["value"]
    good = panel.measured & np.isfinite(value) & ((value > 0) | (not positive))
    if not good.any():
        return []
    return [float(value.min(where=good, initial=np.inf)), float(value.max(where=good, initial=-np.inf))]
