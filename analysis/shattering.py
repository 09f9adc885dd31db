"""How quickly do gradients lose what they have in common, from one example to the next?

Balduzzi et al. 2017, figures 1 and 2. Left, the mean cosine between the gradients of two images, at the image (0) and
at the output of each convolution (to 1). Right, the autocorrelation of the gradient at the image along a straight line
from one image to another: white noise has 0 from the first step on. Above at initialisation (batch norm with the
statistics of these images, held fixed), below after training. Several seeds become their mean with the range.

    labapp probe RUN … --quantities shattering autocorrelation
    python -m analysis.shattering --runs runs --out figures
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from analysis.plates import WHO, Plate, band_of, joined, styles_of
from analysis.probed import probed, tables
from analysis.publish import command
from labapp import palette
from labapp.figures import WIDTH, legend, trace
from labapp.store import Run

MOMENTS = {"initialisation": 0, "after training": -1}  # of the steps that were probed


def measured(runs: list[Run]) -> pd.DataFrame:
    """Cosines between images and, where they were measured, autocorrelations along lines; before and after training."""
    there = probed(runs, "shattering")
    along = [run for run in there if run.probes().get("autocorrelation")]
    parts = []
    for moment, at in MOMENTS.items():
        parts.append(tables(there, "shattering", at).assign(moment=moment, what="cosine"))
        if along:
            lines = tables(along, "autocorrelation", at).assign(moment=moment, what="autocorrelation")
            parts.append(lines[lines["kind"] == "input"])
    table = joined(pd.concat(parts, ignore_index=True), there)
    columns = [
        *("moment", "what", "step", "layer", "depth", "relative_depth", "cosine", "deviation"),
        *("lag", "distance", "autocorrelation", "batch_norm", "reason"),
    ]
    return table.reindex(columns=[*WHO, *columns])


def drawn(table: pd.DataFrame) -> Figure:
    """Between images to the left and, where it was measured, along a line to the right; above before training."""
    styles = styles_of(table)
    both = "autocorrelation" in set(table["what"])
    size = (WIDTH, 5.0) if both else (WIDTH, 2.75)
    shape = (2, 2) if both else (1, 2)
    figure, axes = plt.subplots(
        *shape, figsize=size, layout="constrained", sharex="col", sharey="col" if both else True
    )
    grid = axes if both else axes[:, None]
    for moment, row in zip(MOMENTS, grid, strict=True):
        rows = table[table["moment"] == moment]
        cosines, lines = (rows[rows["what"] == what] for what in ("cosine", "autocorrelation"))
        trace(data=cosines, x="relative_depth", y="cosine", hue="net", ax=row[0], styles=styles)
        row[0].set(title=f"Between images, {moment}", ylabel="mean cosine of two gradients")
        if both:
            trace(data=lines, x="distance", y="autocorrelation", hue="net", ax=row[1], styles=styles, markers=False)
            row[1].set(title=f"Along a line of inputs, {moment}", ylabel="autocorrelation")
            row[1].set_xlabel("distance (share of the line)")
        for ax in row:
            ax.axhline(0, color=palette.MUTED, linewidth=0.8, zorder=1)
            if both and moment == "initialisation":
                ax.set_xlabel("")
    if not both:
        axes[1].set_ylabel("")
    legend(figure, "net", styles, markers=True, band=band_of(table))
    return figure


PLATES = (Plate("shattering", measured, drawn, sweeps=("degradation",), claims=("shattering",)),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
