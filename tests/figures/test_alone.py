"""Figures in a notebook: a table is enough, and what was chosen is explained on the axes."""

import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from scipy import stats

from labapp import figures, frames, palette
from labapp.store import list_runs


def legend_of(ax):
    there = ax.get_legend()
    return [] if there is None else [text.get_text() for text in there.get_texts()]


@pytest.fixture
def runs(archive):
    return list_runs(archive)


def test_from_a_run_to_a_picture_in_two_lines(runs):
    table = frames.layer_table(runs[:2])
    ax = figures.profile(frames.gradient_profile(table, step=0))
    assert legend_of(ax) == list(dict.fromkeys(table["run"]))
    assert [to_rgb(line.get_color()) for line in ax.lines] == [
        to_rgb(palette.colour(run.experiment.family)) for run in runs[:2]
    ]


def test_a_legend_grows_with_what_is_drawn_and_none_comes_where_looks_are_given(runs):
    first = frames.gradient_profile(frames.layer_table(runs[:1]), 0)
    second = frames.gradient_profile(frames.layer_table(runs[1:2]), 0)
    ax = figures.dots(first)
    figures.profile(first)
    figures.profile(second)
    assert legend_of(ax) == ["theory", *first["run"].unique(), *second["run"].unique()]
    other = plt.figure().subplots()
    figures.profile(first, ax=other, styles=palette.styles(first))
    assert legend_of(other) == []


def test_the_band_is_student_s_interval_of_the_mean():
    values = np.array([1.0, 2.0, 6.0])
    data = pd.DataFrame({"relative_depth": [0.0] * 3 + [1.0] * 3, "value": [*values, *(10 * values)], "net": "mine"})
    ax = figures.trace(data, hue="net", band="interval")
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    band = ax.collections[0].get_paths()[0].vertices
    at_zero = band[np.isclose(band[:, 0], 0), 1]
    assert (at_zero.min(), at_zero.max()) == (pytest.approx(low), pytest.approx(high))
    assert legend_of(ax)[-1] == "95 % interval of the mean of 3"


def test_on_a_log_axis_it_is_that_of_the_logarithms():
    logs = np.array([0.0, 1.0, 2.5])
    data = pd.DataFrame(
        {"relative_depth": [0.0, 0.0, 0.0, 1.0, 1.0, 1.0], "value": 10.0 ** np.tile(logs, 2), "run": "a"}
    )
    ax = figures.profile(data, band="interval")
    low, high = stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs))
    band = np.log10(ax.collections[0].get_paths()[0].vertices[:, 1])
    assert (band.min(), band.max()) == (pytest.approx(low), pytest.approx(high))


def test_what_an_axis_cannot_show_is_explained_on_the_axes():
    ax = figures.profile(pd.DataFrame({"relative_depth": [0, 0.5, 1], "value": [1.0, np.nan, 0.0], "run": "plain-20"}))
    assert legend_of(ax) == ["plain-20", palette.MARKS["NaN"].title, palette.MARKS["zero"].title]


@pytest.mark.parametrize("name", ["$x$", "a_{1}$\\frac{$", "_hidden"])
def test_a_name_is_text_outside_paper_too(name, tmp_path):
    """Dollars would be a formula, which fails where it is none; a label with _ in front would be left out."""
    with mpl.rc_context({"text.parse_math": True, "svg.fonttype": "none"}):
        ax = plt.figure().subplots()
        figures.curve(pd.DataFrame({"step": [0, 1], "loss": [0.9, 0.5], "run": name}), ax=ax)
        ax.figure.savefig(tmp_path / "figure.svg")
    assert f"{name}</text>" in (tmp_path / "figure.svg").read_text()


def test_colours_tell_lines_apart_where_no_name_tells_a_family():
    told = palette.styles(pd.DataFrame({"run": ["plain-20", "mine"]}))
    assert list(told["colour"]) == [palette.FAMILIES["plain"], palette.FAMILIES["foreign"]]
    untold = palette.styles(pd.DataFrame({"layer": ["stem", "head", "stem"]}), by="layer")
    assert list(untold["layer"]) == ["stem", "head"]
    assert untold["colour"].nunique() == 2


def test_rooms_of_pictures_open_without_the_screen_of_the_app():
    code = "import sys, labapp.charts, labapp.figures, labapp.frames; sys.exit('streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
