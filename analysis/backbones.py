"""Which backbone helps a net to say of every pixel what it shows, and how much gradient does each of its stages get?

Four nets below one semantic head on a feature pyramid, one recipe (`analysis.segmenting`). Left and in the middle, the
gradient's norm at the maps conv2_x … conv5_x of the backbone and at the levels p5 … p2 of the pyramid, in the order in
which they are computed, before training and at its end: mean over seeds with their range. Right, mean IoU over the
ground and ten digits on held-out images: a dot a seed, the mean with Student's interval of 95 % over seeds, and the
best constant prediction as a dashed line. Below each net stands the difference that it makes to BASE, of seeds in
pairs, and what came of the claim that BASE is the better backbone: it was fixed before anything was measured.

    python -m analysis.segmenting --out runs
    python -m analysis.backbones --runs runs --out figures
"""

from __future__ import annotations

import sys
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, MaxNLocator

from analysis.plates import WHO, Plate, band_of, joined, styles_of
from analysis.publish import command
from labapp import frames, palette
from labapp.claims.claim import Claim, Criterion, Observed
from labapp.claims.judging import CONTRADICTED, NO_DATA, SUPPORTED, Judged, interval, judge
from labapp.config import LabError
from labapp.figures import WIDTH, legend, profile
from labapp.store import Run

MAKER = "analysis.segmenting:"  # of the nets that these runs are of
FAMILIES = {"plain34": "plain", "resnet34": "residual", "densenet121": "dense", "vgg16_bn": "vgg"}
BASE = "resnet34"
MOMENTS = ("untrained", "trained")
COLUMNS = [
    *WHO, "what", "moment", "step", "map", "at", "value", "constant", "images", "parameters", "multiply_adds",
    "first_stride", "last_stride",
]  # fmt: skip
HALO = [withStroke(linewidth=1.5, foreground="white")]  # words that lie on a line
GAP = 1  # places on the axis between the backbone's last map and the pyramid's first level


def measured(runs: list[Run]) -> pd.DataFrame:
    """Rows `gradient`, one a run, moment and map, and rows `iou`, one a run."""
    own = [run for run in runs if (run.experiment.net or "").startswith(MAKER) and run.status == "finished"]
    if not own:
        raise LabError(
            "none of these runs is of a backbone below a semantic head; `python -m analysis.segmenting` trains them"
        )
    parts = [_of_run(run).assign(run=name) for run, name in zip(own, frames.names(own), strict=True)]
    table = joined(pd.concat(parts, ignore_index=True), own)
    nets = [(run.experiment.net or "").removeprefix(MAKER) for run in own]
    named = table["run"].map(dict(zip(frames.names(own), nets, strict=True)))
    table = table.assign(
        family=named.map(FAMILIES),
        net=named,
        place=named.map(list(FAMILIES).index),
        net_depth=named.str.extract(r"(\d+)")[0].astype(int),
    )
    return table[COLUMNS]


def _of_run(run: Run) -> pd.DataFrame:
    maps: dict[str, str] = run.environment["maps"]
    layers = run.layers(columns=["step", "layer", "output_grad_norm"])
    layers = layers[layers["layer"].isin(maps.values())]
    rows: list[dict[str, Any]] = []
    levels = sorted((name for name in maps if name.startswith("p")), reverse=True)
    stages = sorted(name for name in maps if name.startswith("conv"))
    places = {name: at for at, name in enumerate(stages)}
    places |= {name: at for at, name in enumerate(levels, start=len(stages) + GAP)}
    for moment, step in zip(MOMENTS, (layers["step"].min(), layers["step"].max()), strict=True):
        found = layers[layers["step"] == step].set_index("layer")["output_grad_norm"]
        rows += [
            {"what": "gradient", "moment": moment, "step": step, "map": name, "at": at, "value": found.get(maps[name])}
            for name, at in places.items()
        ]
    told = run.table("segmentation")
    last = told[(told["of"] == "net") & (told["step"] == told["step"].max())]
    constant = told[told["of"] == "constant"]
    backbone = run.environment["backbone"]
    strides = [*run.environment["strides"].values()]
    rows.append(
        {
            "what": "iou", "step": last["step"].iloc[0], "value": last["iou"].mean(),
            "constant": constant["iou"].mean(), "images": last["images"].iloc[0], "parameters": backbone["parameters"],
            "multiply_adds": backbone["multiply_adds"], "first_stride": strides[0], "last_stride": strides[-1],
        }
    )  # fmt: skip
    return pd.DataFrame(rows)


def over_base(table: pd.DataFrame, net: str) -> Judged:
    """What BASE has over a net in mean IoU, of the seeds that both have; the claim is that it is above 0."""
    iou = table[table["what"] == "iou"].pivot_table(index="seed", columns="net", values="value")
    both = iou[[BASE, net]].dropna() if {BASE, net} <= set(iou) else iou.iloc[:0]
    numbers = [Observed("difference", int(seed), float(row[BASE] - row[net])) for seed, row in both.iterrows()]
    criterion = Criterion(
        "difference", f"mean IoU of {BASE} − that of {net}", 0.0, True, "the better backbone has more", "share"
    )
    claim = Claim(
        f"backbone-{net}", "", "", f"{BASE} is a better backbone than {net}.", (criterion,), lambda _: "", lambda _: ()
    )
    return judge(claim, numbers).parts[0]


def in_words(judged: Judged) -> str:
    """What a net makes of BASE's mean IoU: "−3.1 [−4.0, −2.2] to resnet34: lower" in percentage points."""
    if judged.verdict == NO_DATA:
        return f"no seed in common with {BASE}"
    value, low, high = (f"{round(-100 * number, 1) + 0.0:+.1f}" for number in (judged.value, judged.high, judged.low))
    word = {SUPPORTED: "lower", CONTRADICTED: "higher"}.get(judged.verdict, "undecided")
    between = f"[{low}, {high}]" if judged.seeds > 1 else "(one seed)"
    return f"{value} {between} to {BASE}: {word}".replace("-", "−")


def drawn(table: pd.DataFrame) -> Figure:
    """Gradients at two moments, and what the nets came to."""
    styles = styles_of(table)
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.9), layout="constrained", width_ratios=(1, 1, 1.5))
    gradients = table[table["what"] == "gradient"]
    for ax, moment in zip(axes, MOMENTS, strict=False):
        _gradients(ax, gradients[gradients["moment"] == moment], styles, moment)
    low, high = gradients["value"].min() / 1.6, gradients["value"].max() * 1.6
    for ax in axes[:2]:
        ax.set_ylim(low, high)
        ax.yaxis.set_major_locator(FixedLocator(palette.log_ticks(low, high)))
    axes[1].set_ylabel("")
    axes[1].tick_params(labelleft=False)
    _iou(axes[2], table, styles)
    legend(figure, "net", styles, markers=True, band=band_of(table))
    return figure


def _gradients(ax: Axes, rows: pd.DataFrame, styles: pd.DataFrame, moment: str) -> None:
    maps = rows.drop_duplicates("map").sort_values("at")
    for part in ("conv", "p"):  # two lines: the last map of the backbone is not followed by the deepest level alone
        profile(
            data=rows[rows["map"].str.startswith(part)],
            x="at",
            y="value",
            hue="net",
            ax=ax,
            styles=styles,
            markersize=4,
        )
    ax.set_xticks(maps["at"], maps["map"].str.extract(r"(\d+)")[0])
    step = int(rows["step"].max())
    ax.set(title=f"{moment.capitalize()} (step {step:,})", xlabel="", ylabel=palette.quantity("output_grad_norm").title)
    for part, label in (("conv", "conv…_x"), ("p", "levels p…")):
        middle = maps.loc[maps["map"].str.startswith(part), "at"].mean()
        ax.annotate(
            label, (middle, 0), (0, -17), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center",
            va="top", fontsize=7.5,
        )  # fmt: skip


def _iou(ax: Axes, table: pd.DataFrame, styles: pd.DataFrame) -> None:
    rows = table[table["what"] == "iou"]
    nets, looks = list(styles["net"]), styles.set_index("net")
    for at, net in enumerate(nets):
        own, look = rows[rows["net"] == net], looks.loc[net]
        mean, low, high = (100 * value for value in interval(list(own["value"])))
        ax.plot([low, high], [at, at], color=look["colour"], lw=2.5, alpha=0.5, solid_capstyle="butt")
        ax.plot(100 * own["value"], [at] * len(own), look["marker"], color=look["colour"], ms=3, mew=0)
        ax.plot(mean, at, "|", color=look["colour"], ms=10, mew=1.2)
        first = own.iloc[0]
        about = (
            f"{net}: {first['parameters'] / 1e6:.2g} M parameters, {first['multiply_adds'] / 1e6:.0f} M mult-adds, "
            f"strides {first['first_stride']:.0f}–{first['last_stride']:.0f}"
        )
        between = f"[{low:.1f}, {high:.1f}]" if len(own) > 1 else "(one seed)"
        words = f"{mean:.1f} {between}".replace("-", "−")
        below = words if net == BASE else f"{words}; {in_words(over_base(table, net))}"
        for text, up, muted in ((about, 0.36, False), (below, 0.62, True)):
            ax.annotate(
                text, (0.015, at + up), xycoords=("axes fraction", "data"), fontsize=5.8,
                color=palette.MUTED if muted else "black", va="center", path_effects=HALO,
            )  # fmt: skip
    constant = 100 * rows["constant"].mean()
    ax.axvline(constant, color=palette.MUTED, linestyle=(0, (2, 2)), linewidth=0.8)
    ax.annotate("constant", (constant, -0.5), (2, 0), textcoords="offset points", fontsize=6, color=palette.MUTED)
    images = f"{rows['images'].max():,.0f} test images"
    ax.set(title=f"Mean IoU, {images}", xlabel="mean IoU (%)", ylim=(len(nets) - 0.2, -0.6), yticks=[])
    ax.set_xlim(0, None)
    ax.xaxis.set_major_locator(MaxNLocator(5))


PLATES = (Plate("backbones", measured, drawn),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
