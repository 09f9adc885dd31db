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
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from analysis.probed import probed, tables
from analysis.publish import command, looks, publish
from labapp import palette
from labapp.figures import WIDTH, legend, trace
from labapp.store import Run


def draw(runs: list[Run], out: Path) -> list[Path]:
    """Write lesions.{png,svg,pdf,csv}."""
    there = probed(runs, "lesions")
    deleted = tables(there, "lesions")
    chance = 100 * (1 - deleted["chance"].min())
    deleted = deleted[(deleted["lesion"] != "swap") & (deleted["reason"] == "")]
    blocks = deleted.groupby("run")["position"].transform("max").clip(lower=2)
    deleted = deleted.assign(place=(deleted["position"] - 1) / (blocks - 1), error=1 - deleted["accuracy"])
    permuted = [run for run in there if run.probes().get("permutations")]
    ordered = tables(permuted, "permutations") if permuted else _none_ordered()
    ordered = ordered[(ordered["swaps"] == 0) | (ordered["kendall_tau"] < 1)]  # without orders that came back
    styles = looks(there)
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.0), layout="constrained", sharey=True)
    shown = deleted[deleted["lesion"] == "delete"].assign(error=lambda t: 100 * t["error"])
    trace(data=shown, x="place", y="error", hue="net", ax=axes[0], styles=styles)
    axes[0].set(title="One block deleted", xlabel="the block's place (0 first, 1 last)")
    if len(ordered):
        counts = sorted(ordered["swaps"].unique())
        ordered = ordered.assign(place=ordered["swaps"].map(counts.index), error=1 - ordered["accuracy"])
        shown = ordered.assign(error=100 * ordered["error"])
        trace(data=shown, x="place", y="error", hue="net", ax=axes[1], styles=styles)
        axes[1].set_xticks(range(len(counts)), [str(count) for count in counts])
    axes[1].set(title="Blocks exchanged at random", xlabel="exchanges of two blocks of one shape", ylabel="")
    for ax in axes:
        ax.axhline(chance, color=palette.MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        ax.set_ylim(0, 103)
    axes[0].annotate(
        "chance", (0.5, chance), xytext=(0, 2), textcoords="offset points", color=palette.MUTED, fontsize=7
    )
    axes[0].set_ylabel(palette.quantity("error").title)
    legend(figure, "net", styles, markers=True)
    columns = [
        *("net", "run", "seed", "step", "what", "block", "position", "swaps", "repeat", "kendall_tau", "error", "loss")
    ]
    both = pd.concat([deleted.assign(what=deleted["lesion"]), ordered.assign(what="permutation")])
    return publish(figure, both.reindex(columns=columns), out, "lesions")


def _none_ordered() -> pd.DataFrame:
    """The table of permutations where none were measured."""
    columns = ["net", "run", "seed", "step", "swaps", "accuracy", "kendall_tau"]
    return pd.DataFrame(columns=columns).astype({"accuracy": float})


if __name__ == "__main__":
    sys.exit(command(draw, __doc__))
