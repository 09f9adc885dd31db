"""How runs show themselves in a notebook: whole, as text, without anything that is fetched, and never failing."""

import shutil

import pytest

from labapp.config import cards
from labapp.store import Run, label_run, list_runs, look
from tests.notebooks.reading import require_whole

EVIL = "<img src=x onerror=alert(1)>&\"'"


def test_a_run_says_who_it_is_how_far_and_how_to_read_it(archive):
    run = next(run for run in list_runs(archive) if run.name == "residual-56")
    read = require_whole(run._repr_html_())
    for words in (
        "residual-56",
        "finished",
        "21 of 21",
        "95.0%",
        "run.layers()",
        "run.evals()",
        "batch norm",
        str(run.path),
    ):
        assert words in read.words
    assert "polyline" in read.tags
    assert repr(run) == f"Run({str(run.path)!r})"


def test_one_that_diverged_draws_what_was_finite(record, tmp_path):
    run = record(tmp_path, nan_from=15, status="diverged")
    read = require_whole(run._repr_html_())
    assert "diverged" in read.words
    assert "nan" not in " ".join(value for name, value in read.attributes if name == "points")


@pytest.mark.parametrize("losses", [{"recorded": ()}, {"nan_from": 0}])
def test_one_with_nothing_to_draw(record, tmp_path, losses):
    require_whole(record(tmp_path, **losses)._repr_html_())


def test_what_somebody_named_is_text(record, tmp_path):
    run = record(tmp_path)
    label_run(tmp_path, run.id, name=EVIL, add=["<b>"], note=f"first\n{EVIL}")
    for shown in (run, list_runs(tmp_path), look(tmp_path)):
        read = require_whole(shown._repr_html_())
        assert EVIL in read.words


def test_runs_and_archives_are_tables_with_what_cannot_be_read(archive):
    runs = list_runs(archive)
    (archive / "broken").mkdir()
    listing = look(archive)
    for shown in (runs, runs[:5], listing):
        read = require_whole(shown._repr_html_())
        assert read.tags.count("tr") == 1 + 5
        assert all(run.id in read.words for run in runs)
    assert "holds no run.json" in require_whole(listing._repr_html_()).words
    assert runs == list(runs)
    assert runs[0] == Run(runs[0].path)
    assert repr(listing) == f"Listing({str(archive)!r}: 5 runs, 1 that cannot be read)"


def test_many_are_cut_and_counted(archive):
    runs = list_runs(archive)
    many = type(runs)(runs * 10)
    read = require_whole(many._repr_html_())
    assert read.tags.count("tr") == 1 + 30
    assert "and 20 more" in read.words
    assert "50 runs" in read.words


def test_a_run_that_is_gone_is_a_sentence(archive):
    runs = list_runs(archive)
    shutil.rmtree(runs[0].path)
    assert "there is no run at" in require_whole(runs[0]._repr_html_()).words
    assert "there is no run at" in require_whole(runs._repr_html_()).words


@pytest.mark.parametrize(
    "values", [[], [1.0], [float("nan")] * 3, [0.0, -1.0], [1.0, 1.0], [float("inf"), 1.0, 2.0], range(1, 100_000)]
)
def test_a_line_is_drawn_of_any_numbers(values):
    page = cards.line(values, "numbers", log=True)
    if page:
        read = require_whole(page)
        points = [value for name, value in read.attributes if name == "points"]
        assert sum(len(one.split()) for one in points) <= cards.POINTS
        assert all(0 <= float(y) <= 40 for one in points for y in (pair.split(",")[1] for pair in one.split()))
    else:
        assert sum(0 < value < float("inf") for value in values) < 2


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.5, 7.0, float("nan"), float("inf")])
def test_a_bar_is_never_wider_than_its_place(share):
    styles = [value for name, value in require_whole(cards.bar(share)).attributes if name == "style"]
    assert 0 <= float(styles[1].partition("width:")[2].partition("%")[0]) <= 100


def test_signs_that_steer_are_boxes():
    assert cards.text("a\x1b[31m\u202eb") == "a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}b"
