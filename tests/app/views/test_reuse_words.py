"""What the Feature reuse page says beside what nets do that have learnt nothing."""

import numpy as np
import pandas as pd
import pytest

from labapp.app.views.feature_reuse import answer, words_of

CELLS = [(1, 0, 1), (1, 0, 2), (1, 1, 2), (1, 0, 3), (1, 1, 3), (1, 2, 3)]


def dense(strongest: float, deviation: float) -> pd.DataFrame:
    """Three layers whose last source has `strongest` times the weight of the others."""
    rows = [(*cell, strongest if cell[1] == cell[2] - 1 and cell[1] else 1.0) for cell in CELLS]
    table = pd.DataFrame(rows, columns=["block", "source", "target", "value"])
    about = {"kind": "layer", "seeds": 1, "null": 1.0, "null_deviation": deviation, "step": 10, "source_layer": "l"}
    return table.assign(**about)


def test_chance_is_named_where_a_net_does_no_more() -> None:
    nothing = dense(1, 0)[:0]
    said = answer(dense(1.05, 0.05), nothing, nothing, ("dense-22", ""), 10)
    assert "as chance would (" in said
    said = answer(dense(2.0, 0.05), nothing, nothing, ("dense-22", ""), 10)
    assert "in untrained nets)" in said
    assert "chance" not in said


def test_without_a_null_the_first_step_stands_beside() -> None:
    now, before = dense(2.0, np.nan), dense(1.1, np.nan).assign(step=0)
    nothing = now[:0]
    said = answer(now, before, nothing, ("dense-22", ""), 10)
    assert said.endswith("× at step 0).")
    assert "untrained" not in said


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"number": np.nan, "reason": "no transition in this net"}, "no transition in this net"),
        ({"number": 0.9, "null_low": 0.95, "null_high": 1.0}, "0.900, seen from 0.500; untrained nets 0.950 to 1.00"),
        (
            {"number": 0.97, "null_low": 0.95, "null_high": 1.0, "reason": "so it is in nets that have learnt nothing"},
            "0.970, seen from 0.500; untrained nets 0.950 to 1.00, so this tells nothing",
        ),
        ({"number": 0.9, "untrained": 1.0}, "0.900, seen from 0.500; equal weights 1.00"),
        ({"number": 0.9}, "0.900, seen from 0.500"),
    ],
)
def test_an_observation_in_words(row: dict, words: str) -> None:
    given = {"threshold": 0.5, "null_low": np.nan, "null_high": np.nan, "untrained": np.nan, "reason": ""} | row
    assert words_of(pd.Series(given)) == words
