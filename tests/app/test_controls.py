"""The slider over steps: what an address asks for, and how it goes with a run that trains."""

import pytest
from streamlit.testing.v1 import AppTest

from labapp.store import RunWriter
from tests.app.pages import texts

PAGE = """
import streamlit as st
from labapp import app
state = st.session_state
steps = state.get("steps", [0, 10, 20])
state["shown"] = app.step_slider(steps, "step", begin=state.get("begin"), live=state.get("live", False))
"""


def page(live: bool = False, **address: str | list[str]) -> AppTest:
    opened = AppTest.from_string(PAGE, default_timeout=20)
    opened.session_state["live"] = live
    for name, value in address.items():
        opened.query_params[name.replace("_", "-")] = value
    opened.run()
    assert not opened.exception
    return opened


def grow(opened: AppTest, *steps: int) -> int:
    opened.session_state["steps"] = list(steps)
    opened.run()
    assert not opened.exception
    return opened.session_state["shown"]


@pytest.mark.parametrize(
    ("asked", "step", "words"),
    [
        ("13", 10, "asks for step '13', which was not recorded; shown is step 10."),
        ("16", 20, "'16', which was not recorded; shown is step 20."),
        ("-4", 0, "'-4', which is none; shown is step 0."),
        ("999999999999", 20, "which was not recorded; shown is step 20."),
        ("9" * 5000, 20, "…', which is none; shown is step 20."),
        ("-" + "9" * 5000, 0, "…', which is none; shown is step 0."),
        ("last", 0, "'last', which is none; shown is step 0."),
        ("1e1", 0, "'1e1', which is none"),
        ("<b>", 0, "which is none"),
        ("", 0, "'', which is none"),
        (["10", "20"], 10, "'10, 20', which is none; shown is step 10."),
        (["x", "20"], 0, "'x, 20', which is none; shown is step 0."),
    ],
)
def test_a_step_that_is_none_is_the_nearest_and_a_sentence(asked, step, words):
    opened = page(step=asked)
    assert opened.session_state["shown"] == step
    (said,) = texts(opened)
    assert words in said.replace("\\", "")
    assert "\n" not in said
    other = 0 if step == 20 else 20
    opened.select_slider(key="step").set_value(other).run()
    assert (opened.session_state["shown"], texts(opened)) == (other, [])


@pytest.mark.parametrize("asked", ["0", "10", "20"])
def test_a_step_that_is_one_goes_without_saying(asked):
    for begin in (None, 20):
        opened = AppTest.from_string(PAGE)
        opened.session_state["begin"] = begin
        opened.query_params["step"] = asked
        opened.run()
        assert (opened.session_state["shown"], texts(opened)) == (int(asked), [])


def test_the_slider_goes_with_a_run_that_trains_until_it_is_moved():
    opened = page(live=True)
    assert opened.toggle(key="follow-step").value
    assert opened.session_state["shown"] == 20
    assert grow(opened, 0, 10, 20, 30) == 30
    opened.select_slider(key="step").set_value(10).run()
    assert not opened.toggle(key="follow-step").value
    assert grow(opened, 0, 10, 20, 30, 40) == 10
    opened.toggle(key="follow-step").set_value(True).run()
    assert opened.session_state["shown"] == 40
    assert grow(opened, 0, 10, 20, 30, 40, 50) == 50
    opened.session_state["live"] = False  # it has ended
    opened.run()
    assert opened.session_state["shown"] == 50
    assert not opened.toggle


def test_play_takes_hold_of_the_slider():
    opened = page(live=True)
    opened.button(key="play-step").click().run()
    assert not opened.toggle(key="follow-step").value
    opened.run()
    assert opened.session_state["shown"] == 10  # from the last step it begins anew, at the first


@pytest.mark.parametrize(
    ("address", "follows", "step"),
    [
        ({"step": "10"}, False, 10),  # whoever sends a step means that step
        ({"follow_step": "true"}, True, 20),
        ({"follow_step": "true", "step": "10"}, True, 20),
        ({"follow_step": "false"}, False, 0),
        ({"follow_step": "perhaps"}, False, 0),
    ],
)
def test_the_address_says_whether_it_follows(address, follows, step):
    opened = page(live=True, **address)
    assert (opened.toggle(key="follow-step").value, opened.session_state["shown"]) == (follows, step)
    assert grow(opened, 0, 10, 20, 30) == (30 if follows else step)


def test_of_a_run_that_has_ended_nothing_is_followed():
    opened = page(follow_step="true", step="10")
    assert opened.session_state["shown"] == 10
    assert not opened.toggle


def test_a_run_that_has_recorded_one_step_is_followed_from_there():
    opened = AppTest.from_string(PAGE)
    opened.session_state["live"], opened.session_state["steps"] = True, [0]
    opened.run()
    assert grow(opened, 0, 10) == 10


def test_a_page_goes_with_a_run_that_trains(record, open_page, tmp_path):
    run = record(tmp_path, steps=300, recorded=(0, 10), status=None)
    app = open_page(tmp_path, "gradient_flow")
    app.multiselect(key="runs").set_value([run.id]).run()
    assert app.select_slider(key="step").value == 10
    assert app.toggle(key="follow-step").value
    rows = run.layers(steps=10)
    writer = RunWriter(run.path, from_step=11)
    writer.write("layers", {name: list(rows[name]) for name in rows} | {"step": 20})
    writer.flush()
    app.run()
    assert not app.exception
    assert app.select_slider(key="step").value == 20
