"""Along paths of which length does the gradient of a residual net come?

Veit et al. 2016, figure 6: how many of the 2ⁿ paths through n blocks go through k of them (left), the norm of the
gradient that comes along one such path (middle), and the share of the gradient that all paths of a length carry (right;
the vertical line is its mean, the effective length). Above before training, below after it. Several seeds become their
mean with the range.

    labapp probe RUN … --quantities path_gradients
    python -m analysis.path_lengths --runs runs --out figures
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.plates import WHO, Plate, band_of, joined, styles_of
from analysis.probed import probed, tables
from analysis.publish import command
from labapp.config import LabError
from labapp.figures import WIDTH, legend, profile, trace
from labapp.store import Run

MOMENTS = {"before training": 0, "after training": -1}  # of the steps that were probed
LENGTH = "blocks on the path"


def measured(runs: list[Run]) -> pd.DataFrame:
    """One row a length, run and moment."""
    there = probed(runs, "path_gradients")
    parts = []
    for moment, at in MOMENTS.items():
        held = [run for run in there if at or 0 in run.probes()["path_gradients"]]
        if held:
            parts.append(tables(held, "path_gradients", at).assign(moment=moment))
    table = joined(pd.concat(parts, ignore_index=True), there)
    if table["weight"].isna().all():
        raise LabError("no gradient comes through any of these nets")
    longest = table.groupby(["run", "moment"])["length"].transform("max")
    columns = ["probability", "gradient_norm", "deviation", "sum_norm", "weight", "effective_length"]
    return table.assign(blocks=longest)[[*WHO, "moment", "step", "blocks", "length", *columns]]


def drawn(table: pd.DataFrame) -> Figure:
    """A row a moment; number of paths, gradient of one, gradient of all."""
    styles = styles_of(table)
    looks = styles.set_index("net")
    moments = [moment for moment in MOMENTS if moment in set(table["moment"])]
    size = (WIDTH, 0.5 + 2.0 * len(moments))
    figure, axes = plt.subplots(
        len(moments), 3, figsize=size, layout="constrained", sharex=True, sharey="col", squeeze=False
    )
    for row, moment in zip(axes, moments, strict=True):
        rows = table[table["moment"] == moment]
        trace(data=rows, x="length", y="probability", hue="net", ax=row[0], styles=styles)
        profile(data=rows, x="length", y="gradient_norm", hue="net", ax=row[1], styles=styles)
        trace(data=rows, x="length", y="weight", hue="net", ax=row[2], styles=styles)
        for net, own in rows.groupby("net"):
            for ax, value in ((row[0], own["blocks"].max() / 2), (row[2], own["effective_length"].mean())):
                ax.axvline(value, color=looks.loc[net, "colour"], dashes=looks.loc[net, "dash"] or (None, None), lw=0.8)
        for ax, label in zip(
            row, ("share of the paths", "gradient along one path", "share of the gradient"), strict=True
        ):
            ax.set(xlabel=LENGTH if moment == moments[-1] else "", ylabel=label)
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        row[0].set_ylabel(f"{moment}\n\nshare of the paths")
    for ax, title in zip(axes[0], ("Paths", "× gradient of each", "= gradient by length"), strict=True):
        ax.set_title(title)
    legend(figure, "net", styles, markers=True, band=band_of(table))
    return figure


PLATES = (Plate("path_lengths", measured, drawn, sweeps=("degradation",), claims=("short-paths",)),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
