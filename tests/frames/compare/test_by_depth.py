"""Signals of two sides, layer by layer: against closed forms and invariances."""

import numpy as np
import pandas as pd
import pytest

from labapp import frames
from labapp.config import LabError
from labapp.frames.compare import OF_LAYERS, SHOWN, by_depth, compared_steps, largest, read_compared, side
from labapp.store import QUANTITIES
from tests.frames.compare.written import written

GRADIENT = "output_grad_norm"


def test_every_recorded_quantity_can_be_compared():
    assert set(QUANTITIES) <= set(OF_LAYERS)
    assert set(SHOWN) <= set(OF_LAYERS)


def test_layers_of_the_same_names_are_matched_by_name(record, tmp_path):
    """Gradients are 1.2^(19 − d) and 1.05^(19 − d) over the same steps, so the ratio is (1.05 ÷ 1.2)^(19 − d)."""
    a = side([record(tmp_path, growth=1.2)])
    b = side([record(tmp_path, growth=1.05, family="residual")])
    table = by_depth(a, b, GRADIENT, 20)
    assert table["of"].unique() == ["both"]
    assert table["layer"].iloc[0] == "stem.conv"
    # kept as float32: seven digits
    assert table["ratio"].to_numpy() == pytest.approx((1.05 / 1.2) ** np.arange(18.0, -1, -1), rel=1e-6)
    assert table[["low", "high"]].isna().all(axis=None)
    back = by_depth(b, a, GRADIENT, 20)
    assert (table["ratio"] * back["ratio"]).to_numpy() == pytest.approx(1)
    assert (by_depth(a, a, GRADIENT)["ratio"] == 1).all()


def test_nets_of_different_depth_are_matched_by_relative_depth(record, tmp_path):
    """An exponential is a straight line on the logarithm, so reading between layers is exact."""
    a, b = side([record(tmp_path, growth=1.2)]), side([record(tmp_path, depth=56, growth=1.1)])
    table = by_depth(a, b, GRADIENT, 10)
    at = table["relative_depth"].to_numpy()
    # layer i of n stands at (i − 1)/n; the outermost of either net also stands for what is one layer further out
    one = 1.2 ** (19 * (1 - np.minimum(at, 18 / 19)) - 1)
    other = 1.1 ** (55 * (1 - np.minimum(at, 54 / 55)) - 1)
    assert len(table) == 19 + 55 - 1  # the stem is in both
    # depths are kept as float32 too, and 55 layers of 1.1 make 10^-7 of a relative depth 5·10^-7 of the value
    assert table["ratio"].to_numpy() == pytest.approx(other / one, rel=1e-5)
    assert set(table["of"]) == {"A", "B", "both"}
    back = by_depth(b, a, GRADIENT, 10)
    assert (table["ratio"].to_numpy() * back["ratio"].to_numpy()) == pytest.approx(1)


def test_beyond_its_layers_a_net_says_nothing(tmp_path):
    short = {"a": {"weight_norm": 1.0, "depth": 3}, "b": {"weight_norm": 1.0, "depth": 4}, "c": {"depth": 9}}
    long = {f"l{n}": {"weight_norm": 2.0} for n in range(9)}
    # nine places a net, so that a layer is an eighth; of the short one two have weights, at 2/8 and 3/8
    short |= {f"n{n}": {"kind": "norm", "depth": n} for n in (1, 2, 5, 6, 7, 8)}
    table = by_depth(side([written(tmp_path, short)]), side([written(tmp_path, long)]), "weight_norm", 10)
    assert table.loc[table["ratio"].notna(), "relative_depth"].tolist() == pytest.approx([1 / 8, 2 / 8, 3 / 8, 4 / 8])
    assert set(table.loc[table["ratio"].isna(), "note"]) == {"not measured here in A"}


def test_seeds_give_an_interval(record, tmp_path):
    growths = {"plain": (1.2, 1.25, 1.18), "residual": (1.05, 1.06)}
    a, b = (
        side([record(tmp_path, family=family, seed=seed, growth=growth) for seed, growth in enumerate(own)])
        for family, own in growths.items()
    )
    first = by_depth(a, b, GRADIENT, 0).iloc[0]
    logs = [18 * np.log(own) for own in growths.values()]
    assert np.log(first["ratio"]) == pytest.approx(logs[1].mean() - logs[0].mean(), rel=1e-5)
    assert first["low"] < first["ratio"] < first["high"] < 1
    assert (first["runs_a"], first["runs_b"]) == (3, 2)


def test_a_value_that_is_not_finite_has_its_reason(record, tmp_path):
    a, b = side([record(tmp_path)]), side([record(tmp_path, nan_from=15, status="diverged", seed=1)])
    table = by_depth(a, b, GRADIENT, 20)
    assert table["ratio"].isna().all()
    assert set(table["note"]) == {"not finite in B"}
    assert set(by_depth(b, a, GRADIENT, 20)["note"]) == {"not finite in A"}
    assert (by_depth(a, b, GRADIENT, 10)["note"] == "").all()


def test_one_seed_that_diverged_is_told_and_takes_no_part(record, tmp_path):
    a = side([record(tmp_path)])
    b = side([record(tmp_path, seed=1, growth=1.1), record(tmp_path, seed=2, nan_from=15, status="diverged")])
    table = by_depth(a, b, GRADIENT, 20)
    assert set(table["note"]) == {"not finite in some runs"}
    assert (table["runs_b"] == 1).all()
    assert (table["lost_b"] == 1).all()


@pytest.mark.parametrize(
    ("one", "other", "steps"),
    [
        ([(0, 5, 10, 100)], [(0, 10, 95)], [0, 10, 95]),  # step 95 is stood for by 100
        ([(0, 10)], [(20, 30)], []),
        ([(0, 10), (0, 20)], [(0, 10, 20)], [0, 10, 20]),
        ([(), (0, 10)], [(0, 10)], [0, 10]),
        ([()], [()], []),
    ],
)
def test_sides_are_compared_where_their_steps_stand_for_each_other(one, other, steps, tmp_path):
    tables = [[pd.DataFrame({"step": own}) for own in runs] for runs in (one, other)]
    found = compared_steps(*tables)
    assert found["step"].tolist() == steps
    for row in found.itertuples():
        for own, runs in ((row.a, one), (row.b, other)):
            assert [step if step < 0 else frames.near(runs[at], row.step) for at, step in enumerate(own)] == own


def test_of_a_side_those_runs_count_that_stand_at_one_step():
    tables = [pd.DataFrame({"step": own}) for own in ([100], [105], [105])]
    found = compared_steps(tables, tables[:1])
    assert found["a"].tolist() == [[-1, 105, 105]]
    assert found["b"].tolist() == [[100]]


def test_a_share_and_a_ratio_are_made_of_what_was_recorded(tmp_path):
    layers = {
        "conv": {"dead_channels": 2.0, "zero_fraction": 0.5, "output_std": 1.0, "shape": [8, 4, 4]},
        "block": {"kind": "block", "branch_norm": 3.0, "shortcut_norm": 6.0, "dead_channels": 2.0, "depth": 1},
        "sum": {"kind": "norm", "output_std": 1.0, "depth": 2},
    }
    run = written(tmp_path, layers)
    dead = read_compared(run, "dead_share")
    assert dead.set_index(["layer", "step"])["value"][("conv", 0)] == 0.25
    assert set(dead.loc[dead["usual"], "layer"]) == {"conv"}  # the block feeds the same rectifier
    assert set(read_compared(run, "forward_ratio")["value"]) == {0.5}
    assert set(read_compared(run, "output_std").query("usual")["layer"]) == {"sum"}  # as in Fig. 7 of He et al.


def test_layers_are_chosen_by_kind_and_by_name(tmp_path):
    layers = {name: {"weight_norm": 1.0} for name in ("stage1.a", "stage1.b", "stage2.a")}
    layers["stage2.norm"] = {"weight_norm": 1.0, "kind": "norm"}
    a = side([written(tmp_path, layers)])

    def chosen(where):
        return by_depth(a, a, "weight_norm", 0, where)["layer"].tolist()

    assert chosen("") == ["stage1.a", "stage1.b", "stage2.a"]
    assert chosen("norm") == ["stage2.norm"]
    assert chosen("stage2.*") == ["stage2.a", "stage2.norm"]
    assert len(chosen("*")) == 4
    assert chosen("fc*") == []


def test_what_is_not_recorded_has_no_rows_and_an_unknown_name_a_sentence(record, tmp_path):
    a = side([record(tmp_path)])
    assert by_depth(a, a, "update_ratio").empty
    with pytest.raises(LabError, match=r"unknown quantity 'output_grad'.*did you mean 'output_grad_norm'"):
        by_depth(a, a, "output_grad")


def test_the_largest_difference_of_each_quantity(tmp_path):
    base = {"weight_norm": 1.0, "update_ratio": 1e-3, "output_mean": 0.0}
    a = side([written(tmp_path, dict.fromkeys("xyz", base), norm="none")])
    changed = {name: dict(base) for name in "xyz"}
    changed["y"] |= {"weight_norm": 0.25, "output_mean": -2.0}
    changed["z"] |= {"weight_norm": 2.0, "update_ratio": 2e-3}
    found = largest(a, side([written(tmp_path, changed, norm="none", seed=1)]), 10).set_index("quantity")
    assert found["layer"].to_dict() == {"weight_norm": "y", "update_ratio": "z", "output_mean": "y"}
    assert found["ratio"].tolist() == pytest.approx([0.25, 2.0, np.nan], nan_ok=True)
    assert found["median"].tolist() == pytest.approx([1.0, 1.0, np.nan], nan_ok=True)
    assert found.loc["output_mean", "difference"] == -2
    assert list(found.index) == ["weight_norm", "update_ratio", "output_mean"]  # the furthest from 1 first
