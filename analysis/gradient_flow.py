"""Does the gradient reach the first layer, at initialisation and at the end of training?

Two figures. *Profile*: the gradient's norm at the output of every convolution against its depth, at step 0 and at the
last recorded step of each run that has ended; several seeds at one step become their geometric mean with the range.
Dots: what mean-field theory expects at step 0, counted from the last layer. *Heatmap*: every layer at every step, one
panel a net (its first seed), one colour scale.

    python -m analysis.gradient_flow --runs runs --out figures
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import Normalize

from analysis.moments import MOMENTS, at_moment, when
from analysis.publish import ACROSS, command, looks, panels, publish
from labapp import frames, palette
from labapp.config import LabError
from labapp.figures import WIDTH, colour_bar, dots, heatmap, legend, profile
from labapp.store import Run

QUANTITY = "output_grad_norm"
TITLE = palette.quantity(QUANTITY).title


def draw(runs: list[Run], out: Path) -> list[Path]:
    """Write gradient_profile.* and gradient_heatmap.*."""
    table = frames.layer_table(runs, QUANTITY)
    if table.empty:
        raise LabError("these runs hold no gradients of convolutions; record some with `labapp train`")
    table = table.merge(frames.describe(runs)[["run", "net", "status"]], on="run")
    styles = looks(runs)
    return draw_profiles(table, styles, out, frames.expected(runs)) + draw_heatmaps(table, styles, out)


def draw_profiles(table: pd.DataFrame, styles: pd.DataFrame, out: Path, expected: pd.DataFrame) -> list[Path]:
    """The gradient against depth at step 0, and at the last recorded step of each run that trained to its end."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.0), layout="constrained", sharey=True)
    shown = []
    for (title, last), ax in zip(MOMENTS.items(), axes, strict=True):
        rows = at_moment(table, last).assign(moment=title)
        rows = rows.assign(state=frames.states_of(rows["value"]))
        theory = frames.expected_gradient(rows, expected).merge(rows[["run", "net"]].drop_duplicates(), on="run")
        rows = rows.merge(theory.rename(columns={"value": "theory"})[["run", "layer", "theory"]], "left")
        dots(data=theory, x="relative_depth", y="value", hue="net", ax=ax, styles=styles)
        profile(data=rows, x="relative_depth", y="value", hue="net", ax=ax, styles=styles)
        ax.set(title=f"{title.capitalize()} ({when(rows)})", ylabel=TITLE, xlim=(-0.02, 1.02))
        shown.append(rows)
    axes[1].set_ylabel("")
    drawn = pd.concat(shown)
    legend(figure, "net", styles, markers=True, theory=bool(drawn["theory"].notna().any()))
    columns = ["moment", "net", "run", "family", "net_depth", "seed", *frames.LAYER, "value", "theory", "state"]
    return publish(figure, drawn[columns], out, "gradient_profile")


def draw_heatmaps(table: pd.DataFrame, styles: pd.DataFrame, out: Path) -> list[Path]:
    """Every layer at every step, of the first seed of each net."""
    firsts = table[["net", "run", "seed"]].drop_duplicates().sort_values("seed", kind="stable").drop_duplicates("net")
    nets = [name for name in styles["net"] if name in set(firsts["net"])]
    cells = frames.gradient_heatmap(table[table["run"].isin(firsts["run"])], marks=6000)
    cells = cells.merge(firsts[["run", "net"]], on="run")
    finite = pd.concat([cells["value"], cells["extreme"]]).dropna()
    norm = Normalize(finite.min(), finite.max()) if len(finite) else Normalize(-1, 0)
    figure, axes = panels(nets, lambda across, down: (WIDTH, 0.3 + 1.9 * down))
    for place, (net, ax) in enumerate(axes.items()):
        heatmap(data=cells[cells["net"] == net], x="step", y="depth", hue="value", ax=ax, norm=norm)
        ax.set_title(net)
        if place % ACROSS:
            ax.set_ylabel("")
        if place + ACROSS < len(nets):
            ax.set_xlabel("")
    colour_bar(figure, figure.axes, norm, TITLE)
    columns = ["net", "run", "layer", "depth", "step", "step_last", "recorded", "value", "low", "high", "state"]
    logs = {name: f"log10_{name}" for name in ("value", "low", "high")}
    return publish(figure, cells[columns].rename(columns=logs), out, "gradient_heatmap")


if __name__ == "__main__":
    sys.exit(command(draw, __doc__))
