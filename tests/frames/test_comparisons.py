"""What may be said of two nets beside each other?"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from labapp import frames
from labapp.config import Experiment


def overview(*rows):
    table = pd.DataFrame(rows, columns=["net", "accuracy", "status"])
    table = table.assign(run=table["net"] + " of a seed", seed=range(len(table)))
    return table.assign(family="plain", net_depth=20, step=300, steps=300, comparable=[{}] * len(rows))


def test_only_finished_and_tested_runs_end():
    table = overview(("a", 0.9, "finished"), ("b", 0.1, "stopped"), ("c", 0.2, "running"), ("d", np.nan, "finished"))
    assert frames.finals(table)["net"].tolist() == ["a"]


def test_seeds_become_a_mean_with_students_interval():
    values = [0.90, 0.93, 0.91, 0.96]
    row = frames.finals(overview(*(("a", value, "finished") for value in values))).iloc[0]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert row[["accuracy", "low", "high"]].tolist() == pytest.approx([np.mean(values), low, high])
    assert row["seeds"] == 4


def test_one_seed_has_no_interval_and_its_own_name():
    row = frames.finals(overview(("a", 0.9, "finished"))).iloc[0]
    assert np.isnan([row["low"], row["high"]]).all()
    assert row["name"] == "a of a seed"


def test_a_seed_that_ran_twice_is_one_seed():
    row = frames.finals(overview(("a", 0.9, "finished"), ("a", 0.9, "finished")).assign(seed=0)).iloc[0]
    assert row["seeds"] == 1


def test_a_difference_has_welchs_interval():
    one, other = [0.90, 0.93, 0.91], [0.5, 0.8, 0.6, 0.7]
    rows = [("a", value, "finished") for value in one] + [("b", value, "finished") for value in other]
    worse, better = frames.finals(overview(*rows)).itertuples()
    ends = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert frames.difference(better, worse) == pytest.approx((np.mean(one) - np.mean(other), ends.low, ends.high))


def test_a_difference_of_single_seeds_cannot_be_told():
    worse, better = frames.finals(overview(("a", 0.9, "finished"), ("b", 0.2, "finished"))).itertuples()
    assert np.isnan(frames.difference(better, worse)[1:]).all()


BASE = {"depth": 20, "width": 8, "steps": 30}


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"family": "plain"}, {"family": "residual", "depth": 56}, []),
        ({"family": "plain"}, {"family": "plain", "seed": 3, "norm": "none", "device": "cpu"}, []),  # said by the name
        ({"family": "plain"}, {"family": "residual", "learning_rate": 0.5}, ["learning rate (0.1 and 0.5)"]),
        ({"family": "plain"}, {"family": "residual", "width": 16}, ["width (8 and 16)"]),
        ({"family": "plain"}, {"family": "dense", "depth": 40, "width": 16}, []),  # the stem's, another thing
        ({"family": "plain"}, {"family": "plain", "imageset": "digits"}, ["imageset (cluttered-digits and digits)"]),
        ({"family": "plain"}, {"family": "plain", "clip_norm": 1.0}, ["clip norm (1.0 and not set)"]),
    ],
)
def test_what_differs_besides_the_net_is_named(one, other, said):
    pair = [frames.comparable(Experiment(**BASE | own)) for own in (one, other)]
    assert frames.besides(*pair) == said


def test_of_a_recipe_what_was_asked_for_comes_first():
    pair = [frames.comparable(Experiment(family="plain", recipe=recipe)) for recipe in ("lab", "he")]
    assert frames.besides(*pair)[0] == "recipe (lab and he)"
    assert "steps (300 and 64000)" in frames.besides(*pair)


def test_at_step_0_training_does_not_matter():
    pair = [frames.comparable(Experiment(**BASE, family="plain", **own)) for own in ({}, {"momentum": 0.5})]
    assert frames.besides(*pair)
    assert frames.besides(*pair, untrained=True) == []
