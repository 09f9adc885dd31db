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
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from analysis.moments import MOMENTS, at_moment, when
from analysis.publish import command, looks, publish
from labapp import frames, palette
from labapp.config import LabError
from labapp.figures import WIDTH, dots, legend, profile
from labapp.store import Run

WAYS = {
    "forward_ratio": ("Forward", "‖branch‖ / ‖shortcut‖"),
    "backward_ratio": ("Backward", "‖∂L/∂x‖, branch / shortcut"),
}


def draw(runs: list[Run], out: Path) -> list[Path]:
    """Write residual_split.{png,svg,pdf,csv}."""
    split = [run for run in runs if run.experiment.family in ("residual", "foreign")]
    table = frames.signals(split) if split else pd.DataFrame(columns=["quantity"])
    table = table[table["quantity"].isin(WAYS)]
    if table.empty:
        raise LabError("these runs hold no residual block, so nothing is split; record one with `labapp train`")
    table = table.merge(frames.describe(split)[["run", "net", "status"]], on="run")
    styles, expected = looks(split), frames.expected(split)
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 4.6), layout="constrained", sharex=True, sharey="row")
    shown = []
    for row, (way, (title, label)) in zip(axes, WAYS.items(), strict=True):
        for ax, (moment, last) in zip(row, MOMENTS.items(), strict=True):
            rows = at_moment(table[table["quantity"] == way], last).assign(moment=moment)
            rows = rows.assign(state=frames.states_of(rows["value"]))
            theory = expected.merge(rows.loc[rows["step"] == 0, ["run", "layer", "quantity", "net"]])
            rows = rows.merge(theory.rename(columns={"value": "theory"})[["run", "layer", "theory"]], "left")
            profile(data=rows, x="relative_depth", y="value", hue="net", ax=ax, styles=styles)
            dots(data=theory, x="relative_depth", y="value", hue="net", ax=ax, styles=styles)
            ax.axhline(1, color=palette.MUTED, linewidth=0.8, zorder=1)
            ax.set(title=f"{title}, {moment} ({when(rows)})", ylabel=label)
            shown.append(rows)
        row[1].set_ylabel("")
    for ax in axes[0]:
        ax.set_xlabel("")
    drawn = pd.concat(shown)
    legend(figure, "net", styles, markers=True, theory=bool(drawn["theory"].notna().any()))
    columns = ["moment", "net", "run", "seed", *frames.LAYER, "quantity", "part", "whole", "value", "theory", "state"]
    return publish(figure, drawn[columns], out, "residual_split")


if __name__ == "__main__":
    sys.exit(command(draw, __doc__))
