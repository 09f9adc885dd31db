"""How many parameters does a net need for an error: a dense net, and a residual one?

Huang et al. 2017, figure 4: test error after training over the number of parameters, the mean of each net with its
range over seeds, the nets of a family joined. Beside it what the papers publish of CIFAR-10, not measured here.

    labapp sweep analysis/sweeps/quick/parameters.yaml
    python -m analysis.parameter_efficiency --runs runs --out figures
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.plates import WHO, Plate, band_of, joined
from analysis.probed import probed
from analysis.publish import command
from labapp import frames, palette
from labapp.config import Experiment, LabError
from labapp.figures import WIDTH
from labapp.frames.published import experiment_of
from labapp.store import Run

FAMILIES = tuple(palette.FAMILIES)  # their plainest nets
COMPARED = ("residual", "dense")
HALO = [withStroke(linewidth=1.5, foreground="white")]  # words that lie on a line
MARKS = {"plain": "s", "residual": "o", "dense": "^", "vgg": "v", "foreign": "D"}


def measured(runs: list[Run]) -> pd.DataFrame:
    """Parameters and last test error of each finished run; below them what is published."""
    own = [run for run in probed(runs, "architecture") if run.experiment.family in COMPARED]
    there = [run for run in own if run.status == "finished"]
    rows = [
        {
            "run": name,
            "parameters": frames.sizes(frames.architecture(run))["parameters"],
            "error": 1 - frames.summary(run)["accuracy"],
            "said": _said(run),
            "line": _line(run.experiment),
        }
        for run, name in zip(there, frames.names(there), strict=True)
    ]
    table = pd.DataFrame(rows).dropna(subset="error") if rows else pd.DataFrame(rows)
    if table.empty:
        raise LabError(
            "none of these runs is of a residual or dense net and has finished with a test accuracy; train some with "
            "`labapp train --family dense`"
        )
    table = joined(table, there).assign(what="measured here")
    return pd.concat([table, _published()], ignore_index=True)[
        [*WHO, "what", "line", "said", "parameters", "error", "source"]
    ]


def _said(run: Run) -> str:
    """What tells the nets of a family apart, short enough to stand at a mark."""
    own = run.experiment
    if own.family == "dense":
        return f"{_line(own).removeprefix('dense').strip()} {own.depth}-{own.growth_rate}".strip()
    return f"{own.depth}, width {own.width}"


def _line(own: Experiment) -> str:
    """What nets have in common that differ in size alone: "residual", "dense BC"."""
    letters = ("B" if own.bottleneck else "") + ("C" if (own.compression or 1) < 1 else "")
    return f"{own.family} {letters or 'pre-activation' * bool(own.preactivation)}".strip()


def _published() -> pd.DataFrame:
    """Nets of which parameters and error on CIFAR-10 are both published, with augmentation as each paper has it."""
    record = frames.record()
    record = record[(record["form"] == "cifar") & (record["bound"] == "")]
    errors = record[(record["quantity"] == "error") & (record["imageset"] == "cifar10")]
    sizes = record[record["quantity"] == "parameters"]
    key = ["net", "family", "depth", "options"]
    both = errors.drop_duplicates(key).merge(
        sizes.drop_duplicates(key)[[*key, "value"]], on=key, suffixes=("", "_parameters")
    )
    shorter = {r"^(DenseNet-|DenseNet |ResNet-)": "", " k=": "-", "L=": ""}
    lines = [_line(experiment_of(row)) for row in both.to_dict("records")]
    return pd.DataFrame(
        {
            "what": "published", "net": both["net"], "family": both["family"], "net_depth": both["depth"],
            "line": lines, "said": both["net"].replace(shorter, regex=True),
            "parameters": both["value_parameters"], "error": both["value"] / 100, "source": both["source"],
        }
    )  # fmt: skip


def drawn(table: pd.DataFrame) -> Figure:
    """Measured here to the left, published to the right."""
    kinds = [kind for kind in ("measured here", "published") if kind in set(table["what"])]
    figure, axes = plt.subplots(1, len(kinds), figsize=(WIDTH, 3.1), layout="constrained", squeeze=False)
    for ax, kind in zip(axes[0], kinds, strict=True):
        _panel(ax, table[table["what"] == kind], filled=kind == "measured here")
    own = table[table["what"] == "measured here"]
    band = band_of(own)
    axes[0, 0].set_title(f"Measured here ({band})" if band else "Measured here")
    axes[0, 0].set_ylabel("test error (%)")
    if len(kinds) > 1:
        axes[0, 1].set_title("Published, CIFAR-10 (not measured here)")
    families = [name for name in palette.FAMILIES if name in set(table["family"])]
    handles = [
        Line2D([], [], color=palette.colour(name), marker=MARKS[name], markersize=4, label=name) for name in families
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), borderpad=0)
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, filled: bool) -> None:
    for (family, line), own in rows.groupby(["family", "line"], sort=False):
        colour = palette.colour(str(family))
        nets = own.groupby(["net", "said", "parameters"], sort=False)["error"].agg(["mean", "min", "max"]).mul(100)
        nets = nets.reset_index().sort_values("parameters")
        spread = np.abs(nets[["min", "max"]].to_numpy().T - nets["mean"].to_numpy())
        ax.errorbar(
            nets["parameters"], nets["mean"], yerr=spread if filled else None, color=colour, linewidth=1.1, capsize=2,
            marker=MARKS[str(family)], markersize=4, mfc=colour if filled else "white",
        )  # fmt: skip
        for at, net in enumerate(nets.itertuples()):  # words on sides where they do not lie over each other
            left = str(line).endswith(" BC")
            above = line in FAMILIES and not (filled and family == "dense")
            beside = (-4 if left else 3, 4 if above else -9 - 9 * (at % 2))
            ax.annotate(
                str(net.said), (net.parameters, net.mean), xytext=beside, textcoords="offset points", fontsize=6,
                color=colour, ha="right" if left else "left", path_effects=HALO,
            )  # fmt: skip
    ax.set_xscale("log")
    low, high = rows["parameters"].min() / 1.3, rows["parameters"].max() * 2
    ax.set(xlim=(low, high), ylim=(0, 1.12 * ax.get_ylim()[1]), xlabel="parameters")
    ax.xaxis.set_major_locator(FixedLocator(palette.log_ticks(low, high)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: _short(tick)))


def _short(count: float) -> str:
    return f"{count / 1e6:g} M" if count >= 1e6 else f"{count / 1e3:g} k"


PLATES = (
    Plate(
        "parameter_efficiency",
        measured,
        drawn,
        sweeps=("parameters", "degradation"),
        claims=("dense-weights", "dense-compressed"),
    ),
)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
