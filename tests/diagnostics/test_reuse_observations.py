"""The four observations on triangles in which they are true or false by construction."""

import numpy as np
import pandas as pd
import pytest
import torch

from labapp.config import LabError
from labapp.diagnostics.feature_reuse import feature_reuse, scaled
from labapp.diagnostics.reuse_observations import observations
from labapp.nets import build


def triangle(value, blocks: int = 3, layers: int = 6) -> pd.DataFrame:
    """A table with value(block, source, target) in each cell."""
    rows = []
    for block in range(1, blocks + 1):
        for target in range(1, layers + 2):
            end = "classifier" if block == blocks else "transition"
            kind = "layer" if target <= layers else end
            rows += [(block, source, target, float(value(block, source, target)), kind) for source in range(target)]
    return pd.DataFrame(rows, columns=["block", "source", "target", "value", "kind"])


def test_all_four_are_seen_where_they_were_put() -> None:
    table = triangle(lambda block, source, target: 1.0 + 0.1 * source - 0.5 * (source == 0 and block > 1))
    found = observations(table)
    assert found["observation"].tolist() == [1, 2, 3, 4]
    assert found["seen"].tolist() == [True] * 4
    assert found["number"][2] == 1
    assert found["number"][3] == pytest.approx(1)
    assert (found["reason"] == "").all()


def test_none_is_seen_where_only_the_input_is_read() -> None:
    table = triangle(lambda block, source, target: 1.0 if source == 0 else 1e-9 / (1 + source))
    found = observations(table)
    assert found["seen"].tolist() == [False] * 4
    columns = [1 / sources for sources in range(2, 7)]
    assert found["number"][0] == pytest.approx(np.mean(columns), rel=1e-6)  # one source of each column
    assert found["number"][1] == pytest.approx(1 / 7, rel=1e-6)
    assert found["number"][2] == 0
    assert found["number"][3] == pytest.approx(-1)


def test_before_training_weights_are_spread_and_have_no_order() -> None:
    torch.manual_seed(0)
    found = observations(feature_reuse(build("dense", depth=40)))
    assert found["number"][:2].tolist() == pytest.approx([1, 1], abs=1e-3)
    assert found["seen"].tolist() == [True, True, False, False]
    # source 0 is the least by chance in one of 2, 3, … 12 cases
    assert found["untrained"][2] == pytest.approx(np.mean([1 / n for n in range(2, 13)]))
    assert found["number"][2] < 0.6


def test_what_nets_do_that_have_learnt_nothing_is_not_seen() -> None:
    """The thresholds alone called the spread of random weights a finding."""
    tables = []
    for seed in range(11):
        torch.manual_seed(seed)
        tables.append(feature_reuse(build("dense", depth=22, growth_rate=4)))
    assert all(observations(table)["seen"].tolist()[:2] == [True, True] for table in tables)
    left_out = [observations(table, tables[:at] + tables[at + 1 :]) for at, table in enumerate(tables)]
    seen = [found["seen"].eq(True).sum() for found in left_out]
    assert sum(seen) <= 6  # of 44, where 2 are expected: three deviations
    unseen = next(found for found, count in zip(left_out, seen, strict=True) if not count)
    assert unseen["reason"].tolist()[:2] == ["so it is in nets that have learnt nothing"] * 2
    assert unseen["seen"].tolist()[:2] == [None, None]
    assert unseen["null"].tolist()[:2] == pytest.approx([1, 1], abs=5e-3)


def test_what_lies_outside_of_untrained_nets_is_seen_if_it_passes_the_threshold() -> None:
    random = np.random.default_rng(0)
    nulls = [triangle(lambda *_: 1 + 0.03 * random.standard_normal(), layers=12) for _ in range(10)]
    table = triangle(lambda block, source, target: 1.0 + 0.1 * source - 0.5 * (source == 0 and block > 1), layers=12)
    found = observations(table, nulls)
    assert found["seen"].tolist() == [True] * 4
    assert (found["number"][:2] < found["null_low"][:2]).all()  # less even than by chance, and still spread
    assert (found["number"][2:] > found["null_high"][2:]).all()
    none = observations(triangle(lambda block, source, target: 1.0 if source == 0 else 1e-9, layers=12), nulls)
    assert none["seen"].tolist()[:3] == [False] * 3


def test_a_column_s_scale_does_not_matter() -> None:
    torch.manual_seed(0)
    table = feature_reuse(build("dense", depth=22))
    pd.testing.assert_frame_equal(observations(table), observations(scaled(table, "column maximum")))


def test_nets_without_such_columns_get_a_reason() -> None:
    plain = observations(feature_reuse(build("plain", depth=8)))
    assert plain["number"].isna().all()
    assert (plain["seen"].isna()).all()
    assert (plain["reason"] == "every layer of this net sees one source").all()
    one_block = observations(triangle(lambda *_: 1.0, blocks=1))
    assert one_block["reason"].tolist() == [
        "",
        "no transition in this net",
        "no layer behind a transition in this net",
        "the weights of a column are equal, zero or not finite",
    ]


def test_negative_values_have_no_shares() -> None:
    with pytest.raises(LabError, match="must not be negative"):
        observations(triangle(lambda block, source, target: source - 1.0))
