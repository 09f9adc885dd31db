"""How badly does each net take the loss of one block, or another order of its blocks?

Veit et al. 2016, figures 3 and 5: left, the error after deleting one block or layer, against its place in the net;
right, the error after random exchanges of two blocks of one shape, one after the other, with the band over several
orders (the table also has Kendall's rank correlation of the order with the trained one). In a residual net hardly any
deletion matters; in a plain net or VGG each leaves chance. Layers that change the shape cannot be left out and have no
point. Several seeds become their mean with the range.

    labapp probe RUN … --quantities lesions permutations
    python -m analysis.lesions --runs runs --out figures
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


def measured(runs: list[Run]) -> pd.DataFrame:
    """The error of the whole net, without each block and, where it was measured, with blocks in other orders."""
    there = probed(runs, "lesions")
    deleted = tables(there, "lesions")
    chance = deleted["chance"].min()
    deleted = deleted[(deleted["lesion"] != "swap") & (deleted["reason"] == "")]
    blocks = deleted.groupby("run")["position"].transform("max").clip(lower=2)
    found = [deleted.assign(what=deleted["lesion"], along=(deleted["position"] - 1) / (blocks - 1))]
    if permuted := [run for run in there if run.probes().get("permutations")]:
        ordered = tables(permuted, "permutations")
        ordered = ordered[(ordered["swaps"] == 0) | (ordered["kendall_tau"] < 1)]  # without orders that came back
        found.append(ordered.assign(what="permutation"))
    table = joined(pd.concat(found, ignore_index=True), there)
    table = table.assign(error=1 - table["accuracy"], chance=1 - chance)
    columns = ["what", "block", "position", "along", "swaps", "repeat", "kendall_tau", "error", "loss", "chance"]
    return table.reindex(columns=[*WHO, "step", *columns])


def drawn(table: pd.DataFrame) -> Figure:
    """Deletions to the left and, where they were measured, orders to the right."""
    styles = styles_of(table)
    ordered = table[table["what"] == "permutation"]
    across = 2 if len(ordered) else 1
    figure, axes = plt.subplots(1, across, figsize=(WIDTH, 3.0), layout="constrained", sharey=True, squeeze=False)
    left, right = axes[0, 0], axes[0, -1]
    deleted = table[table["what"] == "delete"].assign(error=lambda rows: 100 * rows["error"])
    trace(data=deleted, x="along", y="error", hue="net", ax=left, styles=styles)
    if len(ordered):
        counts = sorted(ordered["swaps"].unique())
        shown = ordered.assign(along=ordered["swaps"].map(counts.index), error=100 * ordered["error"])
        trace(data=shown, x="along", y="error", hue="net", ax=right, styles=styles)
        right.set_xticks(range(len(counts)), [f"{count:g}" for count in counts])
        right.set(title="Blocks exchanged at random", xlabel="exchanges of two blocks of one shape", ylabel="")
    chance = 100 * table["chance"].iloc[0]
    whole = table[table["what"] == "none"].groupby("net")["error"].mean()
    for net, error in whole.items():
        look = styles.set_index("net").loc[net]
        left.plot(-0.03, 100 * error, look["marker"], color=look["colour"], mfc="none", ms=4, clip_on=False)
    for ax in axes.flat:
        ax.axhline(chance, color=palette.MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        ax.set_ylim(0, 103)
    above = {"xytext": (0, 2), "textcoords": "offset points", "color": palette.MUTED, "fontsize": 7}
    left.annotate("chance", (0.5, chance), **above)
    left.set(title="One block deleted", xlabel="the block's place (0 first, 1 last; open marks: the whole net)")
    left.set_ylabel(palette.quantity("error").title)
    legend(figure, "net", styles, markers=True, band=band_of(table))
    return figure


PLATES = (Plate("lesions", measured, drawn, sweeps=("degradation",), claims=("lesions",)),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
