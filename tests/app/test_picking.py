"""Are the chosen runs those that somebody chose, and does the address say which?"""

import pytest

from labapp.app import picking
from labapp.store import label_run, list_runs
from tests.app.pages import go
from tests.many_runs import many_runs

SMALL = {"recorded": (0,), "steps": 2}


def chosen(app):
    return app.multiselect(key="runs").value


def address(app):
    said = app.query_params.get("runs")
    return said if isinstance(said, list) else [said]


def named(archive, name):
    return next(run.id for run in list_runs(archive) if run.name == name)


def test_the_address_holds_ids_and_opens_the_same_page_elsewhere(archive, open_page):
    app = open_page(archive)
    assert len(app.multiselect(key="runs").options) == 5
    assert address(app) == [run.id for run in list_runs(archive)]  # also while nobody has chosen
    one = named(archive, "dense-40")
    app.multiselect(key="runs").set_value([one]).run()
    assert address(app) == [one]
    assert app.title[0].value.startswith("dense-40 reaches 96 %")
    again = open_page(archive, runs=one)
    assert again.title[0].value == app.title[0].value
    assert address(go(again, "gradient_flow")) == [one]


def test_neither_a_new_name_nor_a_new_run_changes_an_address(archive, open_page, record):
    ids = [named(archive, name) for name in ("plain-20", "plain-56")]
    record(archive, family="plain", depth=20, **SMALL)
    label_run(archive, ids[0], name="the first of all")
    label_run(archive, ids[1], name="plain-20")
    app = open_page(archive, runs=ids)
    assert chosen(app) == address(app) == ids


def test_an_address_of_nothing_chooses_nothing(archive, open_page):
    app = open_page(archive, runs="")
    assert app.title[0].value == "No run is chosen."
    assert address(app) == [""]


@pytest.mark.parametrize("said", ["gone-1", "../..", "\0", "*b* <img src=x onerror=a()> " + "x" * 5000])
def test_what_an_address_names_and_is_not_there_is_a_sentence_and_the_rest_is_shown(archive, open_page, said):
    one = named(archive, "dense-40")
    app = open_page(archive, runs=[said, one])
    assert chosen(app) == [one]
    assert app.title[0].value.startswith("dense-40 reaches")
    (warning,) = app.warning
    assert "that this page was to show is not in" in warning.value
    assert len(warning.value) < 600
    assert "<img" not in warning.value.replace("\\<img", "")
    app.multiselect(key="runs").set_value([]).run()  # whoever chooses is not reminded
    assert not app.warning


def test_a_run_that_is_removed_while_shown_is_named_and_stays_in_the_address(archive, open_page):
    app = open_page(archive)
    gone = list_runs(archive)[0]
    gone.path.rename(archive.parent / "elsewhere")
    app.button(key="look").click().run()
    assert gone.id not in chosen(app)
    assert len(chosen(app)) == 4
    assert gone.id in app.warning[0].value.replace("\\", "")
    assert gone.id in address(app)


def test_new_runs_are_offered_and_do_not_choose_themselves(archive, open_page, record):
    app = open_page(archive)
    before = chosen(app)
    fresh = [record(archive, seed=seed, **SMALL).id for seed in (7, 8)]
    app.button(key="look").click().run()
    assert chosen(app) == before
    assert app.button(key="offer").label == "Show 2 new runs"
    app.button(key="offer").click().run()
    assert chosen(app) == [*before, *fresh] == address(app)
    assert not [button for button in app.button if button.key == "offer"]


def test_an_offer_can_be_declined(archive, open_page, record):
    app = open_page(archive)
    before = chosen(app)
    record(archive, seed=7, **SMALL)
    app.run()
    app.button(key="offer-not").click().run()
    assert not [button for button in app.button if button.key == "offer"]
    assert chosen(app) == before
    record(archive, seed=8, **SMALL)
    assert app.run().button(key="offer").label == "Show 1 new run"


def test_a_page_that_was_opened_without_runs_shows_the_first_ones_until_somebody_chooses(open_page, record, tmp_path):
    app = open_page(tmp_path)
    assert "runs" not in app.query_params
    first = record(tmp_path)
    app.run()
    assert app.title[0].value.startswith("plain-20 reaches")
    second = record(tmp_path, seed=1, **SMALL)
    assert chosen(app.run()) == [first.id, second.id]
    app.multiselect(key="runs").set_value([second.id]).run()
    record(tmp_path, seed=2, **SMALL)
    assert chosen(app.run()) == [second.id]
    for seed in range(3, 12):
        record(tmp_path, seed=seed, **SMALL)
    assert len(chosen(open_page(tmp_path))) == picking.AT_FIRST


def test_another_archive_begins_with_its_own_newest_runs(archive, open_page, record, tmp_path, monkeypatch):
    monkeypatch.setenv("LABAPP_ROOTS", str(tmp_path))
    other = record(tmp_path / "other", family="residual", depth=32)
    app = open_page(archive)
    app.text_input(key="archive").set_value(str(tmp_path / "other")).run()
    assert chosen(app) == [other.id] == address(app)
    assert not [button for button in app.button if button.key == "offer"]
    again = open_page(archive, archive=str(tmp_path / "other"), runs=other.id)
    assert chosen(again) == [other.id]


def test_few_of_many_runs_reach_the_browser_and_each_is_found(open_page, tmp_path, monkeypatch):
    monkeypatch.setattr(picking, "OPTIONS", 20)
    ids = many_runs(tmp_path / "runs", 60)
    app = open_page(tmp_path / "runs", runs=ids[0])
    assert len(app.multiselect(key="runs").options) == 21  # the newest, and the chosen one
    app.text_input(key="find").set_value("plain-56 (SEED 3)").run()
    assert set(app.multiselect(key="runs").options) == {"plain-20", "plain-56 (seed 3)"}
    app.text_input(key="find").set_value("no such run").run()
    assert any("has “no such run”" in caption.value for caption in app.caption)
    assert chosen(app) == ids[:1]


def test_no_more_runs_are_shown_than_a_page_can_hold(open_page, tmp_path, monkeypatch):
    monkeypatch.setattr(picking, "MOST", 3)
    ids = many_runs(tmp_path / "runs", 5)
    app = open_page(tmp_path / "runs", runs=ids)
    assert chosen(app) == ids[:3]
    assert "pages show 3 runs at once, so of the 5 chosen ones these are the first" in app.warning[0].value
