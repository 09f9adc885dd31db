"""Does the gradient reach the first layer, at initialisation and at the end of training?

Two figures. *Profile*: the gradient's norm at the output of every convolution against its depth, at step 0 and at the
last recorded step of each run that has ended; several seeds at one step become their geometric mean with the range.
Dots: what mean-field theory expects at step 0, counted from the last layer. *Heatmap*: every layer at every step, one
panel a net (its first seed), one colour scale.

    python -m analysis.gradient_flow --runs runs --out figures
"""

from __future__ import annotations

import sys

import pandas as pd
from matplotlib.figure import Figure

from analysis.moments import MOMENTS, at_moment, when
from analysis.plates import WHO, Plate, band_of, joined, styles_of
from analysis.publish import command
from labapp import frames, palette
from labapp.config import LabError
from labapp.figures.sheets import layer_heatmaps, layer_profiles
from labapp.store import Run

QUANTITY = "output_grad_norm"
TITLE = palette.quantity(QUANTITY).title
CELLS = 800  # of a net's heatmap
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
    moments = {}
    for title in MOMENTS:
        rows = table[table["moment"] == title]
        theory = rows.dropna(subset="theory")
        moments[f"{title.capitalize()} ({when(rows)})"] = rows, theory.assign(value=theory["theory"])
    return layer_profiles(moments, styles_of(table), band_of(table))


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
    return layer_heatmaps(cells, list(styles_of(cells)["net"]), TITLE)


def _gradients(runs: list[Run]) -> pd.DataFrame:
    table = frames.layer_table(runs, QUANTITY)
    if table.empty:
        raise LabError("these runs hold no gradients of convolutions; record some with `labapp train`")
    return joined(table, runs)


def _logs() -> dict[str, str]:
    return {name: f"log10_{name}" for name in LOGS}


PLATES = (
    Plate("gradient_profile", measured, drawn, sweeps=("degradation",)),
    Plate("gradient_heatmap", measured_cells, drawn_cells, sweeps=("degradation",)),
)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
