"""On every figure: is each value that cannot be drawn marked and explained by the legend, a healthy one free of it?"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import Normalize, to_rgb

from labapp import figures, frames, palette

ILL = [1.0, np.nan, np.inf, -np.inf, 0.0, -1.0, 2.0]
FINE = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
PLACES = np.arange(7)
LOG = ["NaN", "∞", "−∞", "zero", "below zero"]
LINEAR = ["NaN", "∞", "−∞"]
RUN = {"run": "plain-20", "run_id": "a", "family": "plain", "net_depth": 20, "seed": 0}
LOOKS = palette.styles(pd.DataFrame([RUN]).assign(place=0)).assign(net="plain-20")


def lines(draw, x, y):
    def drawn(values, ax):
        draw(data=pd.DataFrame({x: PLACES, y: values, "net": "plain-20"}), x=x, y=y, hue="net", ax=ax, styles=LOOKS)
        figures.legend(ax.figure, "net", LOOKS)

    return drawn


def heatmap(values, ax):
    place = {"layer": [f"l{i}" for i in PLACES], "depth": PLACES + 1, "relative_depth": PLACES / 6, "stage": 1}
    rows = pd.DataFrame({"value": values, "kind": "conv", "block": "", **place}).assign(**RUN)
    cells = frames.gradient_heatmap(pd.concat([rows.assign(step=step) for step in (0, 10)], ignore_index=True))
    norm = Normalize(-1, 1)
    figures.heatmap(data=cells, x="step", y="depth", hue="value", ax=ax, norm=norm)
    figures.colour_bar(ax.figure, [ax], norm, "gradient")


def matrix(values, ax):
    figures.matrix(
        data=pd.DataFrame({"column": PLACES, "row": 0, "cka": values}), x="column", y="row", hue="cka", ax=ax,
        norm=Normalize(0, 1),
    )  # fmt: skip
    figures.colour_bar(ax.figure, [ax], Normalize(0, 1), "CKA", powers=False)


def plane(values, ax):
    rows = pd.DataFrame({"alpha": PLACES, "beta": 0.0, "loss": values})
    norm = Normalize(-1, 1)
    figures.plane(data=pd.concat([rows, rows.assign(beta=1.0)]), x="alpha", y="beta", hue="loss", ax=ax, norm=norm)
    figures.colour_bar(ax.figure, [ax], norm, "loss")


DRAWN = {
    "plane": (plane, LOG),
    "curve": (lines(figures.curve, "step", "error"), LINEAR),
    "profile": (lines(figures.profile, "relative_depth", "value"), LOG),
    "trace": (lines(figures.trace, "distance", "value"), LINEAR),
    "heatmap": (heatmap, LOG),
    "matrix": (matrix, ["∞", "−∞", "no value"]),
}
NO_VALUES = {
    *("dots", "shares", "frame_columns"),  # what theory expects is finite, shares are of whole numbers, and frames
    *("STYLE", "UNDATED", "WIDTH", "colormap", "colour_bar", "legend", "paper"),
    "drawn",  # a chart, see tests/charts
}


def marks(figure):
    """Of each artist that stands for a value beyond the axis, its name and whether it lies inside its axes."""
    found = figure.findobj(lambda artist: str(artist.get_label()).startswith("_beyond:"))
    return [artist.get_label().removeprefix("_beyond:") for artist in found]


def entries(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def title(name):
    return palette.MARKS[name].title if name in palette.MARKS else name


def test_every_figure_is_looked_at():
    assert set(DRAWN) | NO_VALUES == set(figures.__all__)


@pytest.mark.parametrize("name", DRAWN)
def test_each_value_that_cannot_be_drawn_has_a_mark_and_an_entry_in_the_legend(name):
    draw, wanted = DRAWN[name]
    figure, ax = plt.subplots(layout="constrained")
    draw(ILL, ax)
    figure.canvas.draw()
    assert sorted(set(marks(figure))) == sorted(wanted)
    assert sorted(set(entries(figure)) - {"plain-20"}) == sorted(title(name) for name in wanted)


@pytest.mark.parametrize("name", DRAWN)
def test_a_healthy_figure_has_neither(name):
    figure, ax = plt.subplots(layout="constrained")
    DRAWN[name][0](FINE, ax)
    figure.canvas.draw()
    assert marks(figure) == []
    assert set(entries(figure)) <= {"plain-20"}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_without_a_single_number(name):
    figure, ax = plt.subplots(layout="constrained")
    DRAWN[name][0]([np.nan] * len(ILL), ax)
    figure.canvas.draw()
    assert len(set(marks(figure))) == 1


def test_marks_have_the_colour_of_their_run_and_the_edge_of_their_kind():
    _, ax = plt.subplots()
    DRAWN["profile"][0](ILL, ax)
    at = {line.get_label(): line for line in ax.lines if "beyond" in line.get_label()}
    assert {to_rgb(line.get_color()) for line in at.values()} == {to_rgb(palette.FAMILIES["plain"])}
    assert {name for name, line in at.items() if line.get_ydata()[0] > 0.5} == {"_beyond:∞"}
