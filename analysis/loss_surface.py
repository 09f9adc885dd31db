"""Is the loss smooth around a deep residual net, and around a plain net of its depth?

Li et al. 2018 (arXiv 1712.09913), figures 1 and 5: the test loss in a plane of two random directions around the trained
weights, in which each filter is as long as the net's own, so that nets compare. The deepest plain net above the
residual net of its depth, a column a seed, all in the same colours; white lines every half power of ten, dashed where
the loss is that of guessing. The number of a title is the loss in the middle. All seeds of a net are shown in one
draw of directions. Batch norms keep the running statistics of the net in the middle, to which most of the rise at the
edges is owed: a plain net that has learnt little stays at guessing out there when they are made anew.

    labapp probe RUN … --quantities loss_surface
    python -m analysis.loss_surface --runs runs --out figures
"""

from __future__ import annotations

import math
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.pairs import deepest_pair
from analysis.plates import WHO, Plate, joined, styles_of
from analysis.probed import probed, tables
from analysis.publish import command
from labapp import palette
from labapp.figures import WIDTH, colour_bar, plane
from labapp.store import Run

SEEDS = 3  # columns
BRIGHTEST = 100.0  # nats of the last colour: beyond it a net is lost, however much


def measured(runs: list[Run]) -> pd.DataFrame:
    """The planes of the pair's first seeds."""
    there = deepest_pair(probed(runs, "loss_surface"), SEEDS)
    table = joined(tables(there, "loss_surface"), there)
    table = table.assign(guessing=np.log(table["classes"]))
    return table[[*WHO, "step", "alpha", "beta", "loss", "accuracy", "images", "guessing"]]


def drawn(table: pd.DataFrame) -> Figure:
    """A row a net, a column a seed."""
    nets = list(styles_of(table)["net"])
    rows = {net: list(table.loc[table["net"] == net, "run"].unique()) for net in nets}
    across = max(map(len, rows.values()))
    side = min(2.2, (WIDTH - 1.3) / across)
    size = (0.6 + across * side + 0.9, 0.45 + len(nets) * (side + 0.22))
    figure, axes = plt.subplots(
        len(nets), across, figsize=size, layout="constrained", squeeze=False, sharex=True, sharey=True
    )
    loss = table["loss"].astype(float)
    known = loss[np.isfinite(loss) & (loss > 0)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.1, 1.0)
    norm = Normalize(math.log10(low), math.log10(min(high, max(BRIGHTEST, 10 * low))))
    levels = [10 ** (power / 2) for power in range(math.floor(2 * math.log10(low)), math.ceil(2 * math.log10(high)))]
    levels = [level for level in levels if level <= max(BRIGHTEST, 10 * low)]
    for net, own in rows.items():
        for place, ax in enumerate(axes[nets.index(net)]):
            if place >= len(own):
                ax.set_axis_off()
                continue
            cells = table[table["run"] == own[place]]
            guessing = float(cells["guessing"].iloc[0])
            plane(data=cells, x="alpha", y="beta", hue="loss", ax=ax, norm=norm, levels=levels, level=guessing)
            middle = cells.loc[(cells["alpha"] == 0) & (cells["beta"] == 0), "loss"].iloc[0]
            ax.set_title(f"{net}, seed {cells['seed'].iloc[0]:g}: {palette.number(float(middle))}", fontsize=7.5)
            ax.set(xlabel="", ylabel="")
    for ax in axes[-1]:
        ax.set_xlabel("α, lengths of filters")
    for ax in axes[:, 0]:
        ax.set_ylabel("β, lengths of filters")
    beyond = "max" if high > 10 ** float(norm.vmax or 0) else "neither"
    colour_bar(figure, list(axes.flat), norm, "test loss (nats)", extend=beyond)
    guessing = f"loss of guessing, {palette.number(float(table['guessing'].iloc[0]))}"
    handles = [
        Line2D([], [], linestyle="", marker="+", color=palette.MUTED, label="the net itself, its loss in the title"),
        Line2D([], [], linestyle=(0, (3, 2)), color=palette.MUTED, linewidth=0.9, label=guessing),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, borderpad=0)
    return figure


PLATES = (Plate("loss_surface", measured, drawn, sweeps=("degradation",)),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
