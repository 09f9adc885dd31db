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
import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analysis.plates import Plate, styles_of, who
from analysis.probed import last, probed
from analysis.publish import command, outer, panels
from labapp import frames, palette
from labapp.config import LabError
from labapp.figures import WIDTH, colour_bar, frame_columns, matrix
from labapp.store import Run

WEIGHTING, SCALE = "weights", "column mean"
CLIP = 0.98  # quantile of |Δ loss| where colours end: a few cells (the stem, a stage's first block) are far beyond
COLUMNS = [
    *("net", "family", "weighting", "block", "source", "target", "kind", "value", "raw", "deviation", "seeds"),
    *("null", "null_deviation", "step", "experiment", "seed"),
]


def measured(runs: list[Run]) -> pd.DataFrame:
    """The cells of dense nets by weights."""
    nets = _nets(probed(runs, "feature_reuse"), ["dense"])
    if not nets:
        raise LabError("these runs hold no dense net, whose weights belong to a source each")
    return pd.concat([_cells(net, own, WEIGHTING, SCALE) for net, own in nets.items()], ignore_index=True)


def measured_ablation(runs: list[Run]) -> pd.DataFrame:
    """The cells of residual nets by what a target loses; of plain nets and VGG where there are no others."""
    there = probed(runs, "feature_reuse")
    nets = _nets(there, ["residual"])
    if not nets and not _nets(there, ["dense"]):
        nets = _nets(there, ["plain", "vgg", "foreign"])
    if not nets:
        raise LabError("no residual net of these runs was probed for feature_reuse; `labapp probe` measures it")
    return pd.concat([_cells(net, own, "ablation", "raw") for net, own in nets.items()], ignore_index=True)


def _nets(runs: Sequence[Run], families: Sequence[str]) -> dict[str, list[Run]]:
    """The runs of each net of these families, that differ in the seed alone, in the order of the figures."""
    about = who(runs)
    named = list(about["net"])
    order = [net for net in styles_of(about)["net"] if about["family"][named.index(net)] in families]
    return {net: [run for run, own in zip(runs, named, strict=True) if own == net] for net in order}


def _cells(net: str, runs: Sequence[Run], weighting: str, scale: str) -> pd.DataFrame:
    """The cells of one net after training, the mean over its seeds, with the columns COLUMNS."""
    cells = frames.reuse(runs, weighting, last(runs[0], "feature_reuse"))
    return frames.scaled(cells, scale).assign(
        net=net, family=runs[0].experiment.family, weighting=weighting,
        experiment=" ".join(run.experiment.digest for run in runs),
        seed=" ".join(str(run.experiment.seed) for run in runs),
    )[COLUMNS]  # fmt: skip


def drawn(table: pd.DataFrame) -> Figure:
    """One row a dense net, one triangle a block."""
    nets = list(dict.fromkeys(table["net"]))
    across = int(table["block"].max())
    size = (WIDTH, 0.55 + 1.75 * len(nets))
    figure, axes = plt.subplots(len(nets), across, figsize=size, layout="constrained", squeeze=False)
    values = table["value"]
    limit = float(values[np.isfinite(values)].abs().max()) or 1.0 if np.isfinite(values).any() else 1.0
    norm = Normalize(-limit, limit)
    for row, net in zip(axes, nets, strict=True):
        own = table[table["net"] == net]
        for block, ax in enumerate(row, start=1):
            rows = own[own["block"] == block]
            if rows.empty:
                ax.set_axis_off()
                continue
            matrix(data=rows, x="target", y="source", hue="value", ax=ax, norm=norm, relative=True)
            framed = rows[rows["kind"] != "layer"].groupby("target")["source"].agg(["min", "max"]).reset_index()
            frame_columns(ax, framed)
            whose = "\n".join(textwrap.wrap(net, 18))
            ax.set(title=f"block {block}", xlabel="target layer", ylabel=f"{whose}\n\nsource layer")
            outer(ax)
    figure.suptitle(f"framed: transition, and classifier of the last block{_seeds(table)}", size=7, x=0.01, ha="left")
    title = f"{palette.WEIGHTINGS[WEIGHTING][0]}, ÷ column mean − 1"
    colour_bar(figure, list(axes.flat), norm, title, True, powers=False)
    return figure


def drawn_ablation(table: pd.DataFrame) -> Figure:
    """One panel a net: Δ loss of a target without a source, the whole net as one block."""
    values = table["value"]
    finite = values[np.isfinite(values)]
    limit = float(finite.abs().quantile(CLIP)) or 1.0 if len(finite) else 1.0
    beyond = {(True, True): "both", (True, False): "min", (False, True): "max"}
    norm = Normalize(-limit, limit)
    figure, axes = panels(list(dict.fromkeys(table["net"])), _shape)
    for net, ax in axes.items():
        rows = table[table["net"] == net]
        matrix(data=rows, x="target", y="source", hue="value", ax=ax, norm=norm, relative=True)
        ends = rows[rows["kind"] == "classifier"]
        frame_columns(ax, ends.groupby("target")["source"].agg(["min", "max"]).reset_index())
        ax.set(title=net, xlabel="target block (framed: classifier)", ylabel="source block (0: stem)")
        outer(ax)
    if told := _seeds(table).strip():
        figure.suptitle(told.strip("()"), size=7, x=0.01, ha="left")
    title = "Δ loss without the source (nats)"
    extend = beyond.get((bool(values.min() < -limit), bool(values.max() > limit)), "neither")
    colour_bar(figure, figure.axes, norm, title, True, powers=False, extend=extend)
    return figure


def _seeds(rows: pd.DataFrame) -> str:
    seeds = int(rows["seeds"].max())
    return f" (mean of {seeds} seeds)" if seeds > 1 else ""


def _shape(across: int, down: int) -> tuple[float, float]:
    """Inches of a figure of so many square panels."""
    return WIDTH if across > 1 else WIDTH * 0.6, 0.35 + (2.6 if across < 3 else 2.2) * down


REUSE = ("reuse-layers", "reuse-transitions", "reuse-redundant", "reuse-final")
PLATES = (
    Plate("feature_reuse", measured, drawn, sweeps=("parameters",), claims=REUSE),
    Plate("block_ablation", measured_ablation, drawn_ablation, sweeps=("parameters", "degradation")),
)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
