"""Does a deeper net without shortcuts train worse, not only generalise worse?

He et al. 2015, figures 1 and 6: training and test error over steps. If the deeper plain net lies above the shallower
one in *both* panels, it is not overfitting: it is the degradation problem. One line a net; several seeds become
their mean with the range over seeds, at the steps that all of them have; of a net with finished runs only these count.
A rhombus at the right edge is the test error that the net's paper gives for these images: published, not measured here.

    python -m analysis.degradation --runs runs --out figures
"""

from __future__ import annotations

import sys

import pandas as pd
from matplotlib.figure import Figure

from analysis.moments import whole
from analysis.plates import WHO, Plate, band_of, joined, styles_of
from analysis.publish import command
from labapp import frames
from labapp.config import LabError
from labapp.figures.sheets import error_curves
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
    return error_curves(table, styles_of(table), band_of(table))


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
