"""Does every chart become a picture that stands alone: drawn by Vega itself, with title, legend and labels?"""

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from labapp import charts, figures
from labapp.charts.files import WIDTH
from tests.charts.test_beyond import DRAWN, FINE, ILL, LOOKS, by_layer, curves

SVG = "{http://www.w3.org/2000/svg}"


def rendered(chart, form, title="", scale=None):
    return figures.drawn(charts.alone(chart, title, scale), form)


def words(chart, title="", scale=None):
    drawn = ElementTree.fromstring(rendered(chart, "svg", title, scale))
    return [node.text or "" for node in drawn.iter(f"{SVG}text")]


@pytest.mark.parametrize("values", [FINE, ILL], ids=["fine", "ill"])
@pytest.mark.parametrize("name", DRAWN)
def test_vega_draws_every_chart(name, values, capfd):
    said = words(DRAWN[name][0](values), "What is to be seen")
    assert "What is to be seen" in said
    assert len(said) > 4  # labels of axes
    assert "WARN" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(("form", "magic"), [("png", b"\x89PNG"), ("svg", b"<svg"), ("pdf", b"%PDF")])
def test_each_format_is_what_it_says(form, magic):
    found = rendered(charts.loss_chart(curves(FINE), LOOKS), form)
    assert found.startswith(magic)


def test_text_is_drawn_in_pictures():
    """Letters are dark pixels in the margin left of the axis; without a font there were none."""
    picture = Image.open(io.BytesIO(rendered(charts.accuracy_chart(curves(FINE), LOOKS), "png"))).convert("L")
    assert picture.width >= 2 * WIDTH
    margin = np.asarray(picture)[:, :60]
    assert (margin < 100).sum() > 200
    assert np.asarray(picture)[0].min() == 255  # on white


def test_the_same_chart_gives_the_same_bytes():
    chart = charts.loss_chart(curves(FINE), LOOKS)
    assert rendered(chart, "png") == rendered(chart, "png")


def test_what_the_screen_has_elsewhere_is_in_the_file():
    """The accuracy's legend is the loss's, the loss's steps are labelled below the accuracy: apart each has its own."""
    assert "plain-20" in words(charts.accuracy_chart(curves(FINE), LOOKS))
    assert words(charts.loss_chart(curves(FINE), LOOKS)).count("plain-20") == 1
    assert "step (optimizer updates)" in words(charts.loss_chart(curves(FINE), LOOKS))


def test_a_bar_of_colours_comes_along():
    bar = charts.linear_bar((0.0, 1.0))
    chart = DRAWN["similarity_chart"][0](FINE)
    assert len(words(chart, "title", bar)) > len(words(chart, "title"))
    assert charts.alone(chart, "title", bar)["title"]["text"] == ["title"]


def test_a_long_title_is_wrapped():
    title = "Training loss over steps of " + ", ".join(f"plain-{depth}" for depth in range(20, 80))
    lines = charts.alone(charts.loss_chart(curves(FINE), LOOKS), title)["title"]["text"]
    assert len(lines) > 1
    assert max(map(len, lines)) <= 96
    assert " ".join(lines) == title


def test_csv_has_the_numbers_and_says_what_is_none():
    table = pd.DataFrame({"run": ["a, b", "c", "d", "e"], "value": [0.1, np.nan, np.inf, -np.inf], "step": range(4)})
    text = charts.as_csv(table).decode()
    assert text.splitlines() == ["run,value,step", '"a, b",0.1,0', "c,NaN,1", "d,Inf,2", "e,-Inf,3"]
    back = pd.read_csv(io.BytesIO(charts.as_csv(table)))
    assert np.array_equal(back["value"], table["value"], equal_nan=True)
    exact = [1 / 3, 2e-300, float("nan")]
    lines = charts.as_csv(pd.DataFrame({"value": exact})).decode().split()
    assert [float(line) for line in lines[1:3]] == exact[:2]
    assert not re.search(r"\r", text)


@pytest.mark.parametrize("values", [FINE, ILL], ids=["fine", "ill"])
@pytest.mark.parametrize("name", DRAWN)
def test_no_layer_forbids_the_legend_of_another(name, values):
    """Vega hides a legend then, and says so only in the console of a browser."""
    assert conflicts(DRAWN[name][0](values).to_dict()) == []


def test_theory_does_not_forbid_it_either():
    profile = by_layer(FINE, state="")
    assert conflicts(charts.profile_chart(profile, LOOKS, "output_grad_norm", theory=profile).to_dict()) == []


def conflicts(spec):
    apart = {name for name, how in spec.get("resolve", {}).get("scale", {}).items() if how == "independent"}
    found = []
    for name in {"color", "stroke", "strokeDash", "shape"} - apart:
        channels = [layer.get("encoding", {}).get(name, {}) for layer in spec.get("layer", [])]
        legends = [each["legend"] is None for each in channels if "field" in each and "legend" in each]
        found += [name] if len(set(legends)) > 1 else []
    return found
