"""What does the page of claims say, and does it judge as the command does?"""

import pytest

from labapp.app.views import claims as view
from labapp.claims import CLAIMS, NO_DATA, verdicts
from labapp.store import look
from tests.claims.test_setups import scaled

NAME = "scaled-shortcuts"


@pytest.fixture
def judged(tmp_path):
    scaled(tmp_path, [0.8, 0.81, 0.79])
    return tmp_path


def test_cards_say_verdict_number_and_interval(judged, open_page):
    app = open_page(judged, "claims")
    assert app.title[0].value.startswith(f"Of {len(CLAIMS)} claims 1 is supported; {len(CLAIMS) - 1} lack runs")
    part = verdicts(CLAIMS[NAME], look(judged, 0.0))[0].parts[0]
    said = " ".join(each.value for each in app.caption)
    assert f"{100 * part.value:.3g} %" in said
    assert "Published, not measured here" in said


def test_one_claim_has_its_picture_its_runs_and_its_command(judged, open_page):
    app = open_page(judged, "claims", claim=NAME)
    assert app.title[0].value.startswith("Supported: Identity shortcuts")
    assert app.code[0].value.startswith("labapp sweep analysis/sweeps/quick/shortcuts.yaml")
    charts = app.get("vega_lite_chart")
    assert len(charts) == 1
    assert "mean 10" in charts[0].proto.alt


def test_a_paper_filters_and_nonsense_is_a_sentence(judged, open_page):
    app = open_page(judged, "claims", paper="VGG")
    assert [each.value.replace("\\", "") for each in app.subheader] == ["VGG: Simonyan & Zisserman 2014"]
    app = open_page(judged, "claims", claim="scaled-shortcut")
    assert "did you mean 'scaled-shortcuts'" in app.warning[0].value.replace("\\", "")


def test_an_archive_without_runs_says_so(tmp_path, open_page):
    app = open_page(tmp_path, "claims")
    assert "no runs that any of" in app.title[0].value or "no run" in app.title[0].value.lower()


def test_every_word_of_a_verdict_has_its_look():
    assert set(view.COLOURS) == set(view.INK) == set(view.ICONS)
    assert NO_DATA in view.COLOURS
