"""Which earlier features does each layer use?

Huang et al. 2017, figure 5, for every dense net: one triangle a block, the cell (source, target) the mean absolute
weight that the target gives to the source, above or below the column's mean, as a share of it; transition and
classifier columns framed. Beside it the counterpart for residual nets, whose weights belong to no single source: the
loss that a block adds when it alone no longer sees what an earlier one has made (Veit et al. 2016). Plain nets and VGG,
whose layers see one source each, are drawn in the same way when there are no others. Several seeds become their mean.

    labapp probe RUN … --quantities feature_reuse
    python -m analysis.feature_reuse --runs runs --out figures
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize

from analysis.probed import last, probed
from analysis.publish import ACROSS, command, looks, panels, publish
from labapp import frames, palette
from labapp.figures import WIDTH, colour_bar, frame_columns, matrix
from labapp.store import Run

WEIGHTING, SCALE = "weights", "column mean"
CLIP = 0.98  # quantile of |Δ loss| where colours end: a few cells (the stem, a stage's first block) are far beyond
COLUMNS = [
    *("net", "weighting", "block", "source", "target", "kind", "value", "raw", "deviation", "seeds"),
    *("null", "null_deviation", "step"),
]


def draw(runs: list[Run], out: Path) -> list[Path]:
    """Write feature_reuse.* for dense nets and block_ablation.* for residual ones, those that there are."""
    there = probed(runs, "feature_reuse")
    nets = _nets(there)
    dense = {net: own for net, own in nets.items() if own[0].experiment.family == "dense"}
    added = {net: own for net, own in nets.items() if own[0].experiment.family == "residual"}
    written = []
    if dense:
        written += draw_triangles(dense, out)
    if added:
        written += draw_ablation(added, out)
    return written or draw_ablation(nets, out)


def _nets(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each net, that differ in the seed alone, in the order of the figures."""
    named = list(frames.describe(runs)["net"])
    return {net: [run for run, own in zip(runs, named, strict=True) if own == net] for net in looks(runs)["net"]}


def cells_of(net: str, runs: Sequence[Run], weighting: str, scale: str) -> pd.DataFrame:
    """The cells of one net after training, with the columns COLUMNS."""
    cells = frames.reuse(runs, weighting, last(runs[0], "feature_reuse"))
    return frames.scaled(cells, scale).assign(net=net, weighting=weighting)[COLUMNS]


def draw_triangles(nets: dict[str, list[Run]], out: Path) -> list[Path]:
    """One row a dense net, one triangle a block."""
    tables = {net: cells_of(net, runs, WEIGHTING, SCALE) for net, runs in nets.items()}
    across = max(table["block"].max() for table in tables.values())
    size = (WIDTH, 0.35 + 2.15 * len(nets))
    figure, axes = plt.subplots(len(nets), across, figsize=size, layout="constrained", squeeze=False)
    values = pd.concat(tables.values())["value"]
    limit = float(values[np.isfinite(values)].abs().max()) or 1.0 if np.isfinite(values).any() else 1.0
    norm = Normalize(-limit, limit)
    for row, (net, table) in zip(axes, tables.items(), strict=True):
        for block, ax in enumerate(row, start=1):
            rows = table[table["block"] == block]
            if rows.empty:
                ax.set_axis_off()
                continue
            matrix(data=rows, x="target", y="source", hue="value", ax=ax, norm=norm, relative=True)
            framed = rows[rows["kind"] != "layer"].groupby("target")["source"].agg(["min", "max"]).reset_index()
            frame_columns(ax, framed)
            ends = "classifier" if "classifier" in set(rows["kind"]) else "transition"
            ax.set(title=f"{net}, block {block}", xlabel=f"target layer (framed: {ends})", ylabel="source layer")
            if block > 1:
                ax.set_ylabel("")
    title = f"{palette.WEIGHTINGS[WEIGHTING][0]}, ÷ column mean − 1"
    colour_bar(figure, list(axes.flat), norm, title, True, powers=False)
    return publish(figure, pd.concat(tables.values()), out, "feature_reuse")


def draw_ablation(nets: dict[str, list[Run]], out: Path) -> list[Path]:
    """One panel a net: Δ loss of a target without a source, the whole net as one block."""
    tables = {net: cells_of(net, runs, "ablation", "raw") for net, runs in nets.items()}
    values = pd.concat(tables.values())["value"]
    finite = values[np.isfinite(values)]
    limit = float(finite.abs().quantile(CLIP)) or 1.0 if len(finite) else 1.0
    beyond = {(True, True): "both", (True, False): "min", (False, True): "max"}
    norm = Normalize(-limit, limit)
    figure, axes = panels(list(nets), _size)
    for place, (net, ax) in enumerate(axes.items()):
        matrix(data=tables[net], x="target", y="source", hue="value", ax=ax, norm=norm, relative=True)
        ends = tables[net][tables[net]["kind"] == "classifier"]
        frame_columns(ax, ends.groupby("target")["source"].agg(["min", "max"]).reset_index())
        ax.set(title=net, xlabel="target block (framed: classifier)", ylabel="source block (0: stem)")
        if place % ACROSS:
            ax.set_ylabel("")
    title = "Δ loss without the source (nats)"
    extend = beyond.get((bool(values.min() < -limit), bool(values.max() > limit)), "neither")
    colour_bar(figure, figure.axes, norm, title, True, powers=False, extend=extend)
    return publish(figure, pd.concat(tables.values()), out, "block_ablation")


def _size(across: int, down: int) -> tuple[float, float]:
    """Inches of a figure of so many square panels."""
    return WIDTH if across > 1 else WIDTH * 0.6, 0.35 + (2.6 if across < ACROSS else 2.2) * down


if __name__ == "__main__":
    sys.exit(command(draw, __doc__))
