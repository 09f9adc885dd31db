"""The Grad-CAM page, from the app's entrypoint, on real small runs."""

import io
import shutil
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import labapp
from labapp.app import asking, background
from labapp.app.views import gradcam
from labapp.store import list_runs

MAIN = Path(labapp.__file__).resolve().parent / "main.py"
PAGE = "app/views/gradcam.py"


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    monkeypatch.setattr(asking, "IMAGES", 24)


@pytest.fixture
def open_page(monkeypatch):
    path = list(sys.path)

    def opened(root, **address):
        monkeypatch.setenv("LABAPP_RUNS", str(root))
        app = AppTest.from_file(str(MAIN), default_timeout=60)
        for name, value in address.items():
            app.query_params[name] = value
        app.run()
        return settled(app.switch_page(PAGE).run())

    yield opened
    sys.path[:] = path


def settled(app):
    """The page when all questions are answered, as it looks again by itself in a browser."""
    end = time.monotonic() + 60
    while not app.exception and time.monotonic() < end:
        if "_looking" not in app.session_state or not app.session_state["_looking"]:
            break
        time.sleep(0.05)
        app.run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def grid(app):
    return next(element.proto.body for element in app.get("html") if "<thead>" in element.proto.body)


def rows(app):
    return grid(app).count("scope='row'")


def test_the_page_begins_with_the_answer(trained, open_page):
    app = open_page(trained)
    title = app.title[0].value
    assert "of its map's energy on the digit (random net " in title
    assert rows(app) == 4
    assert "stage 1, 24×24" in grid(app)
    assert grid(app).count("background:linear-gradient") == 1  # one colour scale
    assert not app.error
    assert {button.label for button in app.get("download_button")} == set() or len(app.get("download_button")) == 4
    many = app.dataframe[1].value
    assert set(many["run"]) == {"plain-8", "residual-8", "dense-10", "vgg-11"}
    assert many["verdict"].str.contains("depend|undecided").all()
    assert len(app.get("vega_lite_chart")) == 1  # agreement


def test_the_energy_of_the_answer_is_that_of_the_table(trained, open_page):
    app = open_page(trained)
    many = app.dataframe[1].value.set_index("run")
    best = app.title[0].value.split(" puts ")[0]
    said = float(app.title[0].value.split(" puts ")[1].split(" %")[0])
    means = many["trained"].str.split(" ").str[0].replace("–", "nan").astype(float)
    assert means.idxmax() == best
    assert means.max() == pytest.approx(said, abs=0.051)


def test_another_image_by_its_button_and_by_its_number(trained, open_page):
    app = open_page(trained)
    before = grid(app)
    settled(app.button(key="pick-4").click().run())
    assert app.number_input(key="image").value == 4
    assert grid(app) != before
    settled(app.number_input(key="image").set_value(0).run())
    assert grid(app) == before


def test_an_image_that_the_set_does_not_have(trained, open_page):
    app = open_page(trained, image="500")
    assert app.title[0].value == "This picture cannot be looked at."
    assert "has 120, from 0 on" in app.error[0].value
    settled(app.number_input(key="image").set_value(1).run())
    assert rows(app) == 4


@pytest.mark.parametrize(
    ("columns", "header"), [("depths", "last block"), ("blocks", ">3<"), ("checkpoints", "step 30")]
)
def test_columns(trained, open_page, columns, header):
    app = open_page(trained)
    settled(app.segmented_control(key="columns").set_value(columns).run())
    assert header in grid(app)
    assert rows(app) == 4
    assert len(app.get("vega_lite_chart")) == (2 if columns == "checkpoints" else 1)  # how the map forms


def test_over_checkpoints_all_maps_speak_of_the_class_predicted_in_the_end(trained, open_page):
    app = open_page(trained)
    app.segmented_control(key="columns").set_value("checkpoints")
    settled(app.selectbox(key="class").set_value("predicted").run())
    assert rows(app) == 4
    assert "says" not in grid(app)  # what stands under the image is of the last checkpoint


def test_method_class_scale_and_opacity(trained, open_page):
    app = open_page(trained)
    seen = {grid(app)}
    for change in (
        lambda: app.selectbox(key="method").set_value("layercam"),
        lambda: app.selectbox(key="class").set_value("predicted"),
        lambda: app.selectbox(key="class").set_value("7"),
        lambda: app.segmented_control(key="colours").set_value("score"),
        lambda: app.toggle(key="signed").set_value(True),
        lambda: app.slider(key="overlay").set_value(0.2),
    ):
        settled(change().run())
        seen.add(grid(app))
    assert len(seen) == 7
    assert "7: " in grid(app)
    assert "opacity:0.2" in grid(app)
    assert "against (blue)" in grid(app)


def test_a_method_that_reads_the_image_has_one_column(trained, open_page):
    app = open_page(trained)
    settled(app.selectbox(key="method").set_value("saliency").run())
    assert "at the image" in grid(app)
    assert "stage 1" not in grid(app)


def test_the_stage_of_the_answer(trained, open_page):
    app = open_page(trained)
    settled(app.selectbox(key="stage").set_value(1).run())
    assert "of its stage-1 map's energy" in app.title[0].value
    assert set(app.dataframe[1].value["layer"]) >= {"stage1.block1", "block1"}


def test_play_goes_through_the_checkpoints_and_stops(trained, open_page):
    app = open_page(trained)
    steps = list_runs(trained)[0].checkpoints()
    assert app.select_slider(key="checkpoint").value == steps[-1]
    app.button(key="play-maps").click().run()
    seen = [app.select_slider(key="checkpoint").value]
    for _ in range(60):
        if not app.session_state["_playing-maps"] and not app.session_state["_looking"]:
            break
        time.sleep(0.05)
        app.run()
        seen.append(app.select_slider(key="checkpoint").value)
    assert list(dict.fromkeys(seen)) == steps
    assert app.button(key="play-maps").label == "Play"


def test_faithfulness_is_scored_when_asked_for(trained, open_page):
    app = open_page(trained)
    assert "deletion" not in app.dataframe[0].value
    settled(app.toggle(key="faithful").set_value(True).run())
    scores = app.dataframe[0].value
    assert scores[["deletion", "insertion", "infidelity"]].notna().all().all()


# uploads


def png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def bomb():
    content = bytearray(png(Image.new("RGB", (8, 8))))
    content[16:24] = (50_000).to_bytes(4) * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    return bytes(content)


def test_an_upload_takes_the_place_of_the_test_image(trained, open_page):
    app = open_page(trained)
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    settled(app.file_uploader(key="upload").set_value(("cat.png", png(Image.fromarray(noise)), "image/png")).run())
    assert rows(app) == 4
    assert "true" not in app.selectbox(key="class").options  # nobody knows it
    assert " inside" not in grid(app)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.txt", b"no picture", "is no picture"),
        ("dot.png", png(Image.new("RGB", (1, 1))), "has only 1×1 pixels"),
        ("bomb.png", bomb(), "pixels; the lab reads at most 50 million"),
        ("torn.png", png(Image.new("RGB", (64, 64)))[:60], "is broken"),
    ],
)
def test_an_upload_that_is_no_picture_is_one_sentence_and_the_app_survives(trained, open_page, name, content, sentence):
    app = open_page(trained)
    settled(app.file_uploader(key="upload").set_value((name, content, "image/png")).run())
    assert sentence in app.error[0].value
    settled(app.file_uploader(key="upload").set_value(None).run())
    assert not app.error
    assert rows(app) == 4


# archives as people have them


def test_runs_without_a_checkpoint(archive, open_page):
    app = open_page(archive)
    assert app.title[0].value == "None of the chosen runs kept a checkpoint."
    assert "--checkpoints" in app.caption[-1].value or any("--checkpoints" in each.value for each in app.caption)


def test_a_run_without_a_checkpoint_is_named(trained, open_page, tmp_path, record):
    root = Path(shutil.copytree(trained, tmp_path / "runs"))
    bare = record(root, family="residual", depth=20)
    app = open_page(root)
    assert any(bare.id in caption.value for caption in app.caption)
    assert rows(app) == 4


def test_an_empty_archive(tmp_path, open_page):
    assert open_page(tmp_path / "nothing").title[0].value == "Nothing is recorded here yet."


def test_no_run_chosen(trained, open_page):
    app = open_page(trained)
    settled(app.multiselect(key="runs").set_value([]).run())
    assert app.title[0].value == "No run is chosen."


def test_a_checkpoint_of_another_net_is_one_sentence_and_the_others_are_shown(trained, open_page, tmp_path):
    root = Path(shutil.copytree(trained, tmp_path / "runs"))
    by_name = {run.name: run for run in list_runs(root)}
    by_name["vgg-11"].checkpoint_path().write_bytes(by_name["plain-8"].checkpoint_path().read_bytes())
    app = open_page(root)
    assert any("holds weights of another net" in error.value for error in app.error)
    assert rows(app) == 3


def test_runs_on_other_images_are_named(trained, open_page, tmp_path, record):
    from labapp.config import Experiment
    from labapp.training.loop import train

    root = Path(shutil.copytree(trained, tmp_path / "runs"))
    train(
        Experiment(
            family="vgg", depth=11, width=2, imageset="digits", steps=1, batch_size=8, record="none", device="cpu"
        ),
        root,
    )
    app = open_page(root)
    assert any("saw other images" in caption.value for caption in app.caption)


def test_the_page_is_drawn_while_a_question_is_worked_on(trained, open_page, monkeypatch):
    import threading

    go = threading.Event()
    monkeypatch.setattr(asking, "IMAGES", 25)  # a survey that was not made yet
    block = background.ask(object(), lambda tell: go.wait(30), quick=False)  # somebody else's long question
    monkeypatch.setattr(background, "PATIENCE", 60)
    try:
        monkeypatch.setenv("LABAPP_RUNS", str(trained))
        app = AppTest.from_file(str(MAIN), default_timeout=60).run()
        app.switch_page(PAGE).run()
        assert app.title[0].value.startswith("In this image ")
        assert rows(app) == 4
        assert app.session_state["_looking"]
        settled_now = app.selectbox(key="method").set_value("layercam").run()
        assert not settled_now.exception
        assert rows(settled_now) == 4
    finally:
        go.set()
    assert background.wait([block], 5)
    assert "random net" in settled(app).title[0].value


# the sentence


def energies(**means):
    rows = [(run, net, mean) for run, nets in means.items() for net, mean in nets.items()]
    return pd.DataFrame(rows, columns=["run", "net", "mean"])


HERE = pd.DataFrame({"run": ["a", "b"], "energy": [0.2, 0.3]})


@pytest.mark.parametrize(
    ("energy", "here", "stage", "sentence"),
    [
        (
            energies(a={"trained": 0.712, "untrained": 0.24, "uniform": 0.13}, b={"trained": 0.5, "untrained": 0.1}),
            HERE,
            None,
            "a puts 71.2 % of its map's energy on the digit (random net 24 %, even map 13 %).",
        ),
        (
            energies(a={"trained": 0.712, "untrained": np.nan, "uniform": 0.13}),
            HERE,
            2,
            "a puts 71.2 % of its stage-2 map's energy on the digit (random net no value, even map 13 %).",
        ),
        (energies(), HERE, None, "In this image b puts 30 % of its map's energy on the digit."),
        (energies(), HERE.assign(energy=np.nan), None, "a and b look here; no mask says where they should."),
        (energies(), HERE.iloc[:0], None, "No net has looked yet."),
    ],
)
def test_where_does_each_net_look(energy, here, stage, sentence):
    assert gradcam.answer(energy, here, "digit", stage) == sentence
