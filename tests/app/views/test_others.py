"""The page of diagnostics that other packages bring: drawn, shown as they are, or missing, and said so."""

import sys

import pandas as pd
import pytest

from labapp.commands.cli import main
from labapp.store import list_runs
from tests.app import nasty
from tests.app.pages import count_charts, drawn, go, texts
from tests.probes.packages import DENSITY, put


@pytest.fixture
def density(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(
        put(tmp_path / "site", "labapp-density", {"labapp_density.py": DENSITY}, density="labapp_density:SPEC")
    )
    yield
    sys.modules.pop("labapp_density", None)


@pytest.mark.usefixtures("density")
def test_a_diagnostic_is_drawn_against_depth_and_its_table_shown(digit_nets, open_page):
    assert main(["probe", "plain", "density", "--root", str(digit_nets), "--images", "20"]) == 0
    app = open_page(digit_nets, "others", runs="plain")
    assert app.title[0].value == "Over how many of its channels does a layer spread its response to an image?"
    assert any("by labapp-density 0.1.0" in text or "by labapp-density 1.0" in text for text in texts(app))
    run = next(run for run in list_runs(digit_nets) if run.id == "plain")
    table = run.probe("density", 12)
    assert drawn(app)["value"].tolist() == pytest.approx(table["value"].tolist())
    shown = app.dataframe[0].value
    assert shown["value"].tolist() == pytest.approx(table["value"].tolist())
    assert {"run", "layer", "reason", "batch_norm"} <= set(shown)
    assert app.select_slider(key="more-density").value == 12
    app.select_slider(key="more-density").set_value(0).run()
    assert app.dataframe[0].value["step"].unique().tolist() == [0]

    app = go(app, "method")
    assert "Density of responses" in "\n".join(element.value for element in app.subheader)
    assert any("labapp-density 1.0, which is installed beside the lab" in element.value for element in app.markdown)


@pytest.mark.usefixtures("density")
def test_what_was_not_measured_has_a_button(digit_nets, open_page):
    app = open_page(digit_nets, "others", runs="plain")
    assert app.button(key="probe-density").label == "Measure"
    assert any("density of responses" in element.value for element in app.markdown)
    assert count_charts(app) == 0


def test_without_packages_the_page_says_so(archive, open_page):
    app = open_page(archive, "others")
    assert app.title[0].value == "No other package brings a diagnostic."
    assert any("labapp probe --list" in text for text in texts(app))


def test_a_table_that_no_package_explains_is_shown_as_it_is(archive, open_page):
    run = list_runs(archive)[0]
    name = "strange"
    run.write_probe(name, 20, pd.DataFrame({"what": [nasty.NAME, "b"], "number": [1.5, float("nan")]}))
    app = open_page(archive, "others", runs=run.id)
    assert app.title[0].value == "What 'strange' measured, no installed package explains."
    assert app.dataframe[0].value["what"].tolist() == [nasty.NAME, "b"]
    assert count_charts(app) == 0
    placed = pd.DataFrame(
        {"relative_depth": [0.0, 0.5, 1.0], "number": [1.5, float("nan"), 2.0], "note": ["", "silent", ""]}
    )
    run.write_probe(name, 20, placed)
    app = open_page(archive, "others", runs=run.id)
    assert count_charts(app) == 1
    assert any("No value at 1 of 3 rows: silent." in text for text in texts(app))


def test_a_broken_package_is_one_sentence_on_both_pages(archive, open_page, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(put(tmp_path / "site", "broken-thing", {}, thing="made_nothing:SPEC"))
    for page in ("others", "method"):
        (warning,) = (each.value for each in open_page(archive, page).warning)
        assert "there is no module" in warning
