"""How strongly does each layer respond, and do residual layers respond less?

He et al. 2015, figure 7: the standard deviation of each layer's output, behind batch norm and before rectifier and
addition (where the normalisation stands in front of a layer, at the layer itself), at the last recorded step of each
run that has ended, in the order of the layers and sorted by size; in front of it the same at step 0, with what
mean-field theory expects (dots). Several seeds at one step become their mean with the range.

    python -m analysis.layer_responses --runs runs --out figures
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from analysis.moments import at_moment, when
from analysis.plates import WHO, Plate, band_of, joined, styles_of
from analysis.publish import command
from labapp import frames
from labapp.config import LabError
from labapp.figures import WIDTH, dots, legend, profile
from labapp.store import Run

QUANTITY = "output_std"
START, END = "initialisation", "end of training"


def measured(runs: list[Run]) -> pd.DataFrame:
    """Responses before training, with theory, and at the end of each run, with each layer's place by depth and size."""
    table = frames.signals(runs)
    table = table[table["quantity"] == QUANTITY]
    if table.empty:
        raise LabError("these runs hold no responses of layers; record some with `labapp train`")
    table = joined(table, runs)
    begun = table["step"].eq(0).any()  # a run may record nothing at first
    start = at_moment(table, last=False) if begun else table[:0]
    start, end = (_placed(rows) for rows in (start, at_moment(table, last=True)))
    theory = frames.expected(runs)
    theory = theory[theory["quantity"] == QUANTITY].rename(columns={"value": "theory"})
    start = start.merge(theory[["run", "layer", "theory"]], "left")
    found = pd.concat([start.assign(moment=START), end.assign(moment=END)], ignore_index=True)
    columns = ["moment", "step", "layer", "kind", "layer_number", "rank", "value", "theory", "state"]
    return found[[*WHO, *columns]].rename(columns={"value": QUANTITY})


def drawn(table: pd.DataFrame) -> Figure:
    """Three panels: before training, afterwards, and afterwards by size."""
    styles = styles_of(table)
    start, end = (table[table["moment"] == moment] for moment in (START, END))
    theory = start.dropna(subset="theory")
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.75), layout="constrained", sharey=True)
    dots(data=theory, x="layer_number", y="theory", hue="net", ax=axes[0], styles=styles)
    for ax, rows, x, title, label in (
        (axes[0], start, "layer_number", "Before training", "layer"),
        (axes[1], end, "layer_number", "Afterwards", "layer"),
        (axes[2], end, "rank", "Sorted by size", "layer, largest first"),
    ):
        if rows.empty:
            ax.set_title("Step 0 was\nnot recorded")
            continue
        profile(data=rows, x=x, y=QUANTITY, hue="net", ax=ax, styles=styles)
        ax.set(title=f"{title}\n({when(rows)})", xlabel=label, ylabel="")
        ax.margins(x=0.02)
    axes[0].set_ylabel("standard deviation of the output")
    legend(figure, "net", styles, markers=True, theory=len(theory) > 0, band=band_of(table))
    return figure


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    """With each layer's place in its net, by depth and by size."""
    by_run = rows.groupby("run")
    return rows.assign(
        state=frames.states_of(rows["value"]),
        rank=by_run["value"].rank(method="first", ascending=False),
        layer_number=by_run["depth"].rank(method="first"),
    )


PLATES = (Plate("layer_responses", measured, drawn, sweeps=("degradation",), claims=("responses",)),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
