"""The Overview page, and its form for a new experiment."""

import pytest

from labapp.app import launch, several
from labapp.app.views import experiment
from labapp.config import FAMILIES, RECIPES, Experiment
from labapp.store import list_runs
from tests.app.pages import count_charts, ended


def test_overview_begins_with_the_answer(archive, open_page):
    app = open_page(archive)
    assert app.title[0].value == (
        "residual-56 reaches 95 %, plain-56 stays at 25 % with the same recipe. "
        "With one seed each, chance cannot be told from the nets."
    )
    assert count_charts(app) == 2
    table = app.dataframe[0].value
    assert set(table["run"]) == {"plain-20", "plain-56", "residual-20", "residual-56", "dense-40"}
    assert table.set_index("run").loc["plain-56", "accuracy"] == pytest.approx(25, abs=0.01)
    assert {button.label for button in app.button} >= {"Start an experiment", "Starter comparison"}


def test_the_published_errors_are_behind_the_title(archive, open_page):
    told = open_page(archive).title[0].help
    assert "**Error, here and published**" in told
    assert (
        "- residual-56, here 5 % on cluttered-digits; published as ResNet-56: 6.97 % on CIFAR-10 (He et al. 2015, "
        "Table 6; width 8, 16 there)" in told
    )
    assert "published as DenseNet L=40 k=12: 5.24 % on CIFAR-10 (Huang et al. 2017, Table 2; with augmentation)" in told
    assert "plain-56" not in told


def test_the_form_refuses_in_one_sentence(archive, open_page):
    app = open_page(archive)
    app.button(key="new").click().run()
    app.number_input(key="form-depth").set_value(21)
    app.run()
    assert not app.exception
    assert app.error[0].value.endswith("has 6n+2 weight layers, and 21 is not; take 20 or 26")
    assert app.button(key="form-start").disabled
    assert not launch.launches(archive)


def test_the_form_shows_the_options_of_the_family(archive, open_page):
    app = open_page(archive)
    app.button(key="new").click().run()
    assert "form-shortcut" in {widget.key for widget in app.selectbox}
    app.segmented_control(key="form-family").set_value(["dense"]).run()
    assert not app.exception
    assert "form-shortcut" not in {widget.key for widget in app.selectbox}
    assert "form-growth_rate" in {widget.key for widget in app.number_input}


def placeholders(app):
    """What the fields of the form show in grey, by field."""
    fields = [*app.number_input, *app.selectbox, *app.text_input]
    return {each.key.removeprefix("form-"): each.proto.placeholder for each in fields if each.key.startswith("form-")}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_form_shows_what_will_run(archive, open_page, recipe):
    app = open_page(archive)
    app.button(key="new").click().run()
    app.selectbox(key="form-recipe").set_value(recipe).run()
    for family in FAMILIES:
        app.segmented_control(key="form-family").set_value([family]).run()
        wanted, shown = Experiment(family=family, recipe=recipe), placeholders(app)
        assert {"steps", "warmup_steps", "schedule", "depth", "record_every"} <= set(shown)
        for name, grey in shown.items():
            value = getattr(wanted, name)
            assert grey == (experiment.LEFT_OPEN[name] if value is None else experiment.shown_as(value)), name
        assert any(f"{wanted.steps:,} steps of {wanted.batch_size:,}" in caption.value for caption in app.caption)


@pytest.mark.parametrize(
    ("recipe", "typed"),
    [
        ("he", {"steps": 300}),  # as every field's default: it is passed on like any other value
        ("he", {"eval_every": 50}),
        ("lab", {"warmup_steps": 0}),
        ("densenet", {"nesterov": False}),
        ("lab", {"steps": 90}),
    ],
)
def test_a_value_that_is_typed_is_the_value_that_runs(archive, open_page, recipe, typed):
    app = open_page(archive)
    app.button(key="new").click().run()
    app.selectbox(key="form-recipe").set_value(recipe).run()
    for name, value in typed.items():
        fields = {each.key: each for each in (*app.number_input, *app.selectbox)}
        fields[f"form-{name}"].set_value(value).run()
    wanted = Experiment(family="residual", recipe=recipe, **typed)
    words = launch.arguments_for(wanted)
    assert {f"--{name.replace('_', '-')}" for name in typed if name != "nesterov"} <= set(words)
    assert any(caption.value == f"Will run: `labapp {' '.join(words)}`" for caption in app.caption)
    assert placeholders(app)["warmup_steps"] == str(wanted.warmup_steps)


def test_values_that_do_not_fit_leave_the_others_shown():
    wanted, fault = several.settled({"family": "plain", "recipe": "he", "depth": 21, "batch_size": 32})
    assert "21 is not" in fault
    assert (wanted.recipe, wanted.batch_size, wanted.depth) == ("he", 32, 20)


@pytest.mark.long
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
    app.run()
    app.text_input(key="form-seed").set_value("2-3").run()
    assert app.button(key="form-start").label == "Start 2"
    app.button(key="form-start").click().run()
    assert not app.exception
    jobs = launch.launches(tmp_path)
    assert sorted(job.title for job in jobs) == ["residual-8, seed 2", "residual-8, seed 3"]
    assert [ended(job).status for job in jobs] == ["finished"] * 2, jobs[0].tail()
    app.button(key="look").click().run()
    app.button(key="offer").click().run()
    assert not app.exception
    assert len(app.multiselect(key="runs").options) == 3
    runs = [run.experiment for run in list_runs(tmp_path) if run.name == "residual-8"]
    assert {(run.steps, run.batch_size, run.width) for run in runs} == {(2, 8, 2)}
    assert {run.seed for run in runs} == {2, 3}
