"""How strongly does each layer respond, and do residual layers respond less?

He et al. 2015, figure 7: the standard deviation of each layer's output, behind batch norm and before rectifier and
addition (where the normalisation stands in front of a layer, at the layer itself), at the last recorded step of each
run that has ended. Left in the order of the layers, right sorted by size. Several seeds at one step become their mean
with the range.

    python -m analysis.layer_responses --runs runs --out figures
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt

from analysis.moments import at_moment, when
from analysis.publish import command, looks, publish
from labapp import frames
from labapp.config import LabError
from labapp.figures import WIDTH, legend, profile
from labapp.store import Run

QUANTITY = "output_std"


def draw(runs: list[Run], out: Path) -> list[Path]:
    """Write layer_responses.{png,svg,pdf,csv}."""
    table = frames.signals(runs)
    table = table[table["quantity"] == QUANTITY]
    if table.empty:
        raise LabError("these runs hold no responses of layers; record some with `labapp train`")
    table = at_moment(table.merge(frames.describe(runs)[["run", "net", "status"]], on="run"), last=True)
    table = table.assign(state=frames.states_of(table["value"]))
    table["rank"] = table.groupby("run")["value"].rank(method="first", ascending=False)
    table["layer_number"] = table.groupby("run")["depth"].rank(method="first")
    styles = looks(runs)
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.75), layout="constrained", sharey=True)
    for ax, x, title, label in (
        (axes[0], "layer_number", "In the order of the layers", "layer"),
        (axes[1], "rank", "Sorted by size", "layer, largest response first"),
    ):
        profile(data=table, x=x, y="value", hue="net", ax=ax, styles=styles)
        ax.set(title=f"{title} ({when(table)})", xlabel=label, ylabel="standard deviation of the output")
        ax.margins(x=0.02)
    axes[1].set_ylabel("")
    legend(figure, "net", styles, markers=True)
    columns = ["net", "run", "family", "net_depth", "seed", *frames.LAYER, "layer_number", "rank", "value", "state"]
    return publish(figure, table[columns].rename(columns={"value": QUANTITY}), out, "layer_responses")


if __name__ == "__main__":
    sys.exit(command(draw, __doc__))
