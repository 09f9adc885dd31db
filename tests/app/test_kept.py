"""What a page need not make again: the first screen, as long as its runs are as they were; and never longer."""

import json
import subprocess
import sys

import altair as alt
import pandas as pd
import vl_convert

from labapp import charts, frames
from labapp.app import archive as archives
from labapp.app import tables
from labapp.app.views import overview
from labapp.charts.files import ON_CANVAS, UNTOLD
from labapp.store import Run, label_run, list_runs
from tests.app.pages import choose, go


def test_a_page_that_is_drawn_again_makes_nothing_anew(archive, open_page, monkeypatch):
    made = []
    monkeypatch.setattr(
        "labapp.charts.loss_chart", lambda *given, real=charts.loss_chart: made.append(1) or real(*given)
    )
    app = open_page(archive)
    before = [app.title[0].value, *(each.proto.spec for each in app.main.get("vega_lite_chart"))]
    app.run()
    go(app, "signals")
    go(app, "overview")
    open_page(archive)  # another visitor
    assert made == [1]
    assert [app.title[0].value, *(each.proto.spec for each in app.main.get("vega_lite_chart"))] == before
    choose(app, list_runs(archive)[0])
    assert made == [1, 1]


def test_what_was_made_of_runs_is_made_anew_when_anything_of_them_changes(archive):
    def ask(what="it"):
        return tables.made_of(what, [Run(archive / one)], lambda runs: made.append(runs) or len(made))

    made, one = [], list_runs(archive)[0].id
    assert [ask(), ask()] == [1, 1]
    assert ask("another") == 2
    label_run(archive, one, name="mine")  # what it is called
    assert [ask(), ask()] == [3, 3]
    table = Run(archive / one).evals()
    Run(archive / one).write_probe("own", 0, table)  # what lies in its folder
    assert [ask(), ask()] == [4, 4]
    text = (archive / one / "run.json").read_text()
    (archive / one / "run.json").write_text(text.replace('"finished"', '"stopped"', 1))  # how it stands
    assert [ask(), ask()] == [5, 5]
    assert tables.made_of("it", [], lambda runs: "none") == "none"


def test_the_first_screen_is_there_before_the_first_visitor(archive, open_page, monkeypatch):
    monkeypatch.setenv("LABAPP_RUNS", str(archive))
    made = []
    monkeypatch.setattr(
        "labapp.charts.loss_chart", lambda *given, real=charts.loss_chart: made.append(1) or real(*given)
    )
    overview.prepare(archives.first_runs())
    assert made == [1]
    open_page(archive)
    assert made == [1]


def test_the_server_has_the_modules_of_its_first_page_and_says_nothing_of_it():
    code = (
        "import sys, labapp.app.serving; print(*({'altair', 'pandas', 'labapp.app.views.overview'} - {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_a_chart_is_described_once_and_as_it_would_be_each_time():
    rows = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, float("nan")]})
    chart = alt.Chart(rows).mark_line().encode(x="x:Q", y="y:Q")
    kept = charts.Unchecked(chart)
    first = kept.to_dict()
    first["width"] = 1  # whoever draws it may add to it
    whole = chart.to_dict()
    assert kept.to_dict() == whole | {"usermeta": ON_CANVAS, "config": whole["config"] | UNTOLD}


def test_on_a_canvas_no_mark_is_put_into_words(archive):
    cells = frames.gradient_heatmap(frames.layer_table(list_runs(archive)[:1]))
    chart = charts.heatmap_chart(cells)
    told = json.dumps(vl_convert.vegalite_to_vega(charts.alone(chart)))
    assert '"description"' in told
    untold = json.dumps(vl_convert.vegalite_to_vega(charts.Unchecked(chart).to_dict()))
    assert '"description"' not in untold
    assert '"tooltip"' in untold
