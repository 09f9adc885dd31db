"""The Representation page on real small runs."""

import numpy as np

from labapp import palette
from labapp.probes.catalogue import against_name
from tests.app.pages import choose, count_charts, named, texts


def test_representation_shows_one_net_with_itself_and_all_by_depth(probed, open_page):
    run = named(probed, "residual-8")
    app = choose(open_page(probed, "representation"), run)
    table = run.probe("similarity", 6)
    cka = table[(table["layer"] == table["layer"].iloc[0]) & (table["other_layer"] == table["other_layer"].iloc[-1])]
    assert f"CKA of {palette.number(cka['cka'].iloc[0])}" in app.title[0].value
    assert count_charts(app) >= 3  # colours, triangle, and what has values by depth


def test_two_runs_are_compared_when_somebody_asked(probed, open_page):
    run, other = named(probed, "residual-8"), named(probed, "plain-8")
    app = choose(open_page(probed, "representation"), run, other)
    app.selectbox(key="of").set_value("residual-8").run()
    app.selectbox(key="with").set_value("plain-8").run()
    assert "have not been compared" in " ".join(texts(app))
    assert app.button(key="probe-against").label == "Compare"
    table = run.probe("similarity", 6).assign(cka=0.5)
    run.write_probe(against_name(other.id, 6), 6, table)
    app.run()
    assert not app.exception
    assert "that of plain-8 have a CKA of 0.500" in app.title[0].value


def test_the_checkpoint_is_part_of_the_address(probed, open_page):
    app = open_page(probed, "representation", **{"probe-step": "0"})
    assert app.title[0].value.startswith("At step 0 ")


def test_similarity_without_a_value_is_said(probed, open_page):
    run = named(probed, "plain-8")
    run.write_probe("similarity", 6, run.probe("similarity", 6).assign(cka=np.nan))
    run.write_probe("by_depth", 6, run.probe("by_depth", 6).assign(value=np.nan, note="too few images"))
    app = choose(open_page(probed, "representation"), run)
    assert app.title[0].value == "At step 6 nothing finite was measured of plain-8."
    assert any("pairs have no value (grey)" in text for text in texts(app))
    assert texts(app).count("No value: too few images.") == 3
