"""What is a figure of this project: which runs it takes, what it shows of them, and how that is drawn?

A `Plate` has two halves. `measured` makes of runs one tidy table with *all* that the figure shows: seeds and their
spread, theory, published numbers, what styles depend on. `drawn` makes a figure of that table and of nothing else. So
the CSV beside a figure is the whole figure, and draws it again without the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from labapp import frames, palette
from labapp.store import Run
from labapp.store.labels import read_labels

WHO = ["net", "family", "net_depth", "place", "run", "experiment", "seed"]  # of each row that is of a run


@dataclass(frozen=True)
class Plate:
    """One figure.

    Attributes:
        name: Of its files.
        measured: Runs to the tidy table, with the columns experiment and seed; a `LabError` where they hold nothing
            that it shows.
        drawn: That table, as it comes back from a CSV (missing text is "", missing numbers are NaN), to the figure.
        sweeps: Where an archive has runs of these sweeps, they alone are taken; the figure compares such runs.
        claims: Names in `labapp.claims.CLAIMS` of which it is the picture.
    """

    name: str
    measured: Callable[[list[Run]], pd.DataFrame]
    drawn: Callable[[pd.DataFrame], Figure]
    sweeps: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()


def of_sweeps(runs: Sequence[Run], sweeps: Sequence[str]) -> list[Run]:
    """The runs that bear the tag of one of these sweeps; all runs where none does."""
    tags = {f"sweep:{sweep}" for sweep in sweeps}
    own = [run for run in runs if tags & set(read_labels(run.path).tags)] if tags else []
    return own or list(runs)


def who(runs: Sequence[Run]) -> pd.DataFrame:
    """Who each run is, and what its style depends on.

    Returns:
        net (without its seed), family, net_depth, place (of the net among those of its family in the archive), run (its
        name), experiment (short digest), seed, then status; one row a run.
    """
    described = frames.describe(runs)
    found = described.assign(place=described["net_place"], experiment=[run.experiment.digest for run in runs])
    return found[[*WHO, "status"]]


def joined(table: pd.DataFrame, runs: Sequence[Run]) -> pd.DataFrame:
    """A table with the column run, with the other columns of `who`."""
    about = who(runs)
    return table.drop(columns=[name for name in about if name in table and name != "run"]).merge(about, on="run")


def styles_of(table: pd.DataFrame) -> pd.DataFrame:
    """How each net of a table is drawn: `palette.styles`, one row a net, and the column net.

    In the order in which they are listed: by family, then by depth. Dash and marker are those of the net in its
    archive, as on the pages; where two nets of one family had the same ones, those of its place in the figure.

    Args:
        table: With the columns net, family, net_depth and place.
    """
    order = [*palette.FAMILIES]
    nets = table[["net", "family", "net_depth", "place"]].drop_duplicates("net")
    nets = nets.assign(order=nets["family"].map(order.index)).sort_values(
        ["order", "net_depth", "net"], ignore_index=True
    )
    looks = palette.styles(nets.assign(run=nets["net"], run_id=nets["net"]))
    if looks.assign(dash=looks["dash"].astype(str)).duplicated(["colour", "dash", "marker"]).any():
        here = nets.groupby("family").cumcount()
        looks = palette.styles(nets.assign(run=nets["net"], run_id=nets["net"], place=here))
    return looks.assign(net=list(nets["net"]))


def titles_of(nets: Sequence[str]) -> dict[str, str]:
    """What each net may be called where there is little room: family and depth, where that tells it from the others."""
    short = {net: net.partition(" (")[0] for net in nets}
    plain = list(short.values())
    return {net: name if plain.count(name) == 1 else net for net, name in short.items()}


def band_of(table: pd.DataFrame) -> str:
    """What a band around a line means, "range over 6 seeds"; "" where each net has one seed."""
    counts = sorted(set(table.groupby("net")["run"].nunique()))
    if not counts or counts[-1] < 2:
        return ""
    return (
        f"range over {counts[0]} to {counts[-1]} seeds" if counts[0] < counts[-1] else f"range over {counts[0]} seeds"
    )
