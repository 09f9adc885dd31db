"""What a page says while it reads, and what it shows where there is no room for the sidebar."""

from contextlib import contextmanager

import pytest

from labapp.app.reading import what_is_read
from labapp.store import list_runs


def test_the_largest_run_is_named_with_its_size(record, tmp_path):
    large = record(tmp_path, depth=20)
    small = record(tmp_path, family="residual", depth=8)
    assert what_is_read([]) == "Reading …"
    said = what_is_read([small])
    assert said.startswith("Reading 14 places over ")
    assert said.endswith(" steps of residual-8 …")
    both = what_is_read([small, large])
    assert both.startswith("Reading 38 places over ")
    assert both.endswith(" steps of plain-20 and of 1 more …")


@pytest.mark.parametrize("page", ["overview", "gradient_flow", "signals"])
def test_pages_that_read_a_whole_record_say_so_meanwhile(archive, open_page, monkeypatch, page):
    said = []

    @contextmanager
    def spinner(words, **_):
        said.append(words)
        yield

    monkeypatch.setattr("streamlit.spinner", spinner)
    open_page(archive, page)
    assert any("places over" in words and "and of 4 more" in words for words in said)


@pytest.mark.parametrize("page", ["overview", "gradient_flow"])
def test_a_phone_has_the_names_of_the_runs_in_lines_that_fold(archive, open_page, page):
    app = open_page(archive, page)
    (names,) = (each.proto.body for each in app.main.get("html") if "flex-wrap:wrap" in each.proto.body)
    assert names.count("<img") == len(list_runs(archive)) == 5
    for name in ("plain-20", "plain-56", "residual-20", "residual-56", "dense-40"):
        assert name in names
    assert "min-width: 521px" in names  # on wider screens it is hidden
