"""Which layers of a net represent the same, and which layers of two nets?

Linear CKA (Kornblith et al. 2019; unbiased, from minibatches) of all pairs of layers after training: one square a net,
and one for each pair of runs that was compared. A dark band between two bright squares is a change of representation;
one large bright square are layers that add little (Kornblith et al. 2019, figure 3).

    labapp probe RUN … --quantities similarity
    labapp probe RUN --against OTHER
    python -m analysis.similarity --runs runs --out figures
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pandas as pd
from matplotlib.colors import Normalize

from analysis.probed import last, probed
from analysis.publish import command, looks, panels, publish
from labapp import frames
from labapp.figures import WIDTH, colour_bar, matrix
from labapp.store import Run

MARKS = 10**6  # cells: paper shows them all
CKA = Normalize(0, 1)
COLUMNS = ["layer", "other_layer", "row", "column", "cka", "low", "high", "images", "step", "note"]


def draw(runs: list[Run], out: Path) -> list[Path]:
    """Write similarity.* and, where two runs were compared, similarity_pairs.*."""
    there = probed(runs, "similarity")
    named = frames.describe(there)
    order = list(looks(there)["net"])
    firsts = {net: there[list(named["net"]).index(net)] for net in order}  # the first seed of each net
    squares = {}
    for net, run in firsts.items():
        half = frames.self_similarity(run, last(run, "similarity"), marks=MARKS)
        turned = half.rename(columns={"layer": "other_layer", "other_layer": "layer", "row": "column", "column": "row"})
        squares[net] = pd.concat([half, turned]).drop_duplicates(["row", "column"])[COLUMNS].assign(net=net)
    written = _squares(squares, {net: (net, "layer", "layer") for net in squares}, out, "similarity")
    pairs, labels = {}, {}
    names = dict(zip(runs, frames.names(runs), strict=True))
    for run, other in itertools.combinations(runs, 2):
        at = frames.pairs(run, other)
        if at:
            key = f"{run.id} {other.id}"
            cells = frames.pair_similarity(run, other, at[-1][0], marks=MARKS)
            pairs[key] = cells[[*COLUMNS, "other_step"]].assign(run=names[run], other_run=names[other])
            labels[key] = "", f"layer of {names[run]}", f"layer of {names[other]}"
    return written + (_squares(pairs, labels, out, "similarity_pairs") if pairs else [])


def _squares(
    tables: dict[str, pd.DataFrame], labels: dict[str, tuple[str, str, str]], out: Path, name: str
) -> list[Path]:
    """One panel a table; its labels are title, downwards, to the right."""
    tall = max((table["row"].max() + 1) / (table["column"].max() + 1) for table in tables.values())

    def size(across: int, down: int) -> tuple[float, float]:
        wide = WIDTH if across > 1 else WIDTH * 0.6
        return wide, 0.45 + down * (0.35 + min(tall, 1.5) * (wide - 0.9) / across * 0.85)

    figure, axes = panels(list(tables), size)
    for key, ax in axes.items():
        table = tables[key].assign(row=lambda t: t["row"] + 1, column=lambda t: t["column"] + 1)
        matrix(data=table, x="column", y="row", hue="cka", ax=ax, norm=CKA)
        title, downwards, rightwards = labels[key]
        ax.set(title=title, ylabel=downwards, xlabel=rightwards)
    colour_bar(figure, figure.axes, CKA, "linear CKA", powers=False)
    return publish(figure, pd.concat(tables.values()), out, name)


if __name__ == "__main__":
    sys.exit(command(draw, __doc__))
