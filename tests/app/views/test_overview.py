"""The Overview page, and its form for a new experiment."""

import pytest

from labapp.app import launch
from tests.app.pages import count_charts, ended


def form_button(app):
    return next(button for button in app.button if button.label == "Start")


def test_overview_begins_with_the_answer(archive, open_page):
    app = open_page(archive)
    assert app.title[0].value == "residual-56 reaches 95 %, plain-56 stays at 25 % with the same recipe."
    assert count_charts(app) == 2
    table = app.dataframe[0].value
    assert set(table["run"]) == {"plain-20", "plain-56", "residual-20", "residual-56", "dense-40"}
    assert table.set_index("run").loc["plain-56", "accuracy"] == pytest.approx(25, abs=0.01)
    assert {button.label for button in app.button} >= {"Start an experiment", "Starter comparison"}


def test_the_published_errors_are_behind_the_title(archive, open_page):
    told = open_page(archive).title[0].help
    assert "**Published, not measured here**" in told
    assert "- ResNet-56: CIFAR-10 error: 6.97 % (He et al. 2015, Table 6; width 8, 16 there, other images here)" in told
    assert "- DenseNet L=40 k=12: CIFAR-10 error, with augmentation: 5.24 % (Huang et al. 2017, Table 2;" in told


def test_the_form_refuses_in_one_sentence(archive, open_page):
    app = open_page(archive)
    app.button(key="new").click().run()
    app.number_input(key="form-depth").set_value(21)
    form_button(app).click().run()
    assert not app.exception
    assert app.error[0].value.endswith("has 6n+2 weight layers, and 21 is not; take 20 or 26")
    assert not launch.launches(archive)


def test_the_form_shows_the_options_of_the_family(archive, open_page):
    app = open_page(archive)
    app.button(key="new").click().run()
    assert "form-shortcut" in {widget.key for widget in app.selectbox}
    app.segmented_control(key="form-family").set_value("dense").run()
    assert not app.exception
    assert "form-shortcut" not in {widget.key for widget in app.selectbox}
    assert "form-growth_rate" in {widget.key for widget in app.number_input}


def test_the_form_starts_a_real_run(open_page, record, tmp_path):
    record(tmp_path)
    app = open_page(tmp_path)
    app.button(key="new").click().run()
    for name, value in {
        "depth": 8,
        "width": 2,
        "steps": 2,
        "batch_size": 8,
        "train_images": 16,
        "test_images": 8,
    }.items():
        app.number_input(key=f"form-{name}").set_value(value)
    form_button(app).click().run()
    assert not app.exception
    (job,) = launch.launches(tmp_path)
    assert ended(job).status == "finished", job.tail()
    app.button(key="look").click().run()
    assert not app.exception
    assert "residual-8" in set(app.dataframe[0].value["run"])
