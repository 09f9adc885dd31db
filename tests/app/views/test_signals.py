"""The Signals page on real small runs."""

import pytest

from labapp import palette
from labapp.store import list_runs
from tests.app.pages import choose, count_charts, drawn, named, texts


def test_signals_open_in_the_middle_of_training_with_six_small_multiples(probed, open_page):
    app = open_page(probed, "signals")
    assert app.title[0].value.startswith("At step 2 layers respond with a standard deviation ")
    table = named(probed, "plain-8").layers(where={"kind": "norm"}, steps=2)
    low, high = (palette.number(value) for value in (table["output_std"].min(), table["output_std"].max()))
    assert f"{f'from {low} to {high}' if low != high else f'of {low}'} in plain-8" in app.title[0].value
    assert count_charts(app) == 6
    assert app.select_slider(key="step").options == ["0", "2", "4"]


def test_what_is_drawn_follows_the_slider(probed, open_page):
    app = open_page(probed, "signals")
    run = named(probed, "residual-8")
    for step in (2, 4, 0):
        app.select_slider(key="step").set_value(step).run()
        rows = drawn(app).query("run == 'residual-8'").set_index("layer")["value"]
        recorded = run.layers(where={"kind": "norm"}, steps=step).set_index("layer")["output_std"]
        assert len(rows) == 7
        assert rows.to_dict() == pytest.approx(recorded[rows.index].to_dict(), rel=1e-6)


def test_signals_open_where_the_rate_is_in_force(probed, open_page):
    for run in list_runs(probed):
        rates = run.steps(columns=["step", "learning_rate"]).set_index("step")["learning_rate"]
        assert rates[2] > 0.5 * run.experiment.learning_rate
    app = open_page(probed, "signals")
    (healthy,) = (text for text in texts(app) if "layers at a healthy pace" in text)
    assert healthy.endswith(f"at {palette.percent(rates[2] / 0.1)} of the full learning rate")
    app.select_slider(key="step").set_value(0).run()
    assert any(text.endswith(f"at {palette.percent(rates[0] / 0.1)} of the full learning rate") for text in texts(app))


def test_a_run_that_recorded_other_steps_is_left_out_and_named(open_page, record, tmp_path):
    record(tmp_path, recorded=(0, 10, 30), steps=31, nan_from=0, status="diverged")
    record(tmp_path, recorded=(0, 29), steps=31, nan_from=0, status="diverged", seed=1)
    app = open_page(tmp_path, "signals", step="30")
    assert "Shown at their nearest recorded step: plain-20 (seed 1) at step 29." in texts(app)
    app.select_slider(key="step").set_value(10).run()
    assert "Left out, not recorded within 10 % of step 10: plain-20 (seed 1) (nearest step 0)." in texts(app)


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
    assert app.title[0].value.endswith(" no layer of the chosen runs has a finite response.")


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
