"""How does a recorded quantity differ, layer by layer?

Layers are matched by name where every net has the same ones. Where not, by relative depth among layers of a kind:
a net is read at the places of all the others, between two of its own layers on the straight line between them (of the
logarithm, for what changes by factors). Its outermost layers also stand for places at most one layer further out;
beyond, the net says nothing.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labapp.config import LabError, listed, nearest
from labapp.frames.compare.contrast import Contrast, contrast
from labapp.frames.compare.moments import compared_steps
from labapp.frames.compare.quantities import OF_LAYERS
from labapp.frames.compare.reading import read_compared
from labapp.frames.compare.sides import Side
from labapp.frames.slopes import on_shortcut
from labapp.store import Run

Read = Callable[[Run, str], pd.DataFrame]
PLACE = ["layer", "kind", "relative_depth"]
COLUMNS = [
    *("quantity", "step", *PLACE, "of", "a", "b", "ratio", "low", "high", "difference", "least", "most"),
    *("runs_a", "runs_b", "lost_a", "lost_b", "note"),
]
RECTIFIED = "rectified"  # a norm in a plain net, the end of a block in a residual one: the same place of another kind
_ROUNDED = 1e-6  # of a relative depth, as it is kept


def by_depth(
    a: Side,
    b: Side,
    quantity: str,
    step: int | None = None,
    where: str = "",
    read: Read | None = None,
) -> pd.DataFrame:
    """B ÷ A and B − A of a quantity at every layer.

    Args:
        a: One side.
        b: The other.
        quantity: Of `OF_LAYERS`.
        step: Of `compared_steps`; all of them when left out.
        where: A kind of layers, or a pattern of their names ("stage1.*"); where the quantity is usually read when left
            out, "*" for everywhere.
        read: `read_compared`, or the same cached.

    Returns:
        quantity, step, layer, kind, relative_depth, of ("both" where matched by name, else the side whose layer stands
        there), then the fields of `Contrast` and note (what there is to say, or why there is no number); one row a
        (step, place). Empty where nothing was recorded.

    Raises:
        LabError: An unknown quantity.
    """
    about = OF_LAYERS[require(quantity)]
    read = read or read_compared
    tables = []
    for each in (a, b):
        tables.append([_places(read(run, quantity), where, about.place) for run in each.runs])
        if not any(len(table) for table in tables[-1]):  # most quantities are recorded by few nets
            return pd.DataFrame(columns=COLUMNS)
    taken = compared_steps(tables[0], tables[1])
    if step is not None:
        taken = taken[taken["step"] == step]
    if taken.empty:
        return pd.DataFrame(columns=COLUMNS)
    grid, matched = _grid(tables, by_name=_same_layers([*tables[0], *tables[1]]))
    if grid.empty:
        return pd.DataFrame(columns=COLUMNS)
    samples = []
    for which, side_tables in zip("ab", tables, strict=True):
        own = [
            _read_at(table, grid, matched, np.array([steps[at] for steps in taken[which]]), about.scale == "factor")
            for at, table in enumerate(side_tables)
        ]
        samples.append(np.ma.concatenate([each[None] for each in own]))
    found = contrast(samples[0], samples[1], about.scale)
    times, places = len(taken), len(grid)
    rows = pd.DataFrame({name: np.asarray(values).reshape(-1) for name, values in found._asdict().items()})
    rows = rows.assign(
        quantity=quantity,
        step=np.repeat(taken["step"].to_numpy(int), places),
        note=_notes(found, about.scale).reshape(-1),
        **{name: np.tile(grid[name].to_numpy(), times) for name in (*PLACE, "of")},
    )
    return rows[COLUMNS]


def require(quantity: str) -> str:
    """The quantity's name, if it is one that is compared layer by layer.

    Raises:
        LabError: It is not.
    """
    if quantity not in OF_LAYERS:
        near = nearest(quantity, OF_LAYERS)
        raise LabError(f"unknown quantity '{quantity}'; of layers there are {listed(OF_LAYERS)}{near}")
    return quantity


def _places(table: pd.DataFrame, where: str, place: str) -> pd.DataFrame:
    """The rows that are asked for."""
    if not where:
        usual = table[table["usual"]]
        return usual.assign(kind=RECTIFIED) if place == RECTIFIED else usual
    if (table["kind"] == where).any():
        return table[table["kind"] == where]
    wanted = {name for name in table["layer"].unique() if fnmatch.fnmatchcase(name, where)}
    return table[table["layer"].isin(wanted)]


def _same_layers(tables: Iterable[pd.DataFrame]) -> bool:
    return len({tuple(sorted(table["layer"].unique())) for table in tables if len(table)}) == 1


def _layers(table: pd.DataFrame) -> pd.DataFrame:
    found = table.drop_duplicates(PLACE)[[*PLACE, "depth"]].sort_values("depth", kind="stable")
    return found.assign(relative_depth=found["relative_depth"].astype(float).round(6))


def _grid(tables: Sequence[Sequence[pd.DataFrame]], by_name: bool) -> tuple[pd.DataFrame, bool]:
    """The places at which sides are compared, and whether they are the same layers."""
    sides = [_layers(pd.concat(own)).assign(of=name) for own, name in zip(tables, "AB", strict=True)]
    if by_name:
        return (sides[0] if len(sides[0]) else sides[1]).assign(of="both").reset_index(drop=True), True
    grid = pd.concat([each[~on_shortcut(each["layer"])] if len(each) else each for each in sides])
    grid = grid.groupby(["relative_depth", "kind"], as_index=False, sort=True).agg(
        layer=("layer", lambda names: " / ".join(dict.fromkeys(names))), of=("of", lambda of: "".join(sorted(set(of))))
    )
    return grid.assign(of=grid["of"].replace("AB", "both")), False


def _read_at(
    table: pd.DataFrame, grid: pd.DataFrame, by_name: bool, steps: NDArray[np.int64], log: bool
) -> np.ma.MaskedArray:
    """Values (T, places) of one run at its steps and the places of the grid, masked where there is no measurement."""
    layers = _layers(table)
    rows, columns = np.unique(table["step"].to_numpy(int)), {name: at for at, name in enumerate(layers["layer"])}
    values = np.ma.masked_all((len(rows) + 1, len(columns) + 1))  # the last of each is what is not there
    at = np.searchsorted(rows, table["step"].to_numpy(int)), table["layer"].map(columns).to_numpy(int)
    values[at] = np.ma.array(table["value"].to_numpy(float), mask=False)
    values = values[np.where(steps >= 0, np.searchsorted(rows, steps), len(rows))]
    if by_name:
        return values[:, [columns.get(name, len(columns)) for name in grid["layer"]]]
    found = np.ma.masked_all((len(steps), len(grid)))
    inner = layers[~on_shortcut(layers["layer"])] if len(layers) else layers
    for kind, own in inner.drop_duplicates(["kind", "relative_depth"]).groupby("kind"):
        there = np.flatnonzero(grid["kind"] == kind)
        wanted, x = grid["relative_depth"].to_numpy(float)[there], own["relative_depth"].to_numpy(float)
        one = (x[1] - x[0], x[-1] - x[-2]) if len(x) > 1 else (0.0, 0.0)  # layer, at either end
        inside = (wanted >= x[0] - one[0] - 2 * _ROUNDED) & (wanted <= x[-1] + one[1] + 2 * _ROUNDED)
        there, wanted = there[inside], np.clip(wanted[inside], x[0], x[-1])
        if not len(there):
            continue
        place = np.array([columns[name] for name in own["layer"]])
        right = np.searchsorted(x, wanted)
        left = np.where(x[right] == wanted, right, right - 1)
        share = np.where(right == left, 0.0, (wanted - x[left]) / np.where(right == left, 1.0, x[right] - x[left]))
        found[:, there] = _between(values[:, place[left]], values[:, place[right]], share, log)
    return found


def _between(
    left: np.ma.MaskedArray, right: np.ma.MaskedArray, share: NDArray[np.float64], log: bool
) -> np.ma.MaskedArray:
    mask = np.ma.getmaskarray(left) | np.ma.getmaskarray(right)
    one, other = left.filled(np.nan), right.filled(np.nan)
    with np.errstate(all="ignore"):
        line = one ** (1 - share) * other**share if log else (1 - share) * one + share * other
    return np.ma.array(np.where(share == 0, one, line), mask=mask)


def _notes(found: Contrast, scale: str) -> NDArray[np.object_]:
    """Of each place what there is to say, or why there is no number."""
    absent_a, absent_b = (found.runs_a + found.lost_a == 0), (found.runs_b + found.lost_b == 0)
    zero_a, zero_b = found.a == 0, found.b == 0
    known = scale != "signed"
    tests = {
        "not measured here in A or B": absent_a & absent_b,
        "not measured here in A": absent_a,
        "not measured here in B": absent_b,
        "not finite in A or B": (found.runs_a == 0) & (found.runs_b == 0),
        "not finite in A": found.runs_a == 0,
        "not finite in B": found.runs_b == 0,
        "not finite in some runs": (found.lost_a > 0) | (found.lost_b > 0),
        "zero in both": known & zero_a & zero_b,
        "zero in A": known & zero_a,
        "zero in B": known & zero_b,
    }
    return np.select(list(tests.values()), list(tests), "").astype(object)
