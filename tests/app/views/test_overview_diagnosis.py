"""What the Overview page says is wrong with the chosen runs."""

from labapp.frames import diagnosis
from labapp.store import list_runs
from tests.app.pages import choose, texts


def test_the_panel_says_what_the_command_says(archive, record, open_page):
    ill = record(archive, growth=0.5, seed=7, recorded=(0, 10, 20), run_id="ill")
    healthy = next(run for run in list_runs(archive) if run.name == "residual-20")
    said = texts(choose(open_page(archive, diagnosis="true"), ill, healthy))
    told = diagnosis.diagnose(ill)
    assert f"**plain-20 (width 16, seed 7): {diagnosis.verdict(told)}**" in said
    assert any(text.startswith("Finding 1: the gradient vanishes. On its way back") for text in said)
    assert any("Schoenholz et al. 2017" in text and "to confirm: labapp train with" in text for text in said)
    assert "Nothing was found in residual-20." in said
    assert {f"`labapp diagnose {run.id}`" for run in (ill, healthy)} <= set(said)


def test_it_looks_at_nothing_until_it_is_opened(archive, record, open_page):
    ill = record(archive, growth=0.5, seed=7, recorded=(0, 10, 20), run_id="ill")
    assert not any("labapp diagnose" in text for text in texts(choose(open_page(archive), ill)))
