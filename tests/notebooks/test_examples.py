"""Does each example in the docstrings of figures and charts draw, in a notebook's way: from a table alone?"""

import inspect
import re
import shutil

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

from labapp import charts, figures, frames
from labapp.probes.measure import measure, tasks
from labapp.store import Run
from tests.probes.probing import few_points

EXAMPLE = re.compile(r"^ +Example:\n((?: {8,}.*\n?)+)", re.MULTILINE)
QUANTITIES = ["feature_reuse", "loss_surface", "similarity", "architecture"]


def examples(room):
    """The example of each function of a room that has one, by its name."""
    found = {name: EXAMPLE.search(getattr(room, name).__doc__ or "") for name in room.__all__}
    return {name: inspect.cleandoc(match[1]) for name, match in found.items() if match}


def parameters(thing):
    return inspect.signature(thing).parameters if inspect.isfunction(thing) else {}


@pytest.fixture(scope="module")
def names(_digit_nets, tmp_path_factory):
    """What an example speaks of: runs, one run, a dense net with its probes, the step of these."""
    root = tmp_path_factory.mktemp("examples")
    runs = [Run(shutil.copytree(_digit_nets / name, root / name)) for name in ("dense", "original")]
    with few_points():
        for run, wanted in zip(runs, (QUANTITIES, QUANTITIES[-1:]), strict=True):
            for outcome in measure(run, tasks(run, wanted, "last")[0], images=32):
                assert not outcome.reason, outcome
    shown = {"runs": runs, "run": runs[0], "dense": runs[:1], "step": runs[0].checkpoints()[-1]}
    return shown | {"frames": frames, "figures": figures, "charts": charts}


@pytest.fixture(autouse=True)
def screenless():
    mpl.use("agg")
    yield
    plt.close("all")


@pytest.mark.parametrize("name", examples(figures))
def test_the_example_of_a_figure_draws(name, names):
    ax = eval(examples(figures)[name], names)  # of this project's own docstrings
    assert isinstance(ax, Axes)
    assert ax in plt.gcf().axes
    assert ax.lines or ax.collections or ax.patches
    ax.figure.canvas.draw()


def test_every_figure_of_a_table_has_one_and_needs_nothing_but_the_table():
    takes_a_table = {name for name in figures.__all__ if "data" in parameters(getattr(figures, name))}
    assert takes_a_table == set(examples(figures))
    for name in takes_a_table:
        given = parameters(getattr(figures, name))
        needed = [
            one for one, about in given.items() if about.default is about.empty and about.kind != about.VAR_KEYWORD
        ]
        assert needed == ["data"]
        assert given["ax"].default is None


@pytest.mark.parametrize("name", examples(charts))
def test_the_example_of_a_chart_shows_itself(name, names):
    chart = eval(examples(charts)[name], names)  # of this project's own docstrings
    made = chart.to_dict()  # held against the schema
    assert any(made["datasets"].values())
    assert legends(made)
    (html,) = (words for kind, words in chart._repr_mimebundle_(None, None).items() if kind == "text/html")
    assert "vega" in html


def legends(spec):
    """The legends that a chart has: of runs or of colours."""
    parts = [spec, *spec.get("layer", [])]
    channels = [channel for part in parts for channel in part.get("encoding", {}).values() if isinstance(channel, dict)]
    return [channel["legend"] for channel in channels if channel.get("legend")]


def test_every_chart_of_runs_has_one():
    of_runs = {name for name in charts.__all__ if "styles" in parameters(getattr(charts, name))}
    assert of_runs - {"drift_chart", "scores_chart"} <= set(examples(charts))  # maps of images: their tables need torch
    for name in of_runs:
        assert parameters(getattr(charts, name))["styles"].default is None
