"""Does the gradient reach the first layer, at initialisation and at the end of training?

Two figures. *Profile*: the gradient's norm at the output of every convolution against its depth, at step 0 and at the
last recorded step of each run that has ended; several seeds at one step become their geometric mean with the range.
Dots: what mean-field theory expects at step 0, counted from the last layer. *Heatmap*: every layer at every step, one
panel a net (its first seed), one colour scale.

    python -m analysis.gradient_flow --runs runs --out figures
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analysis.moments import MOMENTS, at_moment, when
from analysis.plates import WHO, Plate, band_of, joined, styles_of
from analysis.publish import ACROSS, command, panels
from labapp import frames, palette
from labapp.config import LabError
from labapp.figures import WIDTH, colour_bar, dots, heatmap, legend, profile
from labapp.store import Run

QUANTITY = "output_grad_norm"
TITLE = palette.quantity(QUANTITY).title
CELLS = 1000  # of a net's heatmap
EDGES = ["depth", "depth_start", "depth_end", "step", "step_end"]
LOGS = ["value", "extreme"]


def measured(runs: list[Run]) -> pd.DataFrame:
    """The gradient against depth at step 0, with theory, and at the last recorded step of each run that has ended."""
    table = _gradients(runs)
    expected = frames.expected(runs)
    parts = []
    for title, last in MOMENTS.items():
        rows = at_moment(table, last).assign(moment=title)
        theory = frames.expected_gradient(rows, expected).rename(columns={"value": "theory"})
        parts.append(rows.merge(theory[["run", "layer", "theory"]], "left"))
    found = pd.concat(parts, ignore_index=True)
    found = found.assign(state=frames.states_of(found["value"]))
    return found[[*WHO, "moment", "step", "layer", "depth", "relative_depth", "value", "theory", "state"]]


def drawn(table: pd.DataFrame) -> Figure:
    """Two panels, before training and after it."""
    styles = styles_of(table)
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.0), layout="constrained", sharey=True)
    for title, ax in zip(MOMENTS, axes, strict=True):
        rows = table[table["moment"] == title]
        dots(data=rows.dropna(subset="theory"), x="relative_depth", y="theory", hue="net", ax=ax, styles=styles)
        profile(data=rows, x="relative_depth", y="value", hue="net", ax=ax, styles=styles)
        ax.set(title=f"{title.capitalize()} ({when(rows)})", ylabel=TITLE, xlim=(-0.02, 1.02))
    axes[1].set_ylabel("")
    theory = bool(table["theory"].notna().any())
    legend(figure, "net", styles, markers=True, theory=theory, band=band_of(table))
    return figure


def measured_cells(runs: list[Run]) -> pd.DataFrame:
    """Every layer at every step, of the first seed of each net; logarithms to base 10."""
    table = _gradients(runs)
    firsts = table[["net", "run", "seed"]].drop_duplicates().sort_values("seed", kind="stable").drop_duplicates("net")
    cells = frames.gradient_heatmap(table[table["run"].isin(firsts["run"])], marks=CELLS)
    columns = ["layer", *EDGES, *LOGS, "state"]
    return joined(cells[["run", *columns]], runs)[[*WHO, *columns]].rename(columns=lambda name: _logs().get(name, name))


def drawn_cells(table: pd.DataFrame) -> Figure:
    """One panel a net."""
    cells = table.rename(columns={log: name for name, log in _logs().items()})
    nets = list(styles_of(cells)["net"])
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
    return figure


def _gradients(runs: list[Run]) -> pd.DataFrame:
    table = frames.layer_table(runs, QUANTITY)
    if table.empty:
        raise LabError("these runs hold no gradients of convolutions; record some with `labapp train`")
    return joined(table, runs)


def _logs() -> dict[str, str]:
    return {name: f"log10_{name}" for name in LOGS}


VANISHING = tuple(f"vanishing-batch-he-{when}" for when in ("start", "end"))
PLATES = (
    Plate("gradient_profile", measured, drawn, sweeps=("degradation",), claims=VANISHING),
    Plate("gradient_heatmap", measured_cells, drawn_cells, sweeps=("degradation",), claims=VANISHING),
)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
