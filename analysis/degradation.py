"""Does a deeper net without shortcuts train worse, not only generalise worse?

He et al. 2015, figures 1 and 6: training and test error over steps. If the deeper plain net lies above the shallower
one in *both* panels, it is not overfitting: it is the degradation problem. One line a net; several seeds become
their mean with the range over seeds, at the steps that all of them have; of a net with finished runs only these count.
A rhombus at the right edge is the test error that the net's paper gives for these images: published, not measured here.

    python -m analysis.degradation --runs runs --out figures
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from analysis.moments import whole
from analysis.plates import WHO, Plate, band_of, joined, styles_of
from analysis.publish import command
from labapp import frames
from labapp.config import LabError
from labapp.figures import WIDTH, curve, legend
from labapp.store import Run

POINTS = 40  # training error is a mean over so many stretches of steps: single batches are noisy


def measured(runs: list[Run]) -> pd.DataFrame:
    """Training and test error of every run over its steps, and what is published of its net."""
    table = frames.curves(runs, marks=POINTS * len(runs))
    table = whole(joined(table, runs))
    if table.dropna(subset="error").empty:
        raise LabError("these runs hold no training or test accuracy, so there is no error to draw")
    known = _published(runs).drop_duplicates("net").set_index("net")
    test = table["split"] == "test"
    table = table.assign(
        published=table["net"].map(known["error"].astype(float)).where(test),
        source=table["net"].map(known["source"]).where(test),
    )
    return table[[*WHO, "split", "step", "error", "loss", "nonfinite", "published", "source"]]


def drawn(table: pd.DataFrame) -> Figure:
    """Two panels, training and test."""
    styles = styles_of(table)
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.75), layout="constrained", sharex=True, sharey=True)
    for split, ax in zip(("train", "test"), axes, strict=True):
        rows = table[table["split"] == split]
        curve(data=rows, x="step", y="error", hue="net", ax=ax, styles=styles, markers=split == "test")
        ax.set(title={"train": "Training", "test": "Test"}[split], ylim=(0, 100))
    axes[1].set_ylabel("")
    known = table.dropna(subset="published").drop_duplicates("net")
    for row in known.itertuples():
        look = styles.set_index("net").loc[row.net]
        edge = axes[1].get_yaxis_transform()
        axes[1].plot(1.0, row.published, "D", transform=edge, color=look["colour"], mfc="none", ms=4.5, clip_on=False)
    legend(figure, "net", styles, markers=True, band=band_of(table))
    if len(known):
        axes[1].set_title(f"◇ published: {'; '.join(known['source'].unique())}", loc="right", weight="normal", size=6.5)
    return figure


def _published(runs: list[Run]) -> pd.DataFrame:
    """The test errors that papers give for these very nets and images: columns of `frames.published`, net and error."""
    found = [pd.DataFrame(columns=["net", "source", "error"])]
    for run, net in zip(runs, frames.describe(runs)["net"], strict=True):
        rows = frames.published(run.experiment)
        same = (rows["differs"] == "") & (rows["imageset"] == run.experiment.imageset)
        rows = rows[same & (rows["quantity"] == "error") & (rows["bound"] == "")]
        found.append(rows.assign(net=net, error=rows["value"])[["net", "source", "error"]])
    return pd.concat(found).drop_duplicates(ignore_index=True)


PLATES = (Plate("degradation", measured, drawn, sweeps=("degradation",), claims=("degradation",)),)

if __name__ == "__main__":
    sys.exit(command(PLATES, __doc__))
