"""The Grad-CAM page on real small runs."""

import time

import pytest

from labapp.app import background, questions
from labapp.app.questions import STRIP
from labapp.store import list_runs
from tests.app.pages import grid, rows, settled


def test_the_page_begins_with_the_answer(trained, open_gradcam):
    app = open_gradcam(trained)
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


def test_the_energy_of_the_answer_is_that_of_the_table(trained, open_gradcam):
    app = open_gradcam(trained)
    many = app.dataframe[1].value.set_index("run")
    best = app.title[0].value.removeprefix("At its last checkpoint ").split(" puts ")[0]
    said = float(app.title[0].value.split(" puts ")[1].split(" %")[0])
    means = many["trained"].str.split(" ").str[0].replace("–", "nan").astype(float)
    assert means.idxmax() == best
    assert means.max() == pytest.approx(said, abs=0.051)


def test_another_image_by_its_button_and_by_its_number(trained, open_gradcam):
    app = open_gradcam(trained)
    before = grid(app)
    assert not [column for column in app.columns if column.weight < 0.2]  # twelve columns would not fold on a phone
    settled(app.button(key="pick-4").click().run())
    assert app.number_input(key="image").value == 4
    assert grid(app) != before
    settled(app.number_input(key="image").set_value(0).run())
    assert grid(app) == before


def test_every_picture_comes_with_the_page_and_is_never_asked_for_when_it_was_left(trained, open_gradcam):
    strips = [each.proto.imgs for each in open_gradcam(trained).get("image")]
    assert len(strips) == STRIP
    assert all(
        picture.url.startswith("data:image/png;base64,") and picture.alt for strip in strips for picture in strip
    )


def test_an_image_that_the_set_does_not_have(trained, open_gradcam):
    app = open_gradcam(trained, image="500")
    assert app.title[0].value == "This picture cannot be looked at."
    assert "has 120, from 0 on" in app.error[0].value
    settled(app.number_input(key="image").set_value(1).run())
    assert rows(app) == 4


@pytest.mark.parametrize(
    ("columns", "header"), [("depths", "last block"), ("blocks", ">3<"), ("checkpoints", "step 30")]
)
def test_columns(trained, open_gradcam, columns, header):
    app = open_gradcam(trained)
    settled(app.segmented_control(key="columns").set_value(columns).run())
    assert header in grid(app)
    assert rows(app) == 4
    assert len(app.get("vega_lite_chart")) == (2 if columns == "checkpoints" else 1)  # how the map forms


def test_over_checkpoints_all_maps_speak_of_the_class_predicted_in_the_end(trained, open_gradcam):
    app = open_gradcam(trained)
    app.segmented_control(key="columns").set_value("checkpoints")
    settled(app.selectbox(key="class").set_value("predicted").run())
    assert rows(app) == 4
    assert "says" not in grid(app)  # what stands under the image is of the last checkpoint


def test_method_class_scale_and_opacity(trained, open_gradcam):
    app = open_gradcam(trained)
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


def test_a_method_that_reads_the_image_has_one_column(trained, open_gradcam):
    app = open_gradcam(trained)
    settled(app.selectbox(key="method").set_value("saliency").run())
    assert "at the image" in grid(app)
    assert "stage 1" not in grid(app)


def test_the_stage_of_the_answer(trained, open_gradcam):
    app = open_gradcam(trained)
    settled(app.selectbox(key="stage").set_value(1).run())
    assert "of its stage-1 map's energy" in app.title[0].value
    assert set(app.dataframe[1].value["layer"]) >= {"stage1.block1", "block1"}


def test_play_goes_through_the_checkpoints_and_stops(trained, open_gradcam):
    app = open_gradcam(trained)
    steps = list_runs(trained)[0].checkpoints()
    assert app.select_slider(key="checkpoint").value == steps[-1]
    app.button(key="play-checkpoint").click().run()
    seen = [app.select_slider(key="checkpoint").value]
    end = time.monotonic() + 150
    while time.monotonic() < end:
        if not app.session_state["_playing-checkpoint"] and not app.session_state["_looking"]:
            break
        time.sleep(0.05)
        app.run()
        seen.append(app.select_slider(key="checkpoint").value)
    assert list(dict.fromkeys(seen)) == steps
    assert app.button(key="play-checkpoint").label == "Play"


def test_faithfulness_is_scored_when_asked_for(trained, open_gradcam):
    app = open_gradcam(trained)
    assert "deletion" not in app.dataframe[0].value
    settled(app.toggle(key="faithful").set_value(True).run())
    scores = app.dataframe[0].value
    assert scores[["deletion", "insertion", "infidelity"]].notna().all().all()


def test_the_page_is_drawn_while_a_question_is_worked_on(trained, open_page, monkeypatch):
    import threading

    go = threading.Event()
    monkeypatch.setattr(questions, "IMAGES", 25)  # a survey that was not made yet
    block = background.ask(object(), lambda tell: go.wait(30), quick=False)  # somebody else's long question
    monkeypatch.setattr(background, "PATIENCE", 60)
    try:
        app = open_page(trained, "gradcam")
        assert app.title[0].value.startswith("In this image, at step 30, ")
        assert rows(app) == 4
        assert app.session_state["_looking"]
        settled_now = app.selectbox(key="method").set_value("layercam").run()
        assert not settled_now.exception
        assert rows(settled_now) == 4
    finally:
        go.set()
    assert background.wait([block], 5)
    assert "random net" in settled(app).title[0].value


def test_how_pixels_are_read_changes_the_maps_and_back(trained, open_gradcam):
    app = open_gradcam(trained)
    before = grid(app)
    settled(app.text_input(key="pixel-mean").set_value("0.1 0.9 0.5").run())
    read = grid(app)
    assert read != before
    settled(app.text_input(key="pixel-deviation").set_value("0.05").run())
    assert grid(app) not in (before, read)
    settled(app.text_input(key="pixel-mean").set_value("").run())
    settled(app.text_input(key="pixel-deviation").set_value("").run())
    assert grid(app) == before


def test_numbers_that_cannot_be_read_are_told(trained, open_gradcam):
    app = open_gradcam(trained)
    cases = [("half", "", "no number"), ("0.1 0.2", "", "mean has 2 values for 3 channels"), ("", "0", "above 0")]
    for mean, deviation, sentence in cases:
        app.text_input(key="pixel-mean").set_value(mean)
        settled(app.text_input(key="pixel-deviation").set_value(deviation).run())
        assert any(sentence in error.value for error in app.error), sentence
