"""The slider over steps: what an address asks for, and how it goes with a run that trains."""

import itertools
from collections.abc import Iterable

import pytest
from streamlit.testing.v1 import AppTest

from labapp.app.controls import FRAMES, MANY, offered
from labapp.store import RunWriter
from tests.app.pages import texts

PAGE = """
import streamlit as st
from labapp import app
state = st.session_state
steps = state.get("steps", [0, 10, 20])
state["shown"] = app.step_slider(steps, "step", begin=state.get("begin"), live=state.get("live", False))
"""


def page(live: bool = False, steps: Iterable[int] = (0, 10, 20), **address: str | list[str]) -> AppTest:
    opened = AppTest.from_string(PAGE, default_timeout=60)
    opened.session_state["live"], opened.session_state["steps"] = live, list(steps)
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
    assert opened.toggle[0].value
    assert opened.session_state["shown"] == 20
    assert grow(opened, 0, 10, 20, 30) == 30
    opened.select_slider(key="step").set_value(10).run()
    assert not opened.toggle[0].value
    assert grow(opened, 0, 10, 20, 30, 40) == 10
    opened.toggle[0].set_value(True).run()
    assert opened.session_state["shown"] == 40
    assert grow(opened, 0, 10, 20, 30, 40, 50) == 50
    opened.session_state["live"] = False  # it has ended, since the last look
    assert grow(opened, 0, 10, 20, 30, 40, 50, 60) == 60
    assert not opened.toggle
    opened.select_slider(key="step").set_value(20).run()
    opened.run()
    assert opened.session_state["shown"] == 20


def test_play_takes_hold_of_the_slider():
    opened = page(live=True)
    opened.button(key="play-step").click().run()
    assert not opened.toggle[0].value
    opened.run()
    assert opened.session_state["shown"] == 10  # from the last step it begins anew, at the first


@pytest.mark.parametrize("asked", [None, "10", "13", "last"])
def test_an_address_without_a_step_follows_and_one_with_a_step_stays(asked):
    opened = page(live=True, **({} if asked is None else {"step": asked}))
    step = {None: 20, "10": 10, "13": 10, "last": 0}[asked]
    assert (opened.toggle[0].value, opened.session_state["shown"]) == (asked is None, step)
    assert grow(opened, 0, 10, 20, 30) == (30 if asked is None else step)
    assert grow(opened, 0, 10, 20, 30, 40) == (40 if asked is None else step)


def test_the_address_holds_a_step_from_when_it_is_held():
    opened = page(live=True)
    grow(opened, 0, 10, 20, 30)
    assert "step" not in opened.query_params
    opened.toggle[0].set_value(False).run()
    assert opened.session_state["shown"] == 30
    assert opened.query_params["step"] in ("30", ["30"])
    assert grow(opened, 0, 10, 20, 30, 40) == 30
    opened.toggle[0].set_value(True).run()
    assert opened.session_state["shown"] == 40
    grow(opened, 0, 10, 20, 30, 40, 50)
    assert "step" not in opened.query_params


def test_a_browser_that_is_late_takes_no_hold():
    """Drawn again before it has heard of the last step, it says the one before; so does one that is slower still."""
    opened = page(live=True)
    grow(opened, 0, 10, 20, 30)
    opened.session_state["_archive"] = object()  # the whole page is drawn again, by itself
    opened.run()
    for late, last in ((20, 40), (20, 50), (30, 60)):
        opened.session_state["steps"] = list(range(0, last + 1, 10))
        opened.select_slider(key="step").set_value(late).run()
        assert opened.toggle[0].value
        assert opened.session_state["shown"] == last
    opened.run()  # it has heard
    opened.run()
    opened.select_slider(key="step").set_value(50).run()  # which somebody asks for
    assert not opened.toggle[0].value
    assert opened.session_state["shown"] == 50


HEARING = """
import streamlit as st
from labapp.app.following import following, lead, moved
state = st.session_state
following("step")
state["step"] = 20
lead("step", 30)
for said in state["said"]:  # without the slider being drawn, as when the page looks whether there is something new
    state["step"] = said
    moved("step")
state["on"] = following("step").on
"""


@pytest.mark.parametrize(
    ("said", "on"),
    [((20, 30), True), ((20, 20, 30, 30), True), ((30,), True), ((20, 30, 10), False), ((20, 10), False)],
)
def test_nor_does_one_that_says_the_last_step_after_the_one_before(said, on):
    opened = AppTest.from_string(HEARING)
    opened.session_state["said"] = said
    opened.run()
    assert not opened.exception
    assert opened.session_state["on"] == on


def test_of_a_run_that_has_ended_nothing_is_followed():
    opened = page(step="10")
    assert opened.session_state["shown"] == 10
    assert not opened.toggle


def test_a_run_that_has_recorded_one_step_is_followed_from_there():
    opened = AppTest.from_string(PAGE)
    opened.session_state["live"], opened.session_state["steps"] = True, [0]
    opened.run()
    assert grow(opened, 0, 10) == 10


STEPS = {
    "each": range(10_000),
    "every tenth and the last": [*range(0, 9_999, 10), 9_999],
    "dense at the start": sorted({round(1.01**at) for at in range(2000)}),
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_of_many_steps_a_share_is_offered_and_each_is_reached(steps):
    steps = list(steps)
    assert len(steps) > 2 * MANY
    opened = page(step=str(steps[777]), steps=steps)
    slider = opened.select_slider(key="step")
    assert opened.session_state["shown"] == steps[777]  # by the address
    assert len(slider.options) <= MANY
    for at in (778, 779, 778, len(steps) - 2, len(steps) - 1, 0, 1):  # its neighbours, as by arrow keys; and its ends
        slider = opened.select_slider(key="step")
        assert {str(steps[0]), str(steps[-1])} <= set(slider.options) <= set(map(str, steps))
        if str(steps[at]) not in slider.options:
            slider.set_value(steps[-1]).run()
            slider = opened.select_slider(key="step")
        slider.set_value(steps[at]).run()
        assert opened.session_state["shown"] == steps[at]
    opened.button(key="play-step").click().run()
    shown = [opened.session_state["shown"]]
    while shown[-1] != steps[-1]:  # by Play, evenly
        opened.run()
        shown.append(opened.session_state["shown"])
    assert {steps.index(after) - steps.index(before) for before, after in itertools.pairwise(shown[:-1])} == {
        len(steps) // FRAMES
    }


def test_a_few_steps_are_offered_all():
    assert offered(range(0, 2 * MANY, 2), 0) == list(range(0, 2 * MANY, 2))


def test_what_was_offered_before_is_still_offered_to_a_browser_that_is_late():
    opened = page(step="5005", steps=range(10_000))
    opened.select_slider(key="step").set_value(2048).run()
    opened.select_slider(key="step").set_value(5011).run()  # seen beside 5005 and asked for before 2048 was drawn
    assert opened.session_state["shown"] == 5011


def test_of_a_run_that_grows_what_is_offered_stays():
    """So a slider that somebody drags keeps still."""
    for count in (901, 1001, 1500, 1760):  # 220 times 4, to 220 times 8
        assert set(range(0, 900, 8)) <= set(offered(range(count), 8))
        assert set(offered(range(900), 8)) <= {*offered(range(count), 8), 899}
    assert set(offered(range(0, 1761), 8)) & set(range(100, 1700)) == set(range(112, 1700, 16))


def test_a_page_goes_with_a_run_that_trains(record, open_page, tmp_path):
    run = record(tmp_path, steps=300, recorded=(0, 10), status=None)
    app = open_page(tmp_path, "gradient_flow")
    app.multiselect(key="runs").set_value([run.id]).run()
    assert app.select_slider(key="step").value == 10
    assert app.toggle[0].value
    rows = run.layers(steps=10)
    writer = RunWriter(run.path, from_step=11)
    writer.write("layers", {name: list(rows[name]) for name in rows} | {"step": 20})
    writer.flush()
    app.run()
    assert not app.exception
    assert app.select_slider(key="step").value == 20
