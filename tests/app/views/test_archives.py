"""Pages on archives as people have them: empty, broken, diverged, only just begun."""

import pytest

from labapp.store import list_runs
from tests.app.pages import count_charts

GRADIENTS = "gradient_flow"


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_an_empty_archive_says_what_to_do(page, open_page, tmp_path):
    app = open_page(tmp_path / "nothing", page)
    assert app.title[0].value == "Nothing is recorded here yet."
    assert app.button(key="starter").label == "Starter comparison"
    assert not app.error
    assert not (tmp_path / "nothing").exists()  # looking creates nothing


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_an_archive_that_is_a_file(page, open_page, tmp_path):
    (tmp_path / "file").write_text("")
    app = open_page(tmp_path / "file", page)
    assert "is a file, not an archive" in app.warning[0].value


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_a_broken_run_is_named_and_the_others_stay_readable(page, archive, open_page):
    (archive / "torn").mkdir()
    (archive / "torn" / "run.json").write_text('{"labapp"')
    (archive / "no-run").mkdir()
    app = open_page(archive, page)
    assert "torn" in app.warning[0].value
    assert "no-run" in app.warning[0].value
    assert "plain-56" in app.title[0].value


def cut(data):
    return data[:100]


def flip(data):
    """A wrong bit in a page of data, which only reading finds: while the page is drawn."""
    return data[: len(data) // 4] + bytes([data[len(data) // 4] ^ 4]) + data[len(data) // 4 + 1 :]


@pytest.mark.parametrize("harm", [cut, flip])
@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_a_damaged_part_is_named_and_the_rest_is_drawn(page, archive, open_page, harm):
    victim = next(run for run in list_runs(archive) if run.name == "plain-20")
    part = next((victim.path / "layers").glob("*.parquet"))
    part.write_bytes(harm(part.read_bytes()))
    app = open_page(archive, page)
    assert f"{victim.id}: layers/{part.name} is damaged" in app.warning[0].value
    assert "plain-56" in app.title[0].value


@pytest.mark.parametrize("page", [None, GRADIENTS])
@pytest.mark.parametrize("nan_from", [0, 15])
def test_a_diverged_run_can_be_viewed(page, nan_from, open_page, record, tmp_path):
    record(tmp_path, nan_from=nan_from, status="diverged")
    app = open_page(tmp_path, page)
    if page is None:
        assert app.title[0].value == "plain-20 diverged: numbers became infinite or NaN."
    else:
        app.select_slider(key="step").set_value(30).run()
        assert app.title[0].value == "At step 30 no layer of the chosen runs has a finite gradient."
    assert count_charts(app) >= 2


@pytest.mark.parametrize("page", [None, GRADIENTS])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_net_of_hardly_any_layers(page, layers, open_page, record, tmp_path):
    record(tmp_path, layers=layers)
    app = open_page(tmp_path, page)
    if page and layers == 0:
        assert app.title[0].value == "Nothing is recorded for this choice."


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_a_run_that_recorded_one_step_only(page, open_page, record, tmp_path):
    record(tmp_path, recorded=(0,))
    open_page(tmp_path, page)


@pytest.mark.parametrize("page", [None, GRADIENTS])
def test_a_run_that_has_only_just_begun(page, open_page, record, tmp_path):
    record(tmp_path, recorded=(), layers=0, steps=1, status=None)
    open_page(tmp_path, page)
