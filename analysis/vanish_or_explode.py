"""Do gradients vanish or explode in deep nets?

The gradient's norm at the output of each convolution over that at the last one, against depth: by family and
normalisation (columns), initialisation (colour) and depth (line), before training and after its steps. On the line 1
the gradient keeps its size; above it explodes on its way to the input, below it vanishes; in the grey band it stays
within a factor of ten. Geometric means over seeds with their range. Dots: what mean-field theory expects before
training. A net that diverged has no line afterwards, and is named.

    labapp sweep analysis/sweeps/quick/vanishing.yaml
    python -m analysis.vanish_or_explode --runs runs --out figures
"""

from __future__ import annotations

import sys
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.moments import MOMENTS
from analysis.plates import Plate, joined
from analysis.publish import command
from labapp import frames, palette
from labapp.config import LabError
from labapp.figures import WIDTH
from labapp.figures.paper import BAND, DOTS
from labapp.store import Run

COLOURS = {"he": "#0072B2", "glorot": "#E69F00", "lecun": "#009E73", "default": "#CC79A7", "orthogonal": "#000000"}
TITLES = {"he": "He", "glorot": "Glorot", "lecun": "LeCun", "default": "PyTorch's default", "orthogonal": "orthogonal"}
NORMS = {"batch": "batch norm", "none": "no normalisation"}
FAMILIES = ("plain", "residual")
FACTOR = 10.0  # within which a gradient keeps its size; the claims' threshold
SETTING = ["family", "norm", "init", "net_depth"]
COLUMNS = [
    *SETTING, "moment", "step", "layer", "depth", "relative_depth", "value", "low", "high", "theory", "seeds",
    "diverged", "experiment", "seed",
]  # fmt: skip


def measured(runs: list[Run]) -> pd.DataFrame:
    """The gradient of each layer over that of the last one, over the seeds of each setting, at both moments."""
    asked = [run for run in runs if run.experiment.family in FAMILIES and run.experiment.norm in NORMS]
    asked = [run for run in asked if run.experiment.init in COLOURS]
    table = frames.layer_table(asked, relative=True) if asked else pd.DataFrame()
    if table.empty:
        raise LabError("these runs hold no gradients of plain or residual nets; record some with `labapp train`")
    settings = frames.describe(asked)[["run", "norm", "init"]]
    table = joined(table, asked).merge(settings, on="run").merge(_theory(asked), "left", on=["run", "layer"])
    begun = table[table["step"] == 0].assign(moment="initialisation")
    ended = frames.moment(table[table["status"].isin(["finished", "diverged"])], last=True)
    both = pd.concat([begun, ended.assign(moment="end of training", theory=np.nan)], ignore_index=True)
    return pd.concat([_over_seeds(own) for _, own in both.groupby([*SETTING, "moment"], sort=True)])[COLUMNS]


def _theory(runs: list[Run]) -> pd.DataFrame:
    """What theory expects at each layer over what it expects at the last one: run, layer, theory."""
    expected = frames.expected(runs)
    expected = expected[expected["quantity"] == "output_grad_norm"].sort_values("depth", kind="stable")
    last = expected.groupby("run")["value"].transform("last")
    return expected.assign(theory=expected["value"] / last)[["run", "layer", "theory"]]


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a layer; of a setting with diverged runs only those that did not diverge count."""
    diverged = rows.loc[rows["status"] == "diverged", "run"].nunique() if rows["step"].max() else 0
    kept = rows[(rows["status"] != "diverged") | (rows["step"] == 0)]
    if kept.empty:  # all of them: one row that says so
        kept = rows.drop_duplicates("run").assign(value=np.nan, theory=np.nan)
    kept = frames.together(kept, ["moment"])
    log = np.log10(kept["value"].where((kept["value"] > 0) & np.isfinite(kept["value"])))
    place = [*SETTING, "moment", "step", "layer", "depth", "relative_depth"]
    found = kept.assign(log=log).groupby(place, sort=False, as_index=False).agg(
        value=("log", "mean"), low=("log", "min"), high=("log", "max"), theory=("theory", "first"),
        seeds=("log", "count"),
    )  # fmt: skip
    runs = kept.drop_duplicates("run")
    return found.assign(
        **{name: 10 ** found[name] for name in ("value", "low", "high")},
        diverged=diverged, experiment=" ".join(runs["experiment"]), seed=" ".join(runs["seed"].astype(str)),
    )  # fmt: skip


def drawn(table: pd.DataFrame) -> Figure:
    """Columns: family and normalisation; above before training, below after it."""
    panels = [(family, norm) for norm in NORMS for family in FAMILIES]
    there = table.groupby(["family", "norm"]).size()
    panels = [panel for panel in panels if panel in there.index]
    figure, axes = plt.subplots(2, len(panels), figsize=(WIDTH, 4.6), layout="constrained", sharex=True, squeeze=False)
    for row, moment in zip(axes, MOMENTS, strict=True):
        for ax, (family, norm) in zip(row, panels, strict=True):
            own = table[(table["family"] == family) & (table["norm"] == norm) & (table["moment"] == moment)]
            _panel(ax, own)
            _limits(ax, table[table["norm"] == norm])
            ax.set_xlim(0, 1)
            ax.xaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
        steps = table.loc[(table["moment"] == moment) & table["value"].notna(), "step"]
        when = "before training" if moment == "initialisation" else f"after {steps.max():,.0f} steps"
        row[0].set_ylabel(f"{when}\n‖∂L/∂h‖ / last layer's")
    for ax, (family, norm) in zip(axes[0], panels, strict=True):
        ax.set_title(f"{family},\n{NORMS[norm]}")
    for ax in axes[1]:
        ax.set_xlabel("relative depth")
    _legend(figure, table)
    return figure


def _panel(ax: Axes, own: pd.DataFrame) -> None:
    ax.axhspan(1 / FACTOR, FACTOR, color=palette.MUTED, alpha=0.15, linewidth=0)
    ax.axhline(1, color=palette.MUTED, linewidth=0.8)
    ax.set_yscale("log")
    deepest = own["net_depth"].max()
    gone = []
    for (init, depth), rows in own.groupby(["init", "net_depth"], sort=False):
        line: Any = {"color": COLOURS[init], "linestyle": "-" if depth == deepest else (0, (3, 1.5)), "linewidth": 1.2}
        rows = rows.sort_values("depth")
        known = rows.dropna(subset="value")
        ax.plot(known["relative_depth"], known["value"], **line)
        ax.fill_between(known["relative_depth"], known["low"], known["high"], color=line["color"], **BAND)
        theory = rows.dropna(subset="theory")
        ax.plot(theory["relative_depth"], theory["theory"], color=line["color"], zorder=1.5, **DOTS)
        if diverged := int(rows["diverged"].max()):
            of = diverged + int(rows["seeds"].max())
            gone.append(f"{TITLES[init]}, {depth} layers:\n{diverged} of {of} seeds diverged")
    if gone:
        ax.text(0.97, 0.03, "\n".join(gone), transform=ax.transAxes, fontsize=6, ha="right", va="bottom")


def _limits(ax: Axes, rows: pd.DataFrame) -> None:
    """One axis for all panels of a normalisation."""
    values = rows[["low", "high", "theory"]].to_numpy(float)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = min(values.min(), 1 / FACTOR) / 2, max(values.max(), FACTOR) * 2
    ax.set_ylim(low, high)
    ax.yaxis.set_major_locator(FixedLocator(palette.log_ticks(low, high)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: palette.tick_label(tick)))


def _legend(figure: Figure, table: pd.DataFrame) -> None:
    inits = [name for name in COLOURS if name in set(table["init"])]
    handles: list[Any] = [Line2D([], [], color=COLOURS[name], linewidth=1.4, label=TITLES[name]) for name in inits]
    depths = sorted(table["net_depth"].unique(), reverse=True)
    dashes = ("-", (0, (3, 1.5)))
    handles += [
        Line2D([], [], color=palette.MUTED, linestyle=dash, linewidth=1.4, label=f"{depth} layers")
        for depth, dash in zip(depths, dashes, strict=False)
    ]
    handles.append(Line2D([], [], color=palette.MUTED, label="theory", **DOTS))
    seeds = int(table["seeds"].max())
    if seeds > 1:
        handles.append(Patch(color=palette.MUTED, alpha=0.3, linewidth=0, label=f"range over {seeds} seeds"))
    figure.legend(handles=handles, loc="outside upper left", ncols=5, handlelength=2.6, borderpad=0)


CLAIMED = tuple(
    f"vanishing-{norm}-{init}-{moment}"
    for norm, init in (("batch", "he"), ("none", "he"), ("none", "default"), ("none", "glorot"))
    for moment in ("start", "end")
)
PLATES = (Plate("vanish_or_explode", measured, drawn, sweeps=("vanishing",), claims=CLAIMED),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
