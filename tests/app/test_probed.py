"""Pages about probes, where runs hold none, damaged ones, or other nets."""

import pytest

from labapp.app import launch
from labapp.app import probed as probed_page
from labapp.config import Experiment
from labapp.store import RunWriter
from tests.app.pages import choose, count_charts, ended, named, texts, unprobe

PAGES = ("signals", "feature_reuse", "representation", "architecture")
MEASURED = PAGES[1:]


def test_every_page_opens_on_a_net_of_another_maker(open_page, record, tmp_path):
    record(tmp_path)
    with RunWriter.create(tmp_path, Experiment(net="torchvision:resnet18", steps=1)) as writer:
        writer.write("evals", {"step": [1], "split": ["test"], "loss": [2.0], "accuracy": [0.1]})
        writer.finish("finished")
    for page in ("overview", "gradient_flow", *PAGES):
        app = open_page(tmp_path, page)
        assert "resnet18" in app.multiselect(key="runs").options
        assert app.title[0].value


@pytest.mark.parametrize("page", MEASURED[:2])
def test_what_was_not_measured_is_said_with_one_button(probed, open_page, page):
    unprobe(probed)
    app = open_page(probed, page)
    assert app.title[0].value.endswith("has not been measured yet.")
    assert [button.label for button in app.main.button] == ["Measure"]
    assert count_charts(app) == 0


def test_what_some_runs_lack_is_one_line_below_the_others(probed, open_page):
    unprobe(probed, "dense-10")
    app = open_page(probed, "representation")
    assert "not been measured" not in app.title[0].value
    assert any(text.startswith("dense-10: ") and text.endswith("not measured yet.") for text in texts(app))


@pytest.mark.parametrize("page", ["architecture", pytest.param("feature_reuse", marks=pytest.mark.long)])
def test_what_is_made_in_moments_needs_no_button(probed, open_page, page, monkeypatch):
    monkeypatch.setattr(probed_page, "PACE", 0.2)
    unprobe(probed, "dense-10")
    run = named(probed, "dense-10")
    app = choose(open_page(probed, page), run)
    assert not app.exception
    assert app.title[0].value.endswith("is being measured.")
    assert not app.main.button
    (job,) = launch.launches(probed)
    assert job.arguments[:3] == ("probe", run.id, "--cheap")
    assert ended(job).status == "finished", job.tail()
    app.run()
    assert not app.exception
    assert "measured" not in app.title[0].value
    assert len(launch.launches(probed)) == 1


@pytest.mark.long
def test_what_cannot_be_made_is_tried_once(probed, open_page):
    unprobe(probed, "dense-10")
    run = named(probed, "dense-10")
    for path in (run.path / "checkpoints").iterdir():
        path.write_bytes(b"damaged")
    app = choose(open_page(probed, "architecture"), run)
    (job,) = launch.launches(probed)
    ended(job)
    app.run()
    app.run()
    assert len(launch.launches(probed)) == 1
    assert [button.label for button in app.main.button] == ["Measure"]
    assert "ended early" in app.error[0].value


def test_a_run_without_checkpoints_cannot_be_measured(record, open_page, tmp_path):
    record(tmp_path, family="dense", depth=40)
    for page in ("feature_reuse", "representation"):
        app = open_page(tmp_path, page)
        assert app.title[0].value.endswith("has not been measured yet.")
        assert not app.main.button
        assert any("kept no checkpoint to measure" in text for text in texts(app))


@pytest.mark.parametrize(
    ("page", "name"), [("feature_reuse", "feature_reuse"), ("representation", "similarity"), ("architecture", "stages")]
)
def test_a_damaged_table_is_named(probed, open_page, page, name):
    run = named(probed, "dense-10")
    for path in (run.path / "probes").glob(f"{name}.*"):
        path.write_bytes(path.read_bytes()[:60])
    app = choose(open_page(probed, page), run)
    assert "is damaged" in app.error[0].value


@pytest.mark.parametrize("page", PAGES)
def test_pages_without_runs_or_choice(open_page, probed, tmp_path, page):
    app = open_page(tmp_path / "nowhere", page)
    assert app.title[0].value == "Nothing is recorded here yet."
    assert choose(open_page(probed, page)).title[0].value == "No run is chosen."


def test_measuring_is_a_process_whose_progress_the_page_shows(probed, open_page, monkeypatch):
    monkeypatch.setattr(probed_page, "PACE", 0.2)
    unprobe(probed)
    run = named(probed, "plain-8")
    app = choose(open_page(probed, "representation"), run)
    app.main.button[0].click().run()
    assert not app.exception
    assert app.title[0].value == "What the layers of plain-8 represent is being measured."
    assert app.main.get("progress")
    job = launch.launches(probed)[0]
    assert job.arguments == ("probe", run.id, "--quantities", "similarity", "by_depth")
    assert ended(job).status == "finished", job.tail()
    app.run()
    assert not app.exception
    assert app.title[0].value.startswith("At step ")


def test_a_measurement_that_failed_is_told_in_its_own_words(probed, open_page):
    unprobe(probed)
    run = named(probed, "plain-8")
    job = launch.start(["probe", run.id, "--quantities", "similarety"], probed)
    ended(job)
    app = choose(open_page(probed, "representation"), run)
    assert "did you mean 'similarity'" in app.error[0].value
    assert [button.label for button in app.main.button] == ["Measure"]
