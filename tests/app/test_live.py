"""What of a live page is drawn again, and when; and that a browser can keep its charts."""

import inspect
import sys
from types import SimpleNamespace

import pytest
from streamlit.runtime import Runtime
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.session_manager import SessionManager
from streamlit.testing.v1 import AppTest

from labapp.app.live import BROWSER, PACE, PASS, RARE, SHARE, SLOWEST, Watched, rarely
from labapp.config import Experiment, LabError
from labapp.store import RunWriter
from labapp.training.loop import train

PAGE = """
import streamlit as st
from labapp.app.live import begin, live, look
from labapp.store import Run
state = st.session_state
begin()
run = Run(state["run"])
def draw(name):
    state.setdefault("drawn", []).append(name)
    st.caption(name)
for name, tables in {"layers": ("layers",), "evals": ("evals",), "all": ()}.items():
    live(draw, name, [run], tables)(name)
st.fragment(look, key="look")()
st.button("Look", on_click=lambda: st.rerun("look"))
"""


def test_only_what_changed_is_drawn_and_what_was_drawn_is_paid_for():
    now = {"a": 1, "b": 1}
    watched = Watched({name: (lambda name=name: now[name], 1) for name in now}, spent=0.3, since=100.0)
    now["b"] = 2
    wait = (0.3 * (1 + BROWSER) + PASS) / SHARE
    assert watched.due(100.0 + PACE) == []
    assert watched.every == SLOWEST  # no look can lead to anything before
    assert watched.due(95.0 + wait) == []
    assert watched.every == 5.0
    assert watched.due(101.0 + wait) == ["b"]
    assert (watched.spent, watched.since) == (0.0, 101.0 + wait)
    assert watched.due(102.0 + wait) == []  # its drawing is yet to come
    watched.states["b"] = watched.states["b"][0], 2
    assert watched.due(1e6) == []


def test_what_changes_with_each_row_is_told_rarely_and_the_rest_at_once(monkeypatch):
    now, said = {"rows": 0, "stand": "running"}, [1000.0]
    monkeypatch.setattr(sys.modules[Watched.__module__], "time", SimpleNamespace(monotonic=lambda: said[0]))
    state = rarely(lambda: now["rows"], lambda: now["stand"])
    first = state()
    now["rows"] = 1
    said[0] += RARE - 1
    assert state() == first
    now["stand"] = "finished"
    second = state()
    assert second != first
    now["rows"] = 2
    assert state() == second
    said[0] += RARE
    assert state() != second


def test_a_part_whose_run_is_gone_is_drawn_once_so_that_it_says_so():
    def gone():
        raise LabError("there is no run")

    watched = Watched({"a": (gone, "here")}, since=0.0)
    assert watched.due(10.0) == ["a"]
    watched.states["a"] = gone, "there is no run"
    assert watched.due(20.0) == []


def test_a_look_draws_the_parts_whose_rows_changed(record, tmp_path):
    run = record(tmp_path, recorded=(0, 10), status=None)
    app = AppTest.from_string(PAGE, default_timeout=20)
    app.session_state["run"] = str(run.path)
    writer = RunWriter(run.path, from_step=11)
    for written, parts in (("", []), ("evals", ["evals", "all"]), ("layers", ["layers", "all"])):
        app.run()
        if written:
            rows = run.table(written)
            writer.write(written, {name: list(rows[name]) for name in rows} | {"step": [20] * len(rows)})
            writer.flush()
        app.session_state["drawn"] = []
        app.session_state["_watched"].since = -1e9  # long ago
        app.button[0].click().run()
        assert not app.exception
        assert app.session_state["drawn"] == parts
    writer.finish()


def test_of_a_run_that_has_ended_nothing_is_watched(record, tmp_path):
    app = AppTest.from_string(PAGE, default_timeout=20)
    app.session_state["run"] = str(record(tmp_path, recorded=(0, 10)).path)
    app.run()
    assert app.session_state["drawn"] == ["layers", "evals", "all"]
    assert app.session_state["_watched"].states == {}


def charts(app):
    return [each.proto for each in app.get("vega_lite_chart")]


def described(app):
    """Each chart as a browser compares it: without its rows, whose names go with their content."""
    found = []
    for each in charts(app):
        spec = each.spec
        for number, rows in enumerate(each.datasets):
            spec = spec.replace(rows.name, f"rows-{number}")
        found.append((spec, each.alt))
    return found


def rows_of(app):
    return [[part.data.data for part in each.datasets] for each in charts(app)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What a real net recorded at two steps, and its places."""
    small = {"steps": 2, "batch_size": 16, "train_images": 160, "test_images": 60, "checkpoints": 0, "device": "cpu"}
    net = Experiment(family="residual", depth=8, width=4, record_every=1, eval_every=2, **small)
    run = train(net, tmp_path_factory.mktemp("rows"))
    layers = run.layers()
    return net.but(steps=300), run.layers_info, [own.drop(columns="step") for _, own in layers.groupby("step")]


@pytest.mark.parametrize("page", [None, "gradient_flow", "signals"])
def test_a_browser_keeps_the_charts_of_a_run_that_trains(rows, open_page, tmp_path, page):
    """Rows within the ends of the axes change rows alone, not what describes a chart, nor its words."""
    net, places, recorded = rows
    with RunWriter.create(tmp_path, net) as writer:
        writer.describe(places, {})

        def write(step, own, loss):
            writer.write("layers", {name: list(own[name]) for name in own} | {"step": [step] * len(own)})
            writer.write("steps", {"step": [step], "loss": [loss], "accuracy": [0.5], "learning_rate": [0.1]})

        for step, own, loss in ((0, recorded[0], 2.0), (140, recorded[1], 0.5), (290, recorded[0], 1.0)):
            write(step, own, loss)
        writer.write("evals", {"step": [0, 290], "split": "test", "loss": [2.0, 1.0], "accuracy": [0.1, 0.9]})
        writer.flush()
        app = open_page(tmp_path, page)
        before, drawn = described(app), rows_of(app)
        write(296, recorded[1], 0.9)
        writer.flush()
        app.run()
        assert not app.exception
        assert described(app) == before
        changed = [one != other for one, other in zip(rows_of(app), drawn, strict=True)]
        assert sum(changed) > (len(changed) - 1) / 2  # but of evaluations there are none new


def test_what_is_waited_for_is_called_so_by_this_streamlit():
    """Its inner names, without which nothing would be waited for."""
    session, server = inspect.getsource(AppSession), inspect.getsource(Runtime)
    for name, source in (("_browser_queue", session), ("_event_loop", session), ("_session_mgr", server)):
        assert f"self.{name} = " in source
    assert ForwardMsgQueue().is_empty()
    assert callable(SessionManager.get_session_info)
