"""The Architecture page on real small runs."""

from labapp.commands import cli
from labapp.config import Experiment
from labapp.training.loop import train
from tests.app.pages import count_charts, named


def test_architecture_adds_up(probed, open_page):
    app = open_page(probed, "architecture", net="dense-10")
    run = named(probed, "dense-10")
    table = run.probe("architecture", 0)
    parts = table[table["kind"] != "block"]
    share = parts.loc[parts["kind"] == "linear", "parameters"].sum() / parts["parameters"].sum()
    assert app.title[0].value.startswith(f"dense-10 has {parts['parameters'].sum() / 1000:.3g} k parameters")
    assert f"{100 * share:.3g} % of them in linear layers" in app.title[0].value
    shown = app.dataframe[0].value
    assert shown["parameters"].sum() == parts["parameters"].sum()
    assert count_charts(app) == 3  # parts, pyramid, growth
    stages, stacks = (table.value for table in app.table)
    assert stages["Map"].tolist() == run.probe("stages", 0)["stage"].tolist()
    assert stacks["Weights"].tolist() == ["73,728", "102,400", "110,592", "200,704"]


def test_rows_of_the_table_can_be_chosen(probed, open_page):
    app = open_page(probed, "architecture", net="residual-8", rows="blocks")
    assert set(app.dataframe[0].value["kind"]) == {"block"}
    app.segmented_control(key="rows").set_value("all layers").run()
    assert "block" not in set(app.dataframe[0].value["kind"])


def test_of_repetitions_the_architecture_shows_one(probed, open_page):
    assert open_page(probed, "architecture").selectbox(key="net").options == ["dense-10", "residual-8", "plain-8"]


def test_the_published_numbers_stand_beside_the_run_s_own(open_page, tmp_path):
    small = {"steps": 1, "batch_size": 8, "train_images": 8, "test_images": 8, "checkpoints": 1, "device": "cpu"}
    run = train(Experiment(family="residual", depth=20, imageset="digits", record="none", **small), tmp_path)
    assert cli.main(["probe", run.id, "--quantities", "architecture", "stages", "stacks", "--root", str(tmp_path)]) == 0
    app = open_page(tmp_path, "architecture")
    assert any(text.value == "**Published record, beside this run**" for text in app.markdown)
    table = next(table.value for table in app.table if "Published" in table.value)
    assert table["Published"].tolist() == ["8.75 %", "0.27 M"]
    assert table["Here"].tolist() == ["other images", "269,434"]  # digits are grey: 288 weights less than 269,722
    assert all(source.startswith("He et al. 2015, Table 6 (arXiv:") for source in table["Source"])


def test_where_nothing_is_published_the_page_says_so(probed, open_page):
    app = open_page(probed, "architecture", net="dense-10")
    assert any("give no number" in caption.value for caption in app.caption)
