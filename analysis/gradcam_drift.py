"""From when on does a net look where it looks in the end?

Grad-CAM over training, of the deepest plain net and of the residual net of its depth. Left, Spearman's ρ of each
checkpoint's maps with the last one's, mean over test images; a dotted line is ρ between the last maps of two seeds,
which is how alike the images alone make maps. Right, the share of the maps that lies on the object, beside that of an
even map. Maps are for the true class, at the second resolution of the net; one image's are in `analysis.gradcam`.

    python -m analysis.gradcam_drift --runs runs --out figures
"""

from __future__ import annotations

import sys
from itertools import combinations
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.pairs import deepest_pair
from analysis.plates import WHO, Plate, band_of, joined, styles_of
from analysis.publish import command
from labapp import frames, palette
from labapp.config import LabError
from labapp.figures import WIDTH, legend, trace
from labapp.store import Run

SEEDS, IMAGES = 3, 64
STAGE = 2  # where a map is neither the image's edges nor one blot
FORMED, SEEDS_ALIKE, ENERGY = "with the last map", "last maps of two seeds", "energy on the object"
COLUMNS = [*WHO, "step", "what", "layer", "value", "low", "high", "images", "even"]


def measured(runs: list[Run]) -> pd.DataFrame:
    """A row a checkpoint and number, mean over images with its interval; last the likeness of two seeds."""
    from labapp.diagnostics.map_agreement import map_correlation
    from labapp.diagnostics.measuring.interval import mean_interval

    kept = [run for run in runs if len(run.checkpoints()) > 1]
    if not kept:
        raise LabError("these runs kept fewer than two checkpoints, so no map can change; train with --checkpoints 8")
    chosen = deepest_pair(kept, SEEDS)
    rows, last = [], {}
    for run, name in zip(chosen, frames.names(chosen), strict=True):
        own, maps = _over_training(run)
        rows += [{"run": name, **row} for row in own]
        last[run] = maps
    for one, other in combinations(chosen, 2):
        if one.experiment.family == other.experiment.family:
            told = mean_interval(map_correlation(last[one], last[other])).columns
            about = {"run": frames.names([one])[0], "step": one.checkpoints()[-1], "what": SEEDS_ALIKE}
            rows.append(about | {"value": told.pop("mean"), **told})
    return joined(pd.DataFrame(rows), chosen).reindex(columns=COLUMNS)


def _over_training(run: Run) -> tuple[list[dict[str, Any]], Any]:
    """The rows of one run, and its last maps (N, h, w)."""
    import torch

    from labapp.diagnostics.map_agreement import drift_table
    from labapp.probes import explanations

    rows, maps = [], []
    for step in run.checkpoints():
        found = explanations.survey(explanations.of_run(run, step), run, count=IMAGES)
        layer = next((path for path, stage in found.stages.items() if stage == STAGE), found.last)
        maps.append(torch.from_numpy(found.maps[layer]))
        own = [row for row in explanations.energy_table(found, found) if row["layer"] == layer]
        told = {row["net"]: row for row in own if row["measure"] == "energy"}
        ends = {name: told["trained"][name] for name in ("low", "high", "images")}
        value = {"value": told["trained"]["mean"], "even": told["uniform"]["mean"]}
        rows.append({"step": step, "what": ENERGY, "layer": layer} | value | ends)
    for row in drift_table(run.checkpoints(), torch.stack(maps)):
        if row.pop("measure") == "formed":
            rows.append({"what": FORMED, "layer": layer, "value": row.pop("mean"), **row})
    return rows, maps[-1]


def drawn(table: pd.DataFrame) -> Figure:
    """Likeness to the left, energy to the right."""
    styles = styles_of(table)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.75), layout="constrained")
    trace(data=table[table["what"] == FORMED], x="step", y="value", hue="net", ax=left, styles=styles)
    alike = table[table["what"] == SEEDS_ALIKE].groupby("net", sort=False)["value"].mean()
    for net, value in alike.items():
        colour = styles.set_index("net").loc[net, "colour"]
        left.axhline(value, color=colour, linestyle=":", linewidth=1)
    energy = table[table["what"] == ENERGY].assign(value=lambda rows: 100 * rows["value"])
    if energy["value"].notna().any():
        trace(data=energy, x="step", y="value", hue="net", ax=right, styles=styles)
        even = 100 * energy["even"].mean()
        right.axhline(even, color=palette.MUTED, linestyle=":", linewidth=1)
        above = {"xytext": (2, 2), "textcoords": "offset points", "color": palette.MUTED, "fontsize": 7}
        right.annotate("even map", (0, even), **above)
    else:
        right.text(0.5, 0.5, "these images have no masks", ha="center", color=palette.MUTED, transform=right.transAxes)
    images = f"{energy['images'].max():.0f} test images"
    left.set(title=f"Likeness, {images}; dotted: two seeds", ylabel="ρ with the last map", ylim=(None, 1.03))
    right.set(title=f"Mean over {images}, stage {STAGE}", ylabel=palette.quantity("map_energy").title, ylim=(0, None))
    for ax in (left, right):
        _along(ax, sorted(table["step"].unique()))
    legend(figure, "net", styles, markers=True, band=band_of(table))
    return figure


def _along(ax: Axes, steps: list[int]) -> None:
    """Checkpoints are log-spaced, from 0 on."""
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xticks(steps, [f"{step:,.0f}" for step in steps], fontsize=6.5)
    ax.minorticks_off()
    ax.set(xlabel=palette.quantity("step").title, xlim=(-0.15, 1.3 * steps[-1] if steps[-1] else 1))


PLATES = (Plate("gradcam_drift", measured, drawn, sweeps=("degradation",)),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
