"""How do branch and shortcut of each residual block share the signal and the gradient?

From the recorder, at step 0 and at the last recorded step of each run that has ended: the norm of what a block's branch
adds over that of what its shortcut carries on, forward, and the norms of the two parts of the gradient at the block's
input, backward (He et al. 2016, eq. 5). Below 1 the shortcut carries the larger part. Several seeds at one step become
their geometric mean with the range.
Dots: what mean-field theory expects at step 0.

    python -m analysis.residual_split --runs runs --out figures
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from analysis.moments import MOMENTS, at_moment, when
from analysis.plates import WHO, Plate, band_of, joined, styles_of
from analysis.publish import command
from labapp import frames, palette
from labapp.config import LabError
from labapp.figures import WIDTH, dots, legend, profile
from labapp.store import Run

WAYS = {
    "forward_ratio": ("Forward", "‖branch‖ / ‖shortcut‖"),
    "backward_ratio": ("Backward", "‖∂L/∂x‖, branch / shortcut"),
}


def measured(runs: list[Run]) -> pd.DataFrame:
    """Both ratios of every block, before training, with theory, and at the end of each run."""
    split = [run for run in runs if run.experiment.family in ("residual", "foreign")]
    table = frames.signals(split) if split else pd.DataFrame(columns=["quantity"])
    table = table[table["quantity"].isin(WAYS)]
    if table.empty:
        raise LabError("these runs hold no residual block, so nothing is split; record one with `labapp train`")
    table = joined(table, split)
    expected = frames.expected(split).rename(columns={"value": "theory"})
    parts = []
    for way in WAYS:
        for moment, last in MOMENTS.items():
            rows = at_moment(table[table["quantity"] == way], last).assign(moment=moment)
            theory = expected if not last else expected[:0]
            parts.append(rows.merge(theory[["run", "layer", "quantity", "theory"]], "left"))
    found = pd.concat(parts, ignore_index=True)
    found = found.assign(state=frames.states_of(found["value"]))
    columns = ["moment", "step", "layer", "relative_depth", "quantity", "part", "whole", "value", "theory", "state"]
    return found[[*WHO, *columns]]


def drawn(table: pd.DataFrame) -> Figure:
    """Forward above, backward below; before training to the left."""
    styles = styles_of(table)
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 4.6), layout="constrained", sharex=True, sharey="row")
    for row, (way, (title, label)) in zip(axes, WAYS.items(), strict=True):
        for ax, moment in zip(row, MOMENTS, strict=True):
            rows = table[(table["quantity"] == way) & (table["moment"] == moment)]
            theory = rows.dropna(subset="theory")
            profile(data=rows, x="relative_depth", y="value", hue="net", ax=ax, styles=styles)
            dots(data=theory, x="relative_depth", y="theory", hue="net", ax=ax, styles=styles)
            ax.axhline(1, color=palette.MUTED, linewidth=0.8, zorder=1)
            ax.set(title=f"{title}, {moment} ({when(rows)})", ylabel=label)
        row[1].set_ylabel("")
    for ax in axes[0]:
        ax.set_xlabel("")
    theory_shown = bool(table["theory"].notna().any())
    legend(figure, "net", styles, markers=True, theory=theory_shown, band=band_of(table))
    return figure


PLATES = (Plate("residual_split", measured, drawn, sweeps=("degradation",)),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
