"""Which layers of a net represent the same, and which layers of two nets?

Linear CKA (Kornblith et al. 2019; unbiased, from minibatches) of all pairs of layers after training: one square a net,
and one for each two nets whose runs were compared; means over seeds, or over pairs of seeds. A dark band between two
bright squares is a change of representation; one large bright square are layers that add little (Kornblith et al. 2019,
figure 3).

    labapp probe RUN … --quantities similarity
    labapp probe RUN --against OTHER
    python -m analysis.similarity --runs runs --out figures
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analysis.plates import Plate, styles_of, who
from analysis.probed import last, probed
from analysis.publish import command, outer, panels
from labapp import frames
from labapp.config import LabError
from labapp.figures import WIDTH, colour_bar, matrix
from labapp.store import Run

MARKS = 10**6  # cells: paper shows all layers of one net
OF_PAIRS = 32**2  # and of two nets as many as one can see
CKA = Normalize(0, 1)
CELL = ["row", "column", "layer", "other_layer"]
COLUMNS = ["net", "other_net", *CELL, "cka", "deviation", "seeds", "images", "step", "experiment", "seed"]


def measured(runs: list[Run]) -> pd.DataFrame:
    """The cells of each net on and below the diagonal, the mean over its seeds."""
    there = probed(runs, "similarity")
    about = who(there)
    found = []
    for net in styles_of(about)["net"]:
        own = [run for run, name in zip(there, about["net"], strict=True) if name == net]
        cells = [frames.self_similarity(run, last(run, "similarity"), marks=MARKS) for run in own]
        found.append(_means(cells, [(run,) for run in own]).assign(net=net, other_net=net))
    return pd.concat(found, ignore_index=True)[COLUMNS]


def measured_pairs(runs: list[Run]) -> pd.DataFrame:
    """The cells of each two nets whose runs were compared, the mean over the pairs of runs."""
    nets = dict(zip(runs, who(runs)["net"], strict=True))
    compared: dict[tuple[str, str], list[tuple[Run, Run]]] = {}
    for run, other in itertools.combinations(runs, 2):
        if frames.pairs(run, other):
            compared.setdefault((nets[run], nets[other]), []).append((run, other))
    if not compared:
        raise LabError("no two of these runs were compared; `labapp probe RUN --against OTHER` does it")
    found = []
    for (net, other_net), both in sorted(compared.items()):
        cells = [frames.pair_similarity(*two, frames.pairs(*two)[-1][0], marks=OF_PAIRS) for two in both]
        found.append(_means(cells, both).assign(net=net, other_net=other_net))
    return pd.concat(found, ignore_index=True)[COLUMNS]


def _means(tables: Sequence[pd.DataFrame], runs: Sequence[tuple[Run, ...]]) -> pd.DataFrame:
    """The mean of equal squares, and in its first row whose it is."""
    cells = pd.concat(tables, ignore_index=True).groupby(CELL, sort=False, as_index=False)
    found = cells.agg(
        cka=("cka", "mean"), deviation=("cka", "std"), seeds=("cka", "size"), images=("images", "min"),
        step=("step", "max"),
    )  # fmt: skip
    flat = [run for own in runs for run in own]
    first = found.index == found.index[0]
    digests = " ".join(run.experiment.digest for run in flat)
    seeds = " ".join(str(run.experiment.seed) for run in flat)
    return found.assign(experiment=np.where(first, digests, ""), seed=np.where(first, seeds, ""))


def drawn(table: pd.DataFrame) -> Figure:
    """One square a net."""
    turned = table.rename(columns={"row": "column", "column": "row"})
    both = pd.concat([table, turned]).drop_duplicates(["net", "row", "column"])
    return _squares({str(net): rows for net, rows in both.groupby("net", sort=False)}, "layer", "layer", "seeds")


def drawn_pairs(table: pd.DataFrame) -> Figure:
    """One square for each two nets."""
    squares = {}
    for (net, other), rows in table.groupby(["net", "other_net"], sort=False):
        squares[str(net) if net == other else f"{net} and {other}"] = rows
    same = (table["net"] == table["other_net"]).all()
    downwards, rightwards = ("layer, one seed", "layer, another seed") if same else ("layer", "layer of the other")
    return _squares(squares, downwards, rightwards, "pairs of seeds" if same else "pairs")


def _squares(tables: dict[str, pd.DataFrame], downwards: str, rightwards: str, what: str) -> Figure:
    """One panel a table, the mean over seeds, or pairs of them."""
    tall = max((table["row"].max() + 1) / (table["column"].max() + 1) for table in tables.values())

    def size(across: int, down: int) -> tuple[float, float]:
        wide = WIDTH if across > 1 else WIDTH * 0.6
        return wide, 0.45 + down * (0.35 + min(tall, 1.5) * min(2.2, (wide - 0.9) / across * 0.85))

    figure, axes = panels(list(tables), size)
    for name, ax in axes.items():
        table = tables[name].assign(row=lambda t: t["row"] + 1, column=lambda t: t["column"] + 1)
        matrix(data=table, x="column", y="row", hue="cka", ax=ax, norm=CKA)
        count = int(table["seeds"].max())
        ax.set(title=f"{name} ({count} {what})" if count > 1 else name, ylabel=downwards, xlabel=rightwards)
        outer(ax)
    colour_bar(figure, figure.axes, CKA, "linear CKA", powers=False)
    return figure


PLATES = (
    Plate("similarity", measured, drawn, sweeps=("degradation",), claims=("layers-repeat",)),
    Plate("similarity_pairs", measured_pairs, drawn_pairs, sweeps=("degradation",), claims=("seeds-correspond",)),
)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
