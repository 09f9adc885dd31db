"""Is every run found, chosen, named and removed in the table below the Overview?"""

import json
import time

import pytest

from labapp.app import numbers
from labapp.store import NUMBERS, label_run, list_runs, look
from tests.app.pages import select, texts
from tests.many_runs import many_runs

SMALL = {"recorded": (0,), "steps": 2}


def table(app):
    return app.dataframe[-1].value


def chosen(app):
    return app.multiselect(key="runs").value


def found(app, words):
    app.text_input(key="q").set_value(words).run()
    assert not app.exception, app.exception[0].stack_trace
    return sorted(table(app)["run"])


@pytest.fixture
def read(monkeypatch):
    """Numbers of all runs are read at once, as they are after a while."""
    before = numbers.numbers_of

    def at_once(listing):
        known = before(listing)
        while known.read_next():
            pass
        return known

    monkeypatch.setattr(numbers, "_work", lambda: None)
    monkeypatch.setattr("labapp.app.views.library.numbers_of", at_once)
    numbers._archives.clear()


def test_all_runs_are_listed_and_found_by_words_and_conditions(archive, open_page, read):
    app = open_page(archive)
    assert table(app)["run_id"].tolist() == [run.id for run in list_runs(archive)]
    assert found(app, "plain") == ["plain-20", "plain-56"]
    assert found(app, "depth>=56 accuracy>0.9") == ["residual-56"]
    assert found(app, "family=dense,plain net!=plain-56") == ["dense-40", "plain-20"]
    assert any("2 of 5 runs fit" in words for words in texts(app))
    assert len(chosen(app)) == 5  # looking chooses nothing


def test_what_is_not_understood_and_what_fits_nothing_is_a_sentence(archive, open_page):
    app = open_page(archive, q="widht=3")
    assert any("no field 'widht' (did you mean 'width'?)" in each.value for each in app.warning)
    assert len(table(app)) == 5
    for words in ("no such run", "width=9999", '"', "=", "width>=1 <"):
        app.text_input(key="q").set_value(words).run()
        assert not app.exception
    app.text_input(key="q").set_value("no such run").run()
    assert any("None of the 5 runs fits" in words for words in texts(app))
    assert len(app.dataframe) == 1  # that of the chosen runs


def test_rows_choose_runs_and_a_filter_keeps_what_was_chosen(archive, open_page):
    app = open_page(archive)
    by_name = {run.name: run.id for run in list_runs(archive)}
    app.multiselect(key="runs").set_value([]).run()
    found(app, "residual")
    select(app, [0])
    first = table(app)["run_id"][0]
    assert chosen(app) == [first]
    assert app.title[0].value.startswith("residual-56 reaches")
    found(app, "dense")
    select(app, [0])
    assert chosen(app) == [first, by_name["dense-40"]]
    select(app, [])
    assert chosen(app) == [first]
    assert app.query_params["runs"] in (first, [first])


def test_rows_of_chosen_runs_are_marked_however_they_were_chosen(archive, open_page, record):
    ids = [run.id for run in list_runs(archive)]
    app = open_page(archive, runs=[ids[1], ids[3]])
    assert app.session_state["all"]["selection"]["rows"] == [1, 3]
    app.multiselect(key="runs").set_value([ids[2]]).run()
    assert app.session_state["all"]["selection"]["rows"] == [2]
    record(archive, seed=5, **SMALL)  # above them
    app.run()
    assert app.session_state["all"]["selection"]["rows"] == [3]
    assert chosen(app) == [ids[2]]


def test_seeds_fold_into_one_row_with_mean_and_interval(open_page, record, read, tmp_path):
    for seed, accuracy in enumerate((0.90, 0.92, 0.94)):
        record(tmp_path, seed=seed, accuracy=accuracy)
    record(tmp_path, seed=3, accuracy=0.1, status="failed")
    other = record(tmp_path, family="residual", accuracy=0.5)
    app = open_page(tmp_path, runs="")
    app.toggle(key="fold").set_value(True).run()
    rows = table(app).set_index("run")
    assert rows.loc["plain-20", ["runs", "seeds", "finished"]].tolist() == [4, 4, 3]
    assert rows.loc["plain-20", "accuracy"] == pytest.approx(92.0)
    # Student's t with 2 degrees of freedom, 4.3027 × 0.02 / √3 = 0.0497
    assert rows.loc["plain-20", "interval"] == "87.0 to 97.0 %"
    assert rows["interval"].isna().tolist() == [True, False]  # of one seed there is none
    select(app, [list(rows.index).index("plain-20")])
    assert len(chosen(app)) == 4
    assert other.id not in chosen(app)


def test_a_mean_waits_until_every_seed_is_read(open_page, record, monkeypatch, tmp_path):
    monkeypatch.setattr(numbers, "_work", lambda: None)
    numbers._archives.clear()
    runs = [record(tmp_path, seed=seed, accuracy=0.9 + seed / 100, recorded=(0, 10)) for seed in range(3)]
    app = open_page(tmp_path, runs=[run.id for run in runs[:2]], fold="true")  # which are read for this page anyway
    assert (table(app)["accuracy"].isna().tolist(), table(app)["interval"].tolist()) == ([True], ["being read"])
    known = numbers.numbers_of(look(tmp_path))
    while known.read_next():
        pass
    app.run()
    assert table(app)["accuracy"].tolist() == [pytest.approx(91.0)]


def test_numbers_that_are_not_read_yet_are_told_and_kept(open_page, monkeypatch, tmp_path):
    monkeypatch.setattr(numbers, "_work", lambda: None)
    monkeypatch.setattr(numbers, "WORTH", 5)
    numbers._archives.clear()
    many_runs(tmp_path / "runs", 10)
    app = open_page(tmp_path / "runs")
    assert any("The numbers of 4 are still being read." in words for words in texts(app))  # those of 6 are shown above
    assert table(app)["accuracy"].isna().sum() == 4
    known = numbers.numbers_of(look(tmp_path / "runs"))
    while known.read_next():
        pass
    known.save()
    app.run()
    assert not any("being read" in words for words in texts(app))
    assert sorted(set(table(app)["accuracy"].round(1))) == [27.0, 91.0]
    numbers._archives.clear()
    assert numbers.numbers_of(look(tmp_path / "runs")).missing == 0


def test_the_thread_reads_what_is_missing_and_passes_over_what_cannot_be_read(monkeypatch, tmp_path):
    monkeypatch.setattr(numbers, "WORTH", 4)
    ids = many_runs(tmp_path / "runs", 4)
    for part in (tmp_path / "runs" / ids[1] / "evals").iterdir():
        part.unlink()
        part.mkdir()
    listing = look(tmp_path / "runs")
    known = numbers.ArchiveNumbers(tmp_path / "runs")
    known.listing = listing
    assert known.missing == 4
    numbers._archives.clear()
    numbers._archives["it"] = known
    known.wanted = time.monotonic() - numbers.CALM
    numbers._work()
    assert known.missing == 0
    assert known.number(listing.by_id[ids[0]], "accuracy") == pytest.approx(0.91)
    assert (tmp_path / "runs" / ".numbers.parquet").is_file()


def opened(open_page, archive, menu, *ids):
    """The page of these runs, with a menu below the table open: one that is closed draws nothing."""
    app = open_page(archive, runs=list(ids))
    assert not {"label-save", "remove"} & {button.key for button in app.button}
    app.session_state[menu] = True
    return app.run()


def test_a_run_is_named_tagged_and_noted_from_the_page(archive, open_page):
    app = opened(open_page, archive, "runs-label", one := list_runs(archive)[0].id)
    app.text_input(key=f"name-{one}").set_value("the *wide* one")
    app.text_area(key=f"note-{one}").set_value("as in the paper")
    app.multiselect(key=f"tags-{one}").set_value(["good"])
    app.button(key="label-save").click().run()
    assert not app.exception
    labels = look(archive).by_id[one].labels
    assert (labels.name, labels.tags, labels.note) == ("the *wide* one", ("good",), "as in the paper")
    assert app.title[0].value.startswith("the \\*wide\\* one reaches")
    assert app.query_params["runs"] in (one, [one])
    row = table(app).set_index("run_id").loc[one]
    assert (row["run"], list(row["tags"]), row["note"]) == ("the *wide* one", ["good"], "as in the paper")
    assert found(app, "tag=good") == found(app, "paper") == ["the *wide* one"]


def test_tags_are_added_to_all_chosen_runs(archive, open_page):
    ids = [run.id for run in list_runs(archive)][:2]
    app = opened(open_page, archive, "runs-label", *ids)
    app.multiselect(key="tags-all").set_value(["mine"]).run()
    app.button(key="tag-all").click().run()
    assert [entry.id for entry in look(archive).entries if entry.labels.tags == ("mine",)] == ids


def test_a_label_that_is_refused_is_a_sentence(archive, open_page):
    app = opened(open_page, archive, "runs-label", one := list_runs(archive)[0].id)
    app.text_input(key=f"name-{one}").set_value("x" * 81)
    app.button(key="label-save").click().run()
    assert "a name has at most 80 signs, and this one 81" in app.error[0].value
    assert look(archive).by_id[one].labels.name == ""


def test_runs_are_removed_after_it_was_said_what_is_lost_and_live_ones_never(archive, open_page, record):
    live = record(archive, seed=9, status=None, **SMALL)
    gone = list_runs(archive)[-1]
    app = opened(open_page, archive, "runs-remove", live.id, gone.id)
    said = [words for words in texts(app) if "would be deleted" in words]
    assert "plain-20 would be deleted with all that was recorded" in said[0]
    assert any("is being written and cannot be removed" in words for words in texts(app))
    app.button(key="remove").click().run()
    assert not app.exception
    assert not gone.path.exists()
    assert live.path.exists()
    assert chosen(app) == [live.id]
    assert not app.warning  # whoever removed it knows


def test_a_run_that_began_again_meanwhile_is_not_removed(archive, open_page, monkeypatch):
    one = list_runs(archive)[0]
    app = opened(open_page, archive, "runs-remove", one.id)
    said = json.loads((one.path / "run.json").read_text())
    from labapp.store.machine import this_process

    (one.path / "run.json").write_text(json.dumps(said | {"status": "running", "attempts": [this_process()]}))
    app.button(key="remove").click().run()
    assert "is being written; stop it first" in app.error[0].value
    assert one.path.exists()


def test_a_read_only_lab_neither_labels_nor_removes(archive, open_page, monkeypatch):
    monkeypatch.setenv("LABAPP_READ_ONLY", "1")
    app = open_page(archive)
    assert not {"label-save", "remove", "tag-all"} & {button.key for button in app.button}
    assert any("neither labelled nor removed" in words for words in texts(app))
    assert len(table(app)) == 5
    assert set(NUMBERS) > {"accuracy", "loss"}


def test_filters_by_any_field_narrow_the_table(archive, open_page, read):
    app = open_page(archive, fields=["Family", "Accuracy", "Depth"])
    app.multiselect(key="is-family").set_value(["plain", "residual"]).run()
    assert len(table(app)) == 4
    app.number_input(key="from-accuracy").set_value(0.9).run()
    assert sorted(table(app)["run"]) == ["plain-20", "residual-20", "residual-56"]
    app.multiselect(key="is-depth").set_value(["56"]).run()
    assert table(app)["run"].tolist() == ["residual-56"]
    assert not app.exception


def test_a_range_of_days_holds_both_and_many_words_are_typed(open_page, tmp_path, monkeypatch):
    monkeypatch.setattr("labapp.app.views.library_filters.VALUES", 1)
    ids = many_runs(tmp_path / "runs", 6)
    begun = look(tmp_path / "runs").entries[0].created.date()
    app = open_page(tmp_path / "runs", fields=["Started", "Tag", "Net"], runs="")
    assert len(table(app)) == 6
    app.date_input(key="from-started").set_value(begun)
    app.date_input(key="to-started").set_value(begun).run()
    assert len(table(app)) == 6
    label_run(tmp_path / "runs", ids[0], tags=["one", "two"])
    app.run()
    app.text_input(key="is-tag").set_value("Two,three").run()
    assert table(app)["run_id"].tolist() == ids[:1]
    assert not app.exception
