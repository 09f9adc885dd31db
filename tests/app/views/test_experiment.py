"""The form for new experiments: where it begins, what its fields take, and what it starts."""

import pytest

from labapp.app import launch, several
from labapp.config import FAMILIES, PRESETS, Experiment, bounds
from labapp.store import list_runs
from tests.app.pages import texts

SHORT = {"steps": 2, "batch_size": 8, "train_images": 16, "test_images": 8, "checkpoints": 0, "width": 2}


@pytest.fixture
def form(open_page, record, tmp_path, monkeypatch):
    """The form, open, on an archive where one launch computes at a time."""
    monkeypatch.setenv(launch.JOBS, "1")
    record(tmp_path)
    app = open_page(tmp_path)
    app.button(key="new").click().run()
    yield app
    for job in launch.running(tmp_path):
        launch.stop(job)


@pytest.mark.parametrize("name", PRESETS)
def test_a_recipe_fills_the_form_in(form, name):
    form.selectbox(key="begin-from").set_value(name).run()
    assert not form.exception
    assert not form.error
    preset = PRESETS[name]
    assert form.segmented_control(key="form-family").value == list(preset.families)
    assert any(preset.about in words.replace("\\", "") for words in texts(form))
    first = Experiment(family=preset.families[0], **preset.values)
    assert any(words == f"Will run: `labapp {' '.join(launch.arguments_for(first))}`" for words in texts(form))
    count = len(preset.families)
    assert form.button(key="form-start").label == (f"Start {count}" if count > 1 else "Start")
    form.selectbox(key="begin-from").set_value(None).run()  # empty again
    assert form.number_input(key="form-depth").value is None


@pytest.mark.parametrize("family", FAMILIES)
def test_every_number_has_the_range_of_the_model(form, family):
    form.segmented_control(key="form-family").set_value([family]).run()
    fields = [field for field in form.number_input if str(field.key).startswith("form-")]
    assert len(fields) > 10
    for field in fields:
        name = field.key.removeprefix("form-")
        limits = bounds(name)
        assert limits is not None
        if name != "depth":
            whole = limits.inclusive
            assert field.min == pytest.approx(whole.least if whole.above is None else whole.above, abs=1e-300)
        assert str(limits) in field.proto.help
        assert field.step > 0
    depth = form.number_input(key="form-depth")
    assert (depth.min, depth.step) == {"plain": (8, 6), "residual": (8, 6), "dense": (7, 3), "vgg": (11, 1)}[family]


def test_several_families_show_what_differs(form):
    form.segmented_control(key="form-family").set_value(["plain", "dense"]).run()
    assert form.number_input(key="form-depth").placeholder == "20 / 40"
    assert "Plain: 8, 14, 20 and so on. Dense: 7, 10, 13 and so on." in form.number_input(key="form-depth").proto.help
    assert "form-growth_rate" in {field.key for field in form.number_input}
    form.segmented_control(key="form-family").set_value([]).run()
    assert not form.exception
    assert "Choose a family" in form.info[0].value
    assert "form-start" not in {button.key for button in form.button}


def test_seeds_that_are_none_are_a_sentence(form, tmp_path):
    form.text_input(key="form-seed").set_value("two").run()
    assert "'two' is no seed" in form.error[0].value
    assert form.button(key="form-start").disabled
    assert not launch.launches(tmp_path)


def test_families_and_seeds_are_queued_one_each(form, tmp_path):
    form.segmented_control(key="form-family").set_value(["plain", "residual"])
    form.number_input(key="form-depth").set_value(8)
    for name, value in (SHORT | {"steps": 1_000_000}).items():
        form.number_input(key=f"form-{name}").set_value(value)
    form.text_input(key="form-seed").set_value("0-1").run()
    form.button(key="form-start").click().run()
    assert not form.exception
    jobs = launch.launches(tmp_path)[::-1]
    assert [job.title for job in jobs] == ["plain-8", "plain-8, seed 1", "residual-8", "residual-8, seed 1"]
    assert all(job.queued for job in jobs)
    wanted, _, _ = several.experiments(["plain", "residual"], {"depth": 8, **SHORT, "steps": 1_000_000}, "0-1")
    assert [list(job.arguments) for job in jobs] == [launch.arguments_for(each) for each in wanted]
    assert len([job for job in jobs if launch.load(job.path).status == "waiting"]) >= 3
    for job in jobs[::-1]:
        assert launch.stop(job, wait=60).status == "stopped"
    assert len(list_runs(tmp_path)) <= 2


def test_what_is_refused_leaves_the_form_open(form, tmp_path, monkeypatch):
    monkeypatch.setenv("LABAPP_READ_ONLY", "1")  # since it was opened
    monkeypatch.setattr("labapp.app.views.experiment.reading_only", lambda: False)
    form.button(key="form-start").click().run()
    assert not form.exception
    assert "is not allowed, because this lab was opened with --read-only" in form.error[0].value
    assert "form-start" in {button.key for button in form.button}
    assert not (tmp_path / launch.FOLDER).exists()
