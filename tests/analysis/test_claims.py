"""Does the figure of all claims say what the command says?"""

import pandas as pd
import pytest

from analysis import claims_at_a_glance
from analysis.publish import command
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
