"""The runs in the sidebar, and what is running."""

import pytest

from labapp.app import launch
from labapp.store import list_runs
from tests.app.pages import ended, go

GRADIENTS = "gradient_flow"


def test_the_picker_tells_repetitions_apart_and_keeps_the_first_ones_name(open_page, record, tmp_path):
    small = {"recorded": (0,), "steps": 2}
    runs = [record(tmp_path, run_id=f"plain-20-{name}", **small) for name in ("aa", "bb", "x-bb")]
    record(tmp_path, seed=3, norm="none", activation="tanh", **small)
    options = open_page(tmp_path).multiselect(key="runs").options
    assert options == ["plain-20 (no norm, tanh, seed 3)", runs[2].id, "plain-20 (bb)", "plain-20"]


def test_one_run_has_one_name_on_every_page_and_its_id_on_hover(open_page, record, tmp_path):
    runs = [record(tmp_path, recorded=(0, 10), seed=seed, width=8 + 8 * (seed == 2)) for seed in range(3)]
    app = open_page(tmp_path)
    name = app.multiselect(key="runs").options[0]
    assert name == "plain-20 (width 16, seed 2)"
    app.multiselect(key="runs").set_value([runs[2].id]).run()  # alone, it is called the same
    legend = next(element.proto.body for element in app.sidebar.get("html"))
    assert f"title='{runs[2].id}'" in legend
    assert app.title[0].value.startswith(f"{name} reaches")
    assert app.dataframe[0].value[["run", "run_id"]].values.tolist() == [[name, runs[2].id]]
    go(app, GRADIENTS)
    assert f"in {name}" in app.title[0].value


def test_the_choice_stays_on_the_next_page(archive, open_page):
    app = open_page(archive)
    one = next(run.id for run in list_runs(archive) if run.name == "dense-40")
    app.multiselect(key="runs").set_value([one]).run()
    go(app, GRADIENTS)
    assert app.multiselect(key="runs").value == [one]
    assert "dense-40" in app.title[0].value
    assert "plain" not in app.title[0].value


def test_no_run_chosen(archive, open_page):
    app = open_page(archive)
    app.multiselect(key="runs").set_value([]).run()
    assert app.title[0].value == "No run is chosen."
    go(app, GRADIENTS)
    assert app.title[0].value == "No run is chosen."


def test_a_run_that_was_removed_is_no_longer_chosen(archive, open_page):
    app = open_page(archive)
    gone = list_runs(archive)[0]
    gone.path.rename(archive.parent / "elsewhere")
    app.button(key="look").click().run()
    assert not app.exception
    assert gone.id not in app.multiselect(key="runs").value


def test_another_archive_is_opened_by_its_folder(archive, open_page, record, tmp_path, monkeypatch):
    monkeypatch.setenv("LABAPP_ROOTS", str(tmp_path))
    record(tmp_path / "other", family="residual", depth=32)
    app = open_page(archive)
    app.text_input(key="archive").set_value(str(tmp_path / "other")).run()
    assert not app.exception
    assert app.title[0].value.startswith("residual-32 reaches")


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_a_run_in_progress_shows_its_bar_on_every_page(page, archive, open_page, record):
    record(archive, family="residual", depth=110, steps=200, recorded=(0, 10), status=None)
    app = open_page(archive, page)
    bars = app.sidebar.get("progress")
    assert [bar.proto.text.split(" ·")[0] for bar in bars] == ["residual-110"]


def test_a_finished_archive_shows_no_bar(archive, open_page):
    assert not open_page(archive).sidebar.get("progress")


def test_a_launch_that_failed_is_reported_in_its_own_words(open_page, tmp_path):
    job = launch.start(["train", "--family", "rezidual"], tmp_path)
    ended(job)
    app = open_page(tmp_path)
    assert app.title[0].value == "Nothing is recorded here yet."
    assert "did you mean 'residual'?" in app.error[0].value


def test_a_launch_in_progress_can_be_stopped_from_every_page(open_page, tmp_path):
    job = launch.start(["train", "--steps", "1000000", "--depth", "8", "--width", "2"], tmp_path)
    app = open_page(tmp_path, GRADIENTS)
    assert app.title[0].value == "The first run is about to begin."
    app.button(key=f"stop-{job.id}").click().run()
    assert not app.exception
    assert ended(job).status == "stopped"
