"""The Gradient flow page."""

import pytest

from tests.app.pages import count_charts, go

GRADIENTS = "gradient_flow"


def test_gradient_flow_begins_with_the_answer(archive, open_page):
    app = open_page(archive, GRADIENTS)
    assert app.title[0].value == (
        "At step 0 the gradient grows 1.20× a layer towards the input in plain-56 (theory 1.21×); in residual-56 1.06×."
    )
    assert count_charts(app) == 3 + 5  # profile, slope, colour bar, and a heatmap a run


def test_the_step_slider_moves_the_answer(archive, open_page):
    app = open_page(archive, GRADIENTS)
    assert app.select_slider(key="step").options == ["0", "10", "20"]
    app.select_slider(key="step").set_value(20).run()
    assert not app.exception
    assert app.title[0].value.startswith("At step 20 the gradient grows 1.20× a layer")
    assert "theory" not in app.title[0].value


def test_a_shared_address_opens_the_same_view(archive, open_page):
    app = open_page(archive, step="10", scale="relative to last layer", gradient="weights")
    go(app, GRADIENTS)
    assert app.title[0].value.startswith("At step 10 the weights' gradient")


@pytest.mark.parametrize(("key", "value"), [("gradient", "weights"), ("scale", "relative to last layer")])
def test_controls_change_what_is_drawn(archive, open_page, key, value):
    app = open_page(archive, GRADIENTS)
    app.segmented_control(key=key).set_value(value).run()
    assert not app.exception
    assert count_charts(app) == 8


def test_layer_kinds_are_those_of_the_runs(archive, open_page):
    app = open_page(archive, GRADIENTS)
    assert app.selectbox(key="layers").options == ["convolutions", "normalisations"]
    app.selectbox(key="layers").set_value("norm").run()
    assert not app.exception


def test_play_goes_through_the_steps_and_stops(archive, open_page):
    app = open_page(archive, GRADIENTS)
    app.button(key="play-step").click().run()
    assert not app.exception
    seen = [app.select_slider(key="step").value]
    for _ in range(4):
        app.run()
        seen.append(app.select_slider(key="step").value)
    assert seen[-1] == 20
    assert seen == sorted(seen)
    assert app.button(key="play-step").label == "Play"
    app.button(key="play-step").click().run()  # again from the beginning
    assert app.select_slider(key="step").value == 0
