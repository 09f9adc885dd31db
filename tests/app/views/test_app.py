"""The whole app, from its entrypoint, on archives as people have them."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import labapp
from labapp import app
from labapp.app import launch
from labapp.store import list_runs

MAIN = Path(labapp.__file__).resolve().parent / "main.py"
GRADIENTS = "app/views/gradient_flow.py"


@pytest.fixture
def open_app(monkeypatch):
    """Open the app on an archive, on a page, with an address."""
    path = list(sys.path)

    def opened(root, page=None, **address):
        monkeypatch.setenv("LABAPP_RUNS", str(root))
        app = AppTest.from_file(str(MAIN), default_timeout=60)
        for name, value in address.items():
            app.query_params[name] = value
        app.run()
        if page:
            app.switch_page(page).run()
        assert not app.exception, app.exception[0].stack_trace
        return app

    yield opened
    sys.path[:] = path


def count_charts(app):
    return len(app.get("vega_lite_chart"))


def form_button(app):
    return next(button for button in app.button if button.label == "Start")


# overview


def test_overview_begins_with_the_answer(archive, open_app):
    app = open_app(archive)
    assert app.title[0].value == "residual-56 reaches 95 %, plain-56 stays at 25 % with the same recipe."
    assert count_charts(app) == 2
    table = app.dataframe[0].value
    assert set(table["run"]) == {"plain-20", "plain-56", "residual-20", "residual-56", "dense-40"}
    assert table.set_index("run").loc["plain-56", "accuracy"] == pytest.approx(25, abs=0.01)
    assert {button.label for button in app.button} >= {"Start an experiment", "Starter comparison"}


def test_the_picker_finds_every_run_and_the_address_keeps_the_choice(archive, open_app):
    app = open_app(archive)
    picker = app.multiselect(key="runs")
    assert len(picker.options) == 5
    one = next(run.id for run in list_runs(archive) if run.name == "dense-40")
    picker.set_value([one]).run()
    assert app.title[0].value.startswith("dense-40 reaches 96 %")
    label = next(option for option in picker.options if option.startswith("dense-40"))
    again = open_app(archive, runs=label)
    assert again.title[0].value == app.title[0].value


def test_the_picker_tells_repetitions_apart_and_keeps_the_first_ones_name(open_app, record, tmp_path):
    small = {"recorded": (0,), "steps": 2}
    runs = [record(tmp_path, run_id=f"plain-20-{name}", **small) for name in ("aa", "bb", "x-bb")]
    record(tmp_path, seed=3, norm="none", activation="tanh", **small)
    options = open_app(tmp_path).multiselect(key="runs").options
    assert options == ["plain-20 · no norm · tanh · seed 3", runs[2].id, "plain-20 · bb", "plain-20"]


def test_the_choice_stays_on_the_next_page(archive, open_app):
    app = open_app(archive)
    one = next(run.id for run in list_runs(archive) if run.name == "dense-40")
    app.multiselect(key="runs").set_value([one]).run()
    app.switch_page(GRADIENTS).run()
    assert app.multiselect(key="runs").value == [one]
    assert "dense-40" in app.title[0].value
    assert "plain" not in app.title[0].value


def test_no_run_chosen(archive, open_app):
    app = open_app(archive)
    app.multiselect(key="runs").set_value([]).run()
    assert app.title[0].value == "No run is chosen."
    app.switch_page(GRADIENTS).run()
    assert not app.exception
    assert app.title[0].value == "No run is chosen."


def test_a_new_run_is_chosen_when_it_appears(archive, open_app, record):
    app = open_app(archive)
    fresh = record(archive, family="residual", depth=110, recorded=(0, 10))
    app.button(key="look").click().run()
    assert fresh.id in app.multiselect(key="runs").value
    assert len(app.multiselect(key="runs").value) == 6


def test_the_first_run_of_an_archive_is_chosen_when_it_appears(open_app, record, tmp_path):
    app = open_app(tmp_path)
    record(tmp_path)
    app.run()
    assert not app.exception
    assert app.title[0].value.startswith("plain-20 reaches")


def test_a_run_that_was_removed_is_no_longer_chosen(archive, open_app):
    app = open_app(archive)
    gone = list_runs(archive)[0]
    gone.path.rename(archive.parent / "elsewhere")
    app.button(key="look").click().run()
    assert not app.exception
    assert gone.id not in app.multiselect(key="runs").value


def test_another_archive_is_opened_by_its_folder(archive, open_app, record, tmp_path):
    record(tmp_path / "other", family="residual", depth=32)
    app = open_app(archive)
    app.text_input(key="archive").set_value(str(tmp_path / "other")).run()
    assert not app.exception
    assert app.title[0].value.startswith("residual-32 reaches")


# gradient flow


def test_gradient_flow_begins_with_the_answer(archive, open_app):
    app = open_app(archive, GRADIENTS)
    assert app.title[0].value == (
        "At step 0 the gradient grows 1.20× a layer towards the input in plain-56 (theory 1.21×); in residual-56 1.06×."
    )
    assert count_charts(app) == 3 + 5  # profile, slope, colour bar, and a heatmap a run


def test_the_step_slider_moves_the_answer(archive, open_app):
    app = open_app(archive, GRADIENTS)
    assert app.select_slider(key="step").options == ["0", "10", "20"]
    app.select_slider(key="step").set_value(20).run()
    assert not app.exception
    assert app.title[0].value.startswith("At step 20 the gradient grows 1.20× a layer")
    assert "theory" not in app.title[0].value


def test_a_shared_address_opens_the_same_view(archive, open_app):
    app = open_app(archive, step="10", scale="relative to last layer", gradient="weights")
    app.switch_page(GRADIENTS).run()
    assert app.title[0].value.startswith("At step 10 the weights' gradient")


@pytest.mark.parametrize(("key", "value"), [("gradient", "weights"), ("scale", "relative to last layer")])
def test_controls_change_what_is_drawn(archive, open_app, key, value):
    app = open_app(archive, GRADIENTS)
    app.segmented_control(key=key).set_value(value).run()
    assert not app.exception
    assert count_charts(app) == 8


def test_layer_kinds_are_those_of_the_runs(archive, open_app):
    app = open_app(archive, GRADIENTS)
    assert app.selectbox(key="layers").options == ["convolutions", "normalisations"]
    app.selectbox(key="layers").set_value("norm").run()
    assert not app.exception


def test_play_goes_through_the_steps_and_stops(archive, open_app):
    app = open_app(archive, GRADIENTS)
    app.button(key="play").click().run()
    assert not app.exception
    seen = [app.select_slider(key="step").value]
    for _ in range(4):
        app.run()
        seen.append(app.select_slider(key="step").value)
    assert seen[-1] == 20
    assert seen == sorted(seen)
    assert app.button(key="play").label == "Play"
    app.button(key="play").click().run()  # again from the beginning
    assert app.select_slider(key="step").value == 0


# starting experiments


def test_the_form_refuses_in_one_sentence(archive, open_app):
    app = open_app(archive)
    app.button(key="new").click().run()
    app.number_input(key="form-depth").set_value(21)
    form_button(app).click().run()
    assert not app.exception
    assert app.error[0].value.endswith("has 6n+2 weight layers, and 21 is not; take 20 or 26")
    assert not launch.launches(archive)


def test_the_form_shows_the_options_of_the_family(archive, open_app):
    app = open_app(archive)
    app.button(key="new").click().run()
    assert "form-shortcut" in {widget.key for widget in app.selectbox}
    app.segmented_control(key="form-family").set_value("dense").run()
    assert not app.exception
    assert "form-shortcut" not in {widget.key for widget in app.selectbox}
    assert "form-growth_rate" in {widget.key for widget in app.number_input}


def test_the_form_starts_a_real_run(open_app, record, tmp_path):
    record(tmp_path)
    app = open_app(tmp_path)
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
    while launch.load(job.path).status == "running":
        time.sleep(0.1)
    assert launch.load(job.path).status == "finished", job.tail()
    app.button(key="look").click().run()
    assert not app.exception
    assert "residual-8" in set(app.dataframe[0].value["run"])


# archives as people have them


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_an_empty_archive_says_what_to_do(page, open_app, tmp_path):
    app = open_app(tmp_path / "nothing", page)
    assert app.title[0].value == "Nothing is recorded here yet."
    assert app.button(key="starter").label == "Starter comparison"
    assert not app.error
    assert not (tmp_path / "nothing").exists()  # looking creates nothing


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_an_archive_that_is_a_file(page, open_app, tmp_path):
    (tmp_path / "file").write_text("")
    app = open_app(tmp_path / "file", page)
    assert "is a file, not an archive" in app.warning[0].value


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_a_broken_run_is_named_and_the_others_stay_readable(page, archive, open_app):
    (archive / "torn").mkdir()
    (archive / "torn" / "run.json").write_text('{"labapp"')
    (archive / "no-run").mkdir()
    app = open_app(archive, page)
    assert "torn" in app.warning[0].value
    assert "no-run" in app.warning[0].value
    assert "plain-56" in app.title[0].value


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_a_damaged_part_is_named_and_the_rest_is_drawn(page, archive, open_app):
    victim = next(run for run in list_runs(archive) if run.name == "plain-20")
    part = next((victim.path / "layers").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    app = open_app(archive, page)
    assert f"{victim.id}: layers/{part.name} is damaged" in app.warning[0].value
    assert "plain-56" in app.title[0].value


@pytest.mark.parametrize("page", [None, GRADIENTS])
@pytest.mark.parametrize("nan_from", [0, 15])
def test_a_diverged_run_can_be_viewed(page, nan_from, open_app, record, tmp_path):
    record(tmp_path, nan_from=nan_from, status="diverged")
    app = open_app(tmp_path, page)
    if page is None:
        assert app.title[0].value == "plain-20 diverged: the loss was no longer a number."
    else:
        app.select_slider(key="step").set_value(30).run()
        assert app.title[0].value == "At step 30 no layer of the chosen runs has a finite gradient."
    assert count_charts(app) >= 2


@pytest.mark.parametrize("page", [None, GRADIENTS])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_net_of_hardly_any_layers(page, layers, open_app, record, tmp_path):
    record(tmp_path, layers=layers)
    app = open_app(tmp_path, page)
    if page and layers == 0:
        assert app.title[0].value == "Nothing is recorded for this choice."


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_a_run_that_recorded_one_step_only(page, open_app, record, tmp_path):
    record(tmp_path, recorded=(0,))
    open_app(tmp_path, page)


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_a_run_that_has_only_just_begun(page, open_app, record, tmp_path):
    record(tmp_path, recorded=(), layers=0, steps=1, status=None)
    open_app(tmp_path, page)


# runs in progress


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_a_run_in_progress_shows_its_bar_on_every_page(page, archive, open_app, record):
    record(archive, family="residual", depth=110, steps=200, recorded=(0, 10), status=None)
    app = open_app(archive, page)
    bars = app.sidebar.get("progress")
    assert [bar.proto.text.split(" ·")[0] for bar in bars] == ["residual-110"]


def test_a_finished_archive_shows_no_bar(archive, open_app):
    assert not open_app(archive).sidebar.get("progress")


def test_a_launch_that_failed_is_reported_in_its_own_words(open_app, tmp_path):
    job = launch.start(["train", "--family", "rezidual"], tmp_path)
    while launch.load(job.path).status == "running":
        time.sleep(0.1)
    app = open_app(tmp_path)
    assert app.title[0].value == "Nothing is recorded here yet."
    assert "did you mean 'residual'?" in app.error[0].value


def test_a_launch_in_progress_can_be_stopped_from_every_page(open_app, tmp_path):
    job = launch.start(["train", "--steps", "1000000", "--depth", "8", "--width", "2"], tmp_path)
    app = open_app(tmp_path, GRADIENTS)
    assert app.title[0].value == "The first run is about to begin."
    app.button(key=f"stop-{job.id}").click().run()
    assert not app.exception
    while launch.load(job.path).status == "running":
        time.sleep(0.1)
    assert launch.load(job.path).status == "stopped"


# the house


def test_the_app_never_imports_torch(archive):
    script = f"""
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(MAIN)!r}, default_timeout=60).run()
app.switch_page({GRADIENTS!r}).run()
assert not app.exception and "1.20×" in app.title[0].value
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("torch", "torchvision", "captum", "sklearn")))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"LABAPP_RUNS": str(archive), "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_entrypoint_puts_the_project_on_the_path_instead_of_its_own_folder(archive, open_app):
    sys.path.insert(0, str(MAIN.parent))
    open_app(archive)
    assert sys.path[0] == str(MAIN.parent.parent)
    assert str(MAIN.parent) not in sys.path


def test_pages_can_be_imported_without_drawing():
    from labapp.app.views import gradient_flow, overview

    assert callable(overview.page)
    assert callable(gradient_flow.page)
    assert app.PICTURE.startswith("<svg")
