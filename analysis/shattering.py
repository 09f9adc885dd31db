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
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from analysis.probed import probed, tables
from analysis.publish import command, looks, publish
from labapp import palette
from labapp.figures import WIDTH, legend, trace
from labapp.store import Run

MOMENTS = {"initialisation": 0, "after training": -1}  # of the steps that were probed


def draw(runs: list[Run], out: Path) -> list[Path]:
    """Write shattering.{png,svg,pdf,csv}."""
    there = probed(runs, "shattering")
    along = [run for run in there if run.probes().get("autocorrelation")]
    styles = looks(there)
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 5.0), layout="constrained", sharex="col", sharey="col")
    shown = []
    for (moment, at), (left, right) in zip(MOMENTS.items(), axes, strict=True):
        cosines = tables(there, "shattering", at).assign(moment=moment, what="cosine")
        lines = tables(along, "autocorrelation", at) if along else pd.DataFrame(columns=["kind"])
        lines = lines[lines["kind"] == "input"].assign(moment=moment, what="autocorrelation")
        trace(data=cosines, x="relative_depth", y="cosine", hue="net", ax=left, styles=styles)
        left.set(title=f"Between images, {moment}", ylabel="mean cosine of two gradients")
        if len(lines):
            trace(data=lines, x="distance", y="autocorrelation", hue="net", ax=right, styles=styles, markers=False)
        right.set(title=f"Along a line of inputs, {moment}", xlabel="distance (share of the line)")
        right.set_ylabel("autocorrelation")
        for ax in (left, right):
            ax.axhline(0, color=palette.MUTED, linewidth=0.8, zorder=1)
            if moment == "initialisation":
                ax.set_xlabel("")
        shown += [cosines, lines]
    legend(figure, "net", styles, markers=True)
    columns = [
        *("moment", "what", "net", "run", "seed", "step", "layer", "kind", "depth", "relative_depth", "cosine"),
        *("deviation", "examples", "lag", "distance", "autocorrelation", "batch_norm", "reason"),
    ]
    return publish(figure, pd.concat(shown).reindex(columns=columns), out, "shattering")


if __name__ == "__main__":
    sys.exit(command(draw, __doc__))
