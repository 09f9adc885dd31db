"""How near does the bracket of He et al. 2016 come to zero?

On the way of the identities ∂E/∂x_l = ∂E/∂x_L · (1 + ∂/∂x_l ΣF) (eq. 5), and the paper argues that the bracket is
hardly ever 0 for a whole batch. Left, what it makes of ∂E/∂x_L in the direction of that gradient itself, 1 + ⟨∂E/∂x_L,
the branches' part⟩ / ‖∂E/∂x_L‖²: the share of images and blocks with each value, a line a checkpoint, with the range
over seeds. At 1 the branches add nothing, at 0 they take all of it away. Right, after training, block by block: the
median image with the middle 98 %, the least and the greatest, of that number (dark) and of the whole length
‖∂E/∂x_l‖ / ‖∂E/∂x_L‖ (light), which is zero only if the bracket is.

    labapp sweep analysis/sweeps/quick/shortcuts.yaml
    python -m analysis.brackets --runs runs --out figures
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.plates import Plate, styles_of, who
from analysis.probed import probed
from analysis.publish import command
from labapp import palette
from labapp.figures import WIDTH, colormap
from labapp.figures.paper import BAND
from labapp.store import Run

BINS = np.arange(-1.0, 5.01, 0.1)  # beyond them stands in the outermost
QUANTILES = {"least": 0.0, "low": 0.01, "median": 0.5, "high": 0.99, "greatest": 1.0}
NUMBERS = {"along": "along the gradient", "length": "whole length"}
WHOSE = ["net", "family", "net_depth", "place"]
COLUMNS = [
    *WHOSE, "what", "number", "step", "bin_start", "bin_end", "share", "block", "position", *QUANTILES, "values",
    "experiment", "seed",
]  # fmt: skip


def measured(runs: list[Run]) -> pd.DataFrame:
    """Shares of images and blocks by the bracket's value, a seed and checkpoint each; quantiles of each block."""
    there = probed(runs, "gradient_split")
    table = pd.concat([_of(run, row) for run, (_, row) in zip(there, who(there).iterrows(), strict=True)])
    shares = [_shares(own) for _, own in table.groupby([*WHOSE, "experiment", "seed", "step"], sort=False)]
    last = table[table["step"] == table.groupby("net")["step"].transform("max")]
    blocks = [
        _quantiles(own, number) for _, own in last.groupby([*WHOSE, "step", "block"], sort=False) for number in NUMBERS
    ]
    return pd.concat([*shares, *blocks], ignore_index=True).reindex(columns=COLUMNS)


def _of(run: Run, about: pd.Series) -> pd.DataFrame:
    """Both numbers of each image, block and checkpoint of a run."""
    steps = run.probes()["gradient_split"]
    table = pd.concat([run.probe("gradient_split", step).assign(step=step) for step in steps], ignore_index=True)
    table = table[table["shortcut_norm"] > 0]
    whole = 1 / table["shortcut_norm"]  # ‖∂E/∂x_l‖ over ‖∂E/∂x_L‖
    return table[["step", "block", "position"]].assign(
        along=table["shortcut_share"] * whole**2, length=whole, **about[[*WHOSE, "experiment", "seed"]]
    )


def _shares(own: pd.DataFrame) -> pd.DataFrame:
    first = own.iloc[0]
    count, _ = np.histogram(own["along"].clip(BINS[0], BINS[-1] - 1e-9), BINS)
    bins = pd.DataFrame({"bin_start": BINS[:-1].round(6), "bin_end": BINS[1:].round(6), "share": count / len(own)})
    return bins.assign(
        what="images and blocks", number="along", values=len(own),
        **first[["step", "experiment", "seed", *WHOSE]],
    )  # fmt: skip


def _quantiles(own: pd.DataFrame, number: str) -> pd.DataFrame:
    first = own.iloc[0]
    told = {name: float(own[number].quantile(share)) for name, share in QUANTILES.items()}
    whose = own.drop_duplicates("experiment")
    return pd.DataFrame([told]).assign(
        what="block", number=number, step=first["step"], block=first["block"], position=first["position"],
        values=len(own), experiment=" ".join(whose["experiment"]), seed=" ".join(whose["seed"].astype(str)),
        **first[WHOSE],
    )  # fmt: skip


def drawn(table: pd.DataFrame) -> Figure:
    """A row a net; the distribution over everything to the left, over each block to the right."""
    nets = list(styles_of(table)["net"])
    figure, axes = plt.subplots(
        len(nets), 2, figsize=(WIDTH, 0.3 + 2.6 * len(nets)), layout="constrained", squeeze=False, sharex="col"
    )
    for (left, right), net in zip(axes, nets, strict=True):
        own = table[table["net"] == net]
        _distribution(left, own[own["what"] != "block"])
        _blocks(right, own[own["what"] == "block"])
        seeds = own.loc[own["what"] != "block", "seed"].nunique()
        left.set_title(f"{net}, {seeds} seeds" if seeds > 1 else net)
        step = own.loc[own["what"] == "block", "step"].max()
        right.set_title(f"Step {step:,.0f}: median, middle 98 %, extremes")
    axes[-1, 0].set_xlabel("bracket along ∂E/∂x_L (0: taken away, 1: as it was)")
    axes[-1, 1].set_xlabel("block (1: first)")
    return figure


def _distribution(ax: Axes, rows: pd.DataFrame) -> None:
    """One line a checkpoint, the later the lighter."""
    steps = sorted(rows["step"].unique())
    scale = colormap()
    for at, step in enumerate(steps):
        own = rows[rows["step"] == step].groupby("bin_start")["share"].agg(["mean", "min", "max"])
        middle = own.index.to_numpy() + (BINS[1] - BINS[0]) / 2
        colour = scale(0.05 + 0.8 * at / max(1, len(steps) - 1))
        own = own.where(own > 0)
        ax.plot(middle, 100 * own["mean"], color=colour, linewidth=1.2, label=f"step {step:,.0f}")
        ax.fill_between(middle, 100 * own["min"], 100 * own["max"], color=colour, **BAND)
    for value in (0, 1):
        ax.axvline(value, color="black" if value == 0 else palette.MUTED, linewidth=0.9, zorder=1)
    ax.set(ylabel="images × blocks (%)", xlim=(BINS[0], BINS[-1]), yscale="log")
    least = 100 / rows["values"].max() / rows["seed"].nunique()  # a single one of them
    ax.set_ylim(least / 1.5, 100)
    ax.yaxis.set_major_locator(FixedLocator(palette.log_ticks(least, 100)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(loc="upper right")


def _blocks(ax: Axes, rows: pd.DataFrame) -> None:
    """Median, middle 98 % and extremes of each block."""
    for number, offset, colour in (("along", -0.13, palette.colour("residual")), ("length", 0.13, palette.MUTED)):
        own = rows[rows["number"] == number].sort_values("position")
        at = own["position"] + offset
        ax.vlines(at, own["low"], own["high"], color=colour, linewidth=2.2, alpha=0.6)
        ax.plot(at, own["median"], "o", color=colour, ms=3.2, label=NUMBERS[number])
        for end in ("least", "greatest"):
            ax.plot(at, own[end], "_", color=colour, ms=4)
    for value in (0, 1):
        ax.axhline(value, color="black" if value == 0 else palette.MUTED, linewidth=0.9, zorder=1)
    ax.set(ylabel="bracket")
    ax.set_yscale("symlog", linthresh=1)
    ax.yaxis.set_major_locator(FixedLocator([-10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50, 100]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(loc="upper left", ncols=2)
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, min(-0.4, 1.2 * own["least"].min())), high * 2.5)  # room for the legend


PLATES = (Plate("brackets", measured, drawn, sweeps=("shortcuts",), claims=("bracket", "shortcut-share")),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
