"""Does a browser that is slow to hear of what the page made of its controls take back what somebody chose?"""

import urllib.parse

import pytest

from labapp.app.live import SLOWEST
from labapp.store import RunWriter
from tests.browser.test_visits import until
from tests.conftest import record_run

# What the server says reaches the page so many milliseconds later.
LATE = """
window.labLate = 0;
const listen = WebSocket.prototype.addEventListener;
WebSocket.prototype.addEventListener = function (kind, heard, ...more) {
  const late = event => setTimeout(() => heard(event), window.labLate);
  listen.call(this, kind, kind === 'message' ? late : heard, ...more);
};
"""
# Where in the table were clicks, as the page saw them? What is chosen above it moves it.
CLICKS = """window.labClicks = [];
document.addEventListener('click', event => window.labClicks.push(event.offsetY), true)"""
TABLE = '[data-testid="stMain"] .st-key-all [data-testid="stDataFrame"]'
FIRST, HIGH = 53, 35  # pixels, of the table's first row and of each


@pytest.fixture
def late(open_lab):
    """Open an archive on a page that hears late once it is drawn."""

    def visit(root, milliseconds, *page, **query):
        lab = open_lab(root)
        lab.page.add_init_script(LATE)
        lab.visit(*page, **query)
        lab.page.wait_for_timeout(1000)  # until it has heard of all
        lab.page.evaluate(f"window.labLate = {milliseconds}")
        return lab

    return visit


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Twelve, of which the newest six are chosen."""
    root = tmp_path_factory.mktemp("runs")
    for seed in range(12):
        record_run(root, seed=seed, recorded=(0, 10), steps=11)
    return root


def chosen(lab):
    return urllib.parse.parse_qs(urllib.parse.urlsplit(lab.page.url).query)["runs"]


@pytest.mark.long
def test_a_slider_goes_on_with_the_last_step(late, tmp_path):
    run = record_run(tmp_path, steps=3000, recorded=(0, 10), status=None, layers=4)
    lab = late(tmp_path, 1000 * (SLOWEST + 3), "gradient_flow", runs=run.id)  # later than it looks
    rows, writer = run.layers(steps=10), RunWriter(run.path, from_step=11)
    for step in (20, 30):
        writer.write("layers", {name: list(rows[name]) for name in rows} | {"step": step})
        writer.flush()
        until(lab, lambda step=step: lab.title().startswith(f"At step {step} "))
        lab.page.wait_for_timeout(2000 * SLOWEST)  # in which it says that it has heard


@pytest.mark.parametrize("milliseconds", [0, 500])
def test_rows_chosen_one_after_the_other_are_all_chosen(late, runs, milliseconds):
    lab = late(runs, milliseconds)
    before, table = chosen(lab), lab.page.locator(TABLE)
    newest = before[:6]
    assert len(before) == 6
    table.scroll_into_view_if_needed()
    lab.page.evaluate(CLICKS)
    for row in (6, 7, 8):
        table.click(position={"x": 18, "y": 54 + HIGH * row})
        lab.page.wait_for_timeout(300)
    clicked = {round((at - FIRST) / HIGH) for at in lab.page.evaluate("window.labClicks")}
    assert clicked
    until(lab, lambda: len(chosen(lab)) == 6 + len(clicked))
    lab.page.wait_for_timeout(3000 + milliseconds)
    assert set(newest) < set(chosen(lab))
    assert len(chosen(lab)) == 6 + len(clicked)


def test_runs_taken_back_one_after_the_other_do_not_come_back(late, runs):
    lab = late(runs, 600)
    before = chosen(lab)
    lab.page.get_by_role("combobox", name="Runs").focus()
    for _ in range(3):
        lab.page.keyboard.press("Backspace")
        lab.page.wait_for_timeout(300)
    until(lab, lambda: len(chosen(lab)) == 3)
    lab.page.wait_for_timeout(4000)
    assert chosen(lab) == before[:3]


def test_going_back_brings_back_what_was_chosen(late, runs):
    lab = late(runs, 0)
    before, table = chosen(lab), lab.page.locator(TABLE)
    for row in (6, 7):
        lab.after(lambda row=row: table.click(position={"x": 18, "y": 54 + HIGH * row}))
    for count in (8, 7, 6):
        until(lab, lambda count=count: len(chosen(lab)) == count and f"mean of {count} seeds" in lab.title())
        if count > 6:
            lab.page.go_back()
    assert chosen(lab) == before
