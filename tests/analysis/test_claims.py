"""Do the figures of all claims say what the command says?"""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from analysis import claims_at_a_glance, claims_by_seed
from analysis.publish import command
from analysis.written import read_table
from labapp.claims import CLAIMS
from tests.claims.test_setups import scaled


def test_the_figure_of_all_claims_has_every_number_in_its_table(tmp_path, capsys):
    scaled(tmp_path / "runs", [0.8, 0.81, 0.79])
    out = tmp_path / "figures"
    assert command(claims_at_a_glance.PLATES, "?", ["--runs", str(tmp_path / "runs"), "--out", str(out)]) == 0
    assert {path.suffix for path in out.iterdir()} == {".png", ".svg", ".pdf", ".csv"}
    table = pd.read_csv(out / "claims_at_a_glance.csv").set_index("claim")
    assert set(table.index) == set(CLAIMS)
    told = table.loc["scaled-shortcuts"]
    assert told["verdict"] == "supported"
    assert [float(word) for word in told["seed_values"].split()] == pytest.approx([0.1, 0.091, 0.112])
    assert len(told["experiment"].split()) == 6
    again = ["--table", str(out / "claims_at_a_glance.csv"), "--out", str(tmp_path / "again")]
    assert command(claims_at_a_glance.PLATES, "?", again) == 0
    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_each_number_of_a_claim_has_a_panel_with_its_seeds_interval_and_threshold(tmp_path):
    scaled(tmp_path / "runs", [0.8, 0.81, 0.79])
    out = tmp_path / "figures"
    assert command(claims_by_seed.PLATES, "?", ["--runs", str(tmp_path / "runs"), "--out", str(out)]) == 0
    table = read_table((out / "claims_by_seed.csv").read_text())
    figure = claims_by_seed.drawn(table)
    known = table[table["seeds"] > 0]
    assert len(figure.axes) == len(known)
    panels = {ax.texts[0].get_text().partition(" ")[2]: ax for ax in figure.axes}
    told = known[known["claim"] == "scaled-shortcuts"].iloc[0]
    threshold, interval, seeds, mean = panels["scaled-shortcuts"].lines
    assert threshold.get_xdata() == [0, 0]
    assert list(interval.get_xdata()) == pytest.approx([100 * told["low"], 100 * told["high"]])
    assert sorted(seeds.get_xdata()) == pytest.approx([9.1, 10, 11.2])  # per cent
    assert list(mean.get_xdata()) == pytest.approx([100 * told["value"]])
    assert any("numbers without runs" in text.get_text() for text in figure.texts)
    plt.close(figure)
