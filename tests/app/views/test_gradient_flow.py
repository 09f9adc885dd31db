"""The Gradient flow page."""

import json

import numpy as np
import pyarrow as pa
import pytest

from tests.app.pages import count_charts, drawn, go

GRADIENTS = "gradient_flow"


def test_gradient_flow_begins_with_the_answer(archive, open_page):
    app = open_page(archive, GRADIENTS)
    assert app.title[0].value == (
        "At step 0 the gradient grows 1.20× a layer towards the input in plain-56 (theory 1.19×); "
        "in residual-56 1.06× (theory 1.06×)."
    )
    assert count_charts(app) == 3 + 5  # profile, slope, colour bar, and a heatmap a run


def test_the_step_slider_moves_the_answer(archive, open_page):
    app = open_page(archive, GRADIENTS)
    assert app.select_slider(key="step").options == ["0", "10", "20"]
    app.select_slider(key="step").set_value(20).run()
    assert not app.exception
    assert app.title[0].value.startswith("At step 20 the gradient grows 1.20× a layer")
    assert "theory" not in app.title[0].value


def test_what_is_drawn_follows_the_slider_and_the_scale(archive, open_page):
    app = open_page(archive, GRADIENTS)
    for step in (0, 10, 20):
        app.select_slider(key="step").set_value(step).run()
        rows = drawn(app).query("run == 'plain-56'")
        assert set(drawn(app)["step"]) == {step}
        assert len(rows) == 55
        expected = 1.2 ** (55 - rows["depth"]) / (1 + step)  # see `record_run`
        np.testing.assert_allclose(rows["value"], expected, rtol=1e-6)  # float32 on disk
    app.segmented_control(key="scale").set_value("relative to last layer").run()
    rows = drawn(app)
    last = rows.loc[rows.groupby("run")["depth"].idxmax()]
    assert last["value"].tolist() == [1.0] * 5
    first = rows.query("run == 'plain-56' and depth == 1")["value"].item()
    assert first == pytest.approx(1.2**54, rel=1e-6)


def dots(app):
    """The runs of the profile's theory, and its first values."""
    spec = json.loads(app.get("vega_lite_chart")[0].proto.spec)
    lines = [layer for layer in spec["layer"] if layer["mark"].get("strokeDash") == [0, 7]]
    names = [layer.get("data", spec["data"])["name"] for layer in lines]
    held = {data.name: data.data.data for data in app.get("vega_lite_chart")[0].proto.datasets}
    return [pa.ipc.open_stream(held[name]).read_pandas() for name in names]


def test_theory_stands_beside_every_run_at_step_0_and_nowhere_else(archive, open_page):
    app = open_page(archive, GRADIENTS)
    (rows,) = dots(app)
    assert set(rows["run"]) == {"plain-20", "plain-56", "residual-20", "residual-56"}
    said = next(caption.value for caption in app.caption if caption.value.startswith("Dots:"))
    assert "counted from the last layer's value" in said
    assert (
        "Theory has nothing to say about dense-40: its layers are not called" in said
    )  # no real net, see `record_run`
    for step in (10, 20):
        app.select_slider(key="step").set_value(step).run()
        assert dots(app) == []
        assert not [caption for caption in app.caption if "theory" in caption.value.lower()]
    app.select_slider(key="step").set_value(0).run()
    assert len(dots(app)) == 1


@pytest.mark.parametrize(
    ("key", "value", "reason"), [("gradient", "weights", "that of weights depends on"), ("layers", "norm", "")]
)
def test_where_theory_is_silent_the_page_says_why(archive, open_page, key, value, reason):
    app = open_page(archive, GRADIENTS)
    control = app.segmented_control(key=key) if key == "gradient" else app.selectbox(key=key)
    control.set_value(value).run()
    assert len(dots(app)) == (reason == "")
    assert any(reason in caption.value for caption in app.caption)


def test_of_nets_that_theory_does_not_know_it_says_so(record, tmp_path, open_page):
    record(tmp_path, norm="group")
    app = open_page(tmp_path, GRADIENTS)
    assert dots(app) == []
    assert any(
        "Theory has nothing to say about plain-20 (group norm): it needs many channels" in caption.value
        for caption in app.caption
    )


def test_a_run_that_began_to_record_later_has_no_theory(record, tmp_path, open_page):
    record(tmp_path, recorded=(10, 20))
    app = open_page(tmp_path, GRADIENTS)
    assert app.title[0].value.startswith("At step 10 ")
    assert dots(app) == []


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
