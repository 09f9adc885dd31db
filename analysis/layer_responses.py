"""How strongly does each layer respond, and do residual layers respond less?

He et al. 2015, figure 7: the standard deviation of each layer's output, behind batch norm and before rectifier and
addition (where the normalisation stands in front of a layer, at the layer itself), at the last recorded step of each
run that has ended, in the order of the layers and sorted by size; in front of it the same at step 0, with what
mean-field theory expects (dots). Several seeds at one step become their mean with the range.

    python -m analysis.layer_responses --runs runs --out figures
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from analysis.moments import at_moment, when
from analysis.publish import command, looks, publish
from labapp import frames
from labapp.config import LabError
from labapp.figures import WIDTH, dots, legend, profile
from labapp.store import Run

QUANTITY = "output_std"


def draw(runs: list[Run], out: Path) -> list[Path]:
    """Write layer_responses.{png,svg,pdf,csv}."""
    table = frames.signals(runs)
    table = table[table["quantity"] == QUANTITY]
    if table.empty:
        raise LabError("these runs hold no responses of layers; record some with `labapp train`")
    table = table.merge(frames.describe(runs)[["run", "net", "status"]], on="run")
    begun = table["step"].eq(0).any()  # a run may record nothing at first
    start = at_moment(table, last=False) if begun else table[:0]
    start, end = (_placed(rows) for rows in (start, at_moment(table, last=True)))
    theory = frames.expected(runs)
    theory = theory[theory["quantity"] == QUANTITY].merge(start[["run", "layer", "net", "layer_number"]])
    start = start.merge(theory.rename(columns={"value": "theory"})[["run", "layer", "theory"]], "left")
    styles = looks(runs)
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.75), layout="constrained", sharey=True)
    dots(data=theory, x="layer_number", y="value", hue="net", ax=axes[0], styles=styles)
    for ax, rows, x, title, label in (
        (axes[0], start, "layer_number", "Before training", "layer"),
        (axes[1], end, "layer_number", "Afterwards", "layer"),
        (axes[2], end, "rank", "Sorted by size", "layer, largest first"),
    ):
        if rows.empty:
            ax.set_title("Step 0 was\nnot recorded")
            continue
        profile(data=rows, x=x, y="value", hue="net", ax=ax, styles=styles)
        ax.set(title=f"{title}\n({when(rows)})", xlabel=label, ylabel="")
        ax.margins(x=0.02)
    axes[0].set_ylabel("standard deviation of the output")
    legend(figure, "net", styles, markers=True, theory=len(theory) > 0)
    drawn = pd.concat([start.assign(moment="initialisation"), end.assign(moment="end of training")])
    columns = ["moment", "net", "run", "family", "net_depth", "seed", *frames.LAYER, "layer_number", "rank", "value"]
    drawn = drawn.reindex(columns=[*columns, "theory", "state"])
    return publish(figure, drawn.rename(columns={"value": QUANTITY}), out, "layer_responses")


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    """With each layer's place in its net, by depth and by size."""
    by_run = rows.groupby("run")
    return rows.assign(
        state=frames.states_of(rows["value"]),
        rank=by_run["value"].rank(method="first", ascending=False),
        layer_number=by_run["depth"].rank(method="first"),
    )


if __name__ == "__main__":
    sys.exit(command(draw, __doc__))
