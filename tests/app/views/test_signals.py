"""The Signals page on real small runs."""

import pytest

from labapp import palette
from tests.app.pages import choose, count_charts, named, texts


def test_signals_show_six_small_multiples_of_the_last_step(probed, open_page):
    app = open_page(probed, "signals")
    assert app.title[0].value.startswith("At step 4 layers respond with a standard deviation ")
    table = named(probed, "plain-8").layers(where={"kind": "norm"}, steps=4)
    low, high = (palette.number(value) for value in (table["output_std"].min(), table["output_std"].max()))
    assert f"{f'from {low} to {high}' if low != high else f'of {low}'} in plain-8" in app.title[0].value
    assert count_charts(app) == 6
    assert app.select_slider(key="step").options == ["0", "2", "4"]


def test_the_step_of_signals_is_part_of_the_address(probed, open_page):
    app = open_page(probed, "signals", step="2")
    assert app.title[0].value.startswith("At step 2 ")
    app.select_slider(key="step").set_value(0).run()
    assert app.title[0].value.startswith("At step 0 ")


def test_signals_of_a_plain_net_say_that_it_has_no_shortcut(probed, open_page):
    app = choose(open_page(probed, "signals"), named(probed, "plain-8"))
    assert count_charts(app) == 4
    assert texts(app).count("Only residual nets have a branch and a shortcut; none is chosen.") == 2


def test_play_goes_through_the_steps_of_signals_and_stops(probed, open_page):
    app = open_page(probed, "signals", step="0")
    app.button(key="play-step").click().run()
    seen = [app.select_slider(key="step").value]
    for _ in range(3):
        app.run()
        seen.append(app.select_slider(key="step").value)
    assert seen == sorted(seen)
    assert seen[-1] == 4
    assert app.button(key="play-step").label == "Play"


@pytest.mark.parametrize("nan_from", [0, 15])
def test_signals_of_a_diverged_run(open_page, record, tmp_path, nan_from):
    record(tmp_path, nan_from=nan_from, status="diverged")
    app = open_page(tmp_path, "signals")
    last = "At step 30 no layer of the chosen runs has a finite response."
    assert app.title[0].value == last


@pytest.mark.parametrize("layers", [0, 1])
def test_signals_of_a_net_of_hardly_any_layers(open_page, record, tmp_path, layers):
    record(tmp_path, layers=layers)
    assert open_page(tmp_path, "signals").title[0].value


def test_theory_is_said_at_step_0_only(probed, open_page):
    app = open_page(probed, "signals", step="0")
    (said,) = (text for text in texts(app) if text.startswith("Dots:"))
    assert "of dead channels and updates it says nothing" in said
    assert "transition of dense-10" in said
    app.select_slider(key="step").set_value(2).run()
    assert not [text for text in texts(app) if text.startswith("Dots:")]
