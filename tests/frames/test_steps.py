"""Which recorded step stands for the one asked for?"""

import numpy as np
import pandas as pd
import pytest

from labapp import frames
from tests.frames.profiles import one_profile


@pytest.mark.parametrize(
    ("steps", "asked", "stands"),
    [
        ([0, 10], 0, 0),
        ([5, 10], 0, None),  # the initialisation is stood for by no other step
        ([0, 10], 9, None),
        ([0, 100], 95, 100),
        ([95, 105], 100, 95),  # the earlier of two
        ([0, 20], 300, None),
        ([], 3, None),
    ],
)
def test_a_step_stands_for_those_near_it(steps, asked, stands):
    assert frames.near(steps, asked) == stands


def runs_of(**steps):
    parts = [one_profile([1.0, 2.0], run=run, step=step) for run, own in steps.items() for step in own]
    return pd.concat(parts, ignore_index=True)


def test_a_run_is_shown_at_its_own_step_or_not_at_all():
    table = runs_of(a=[0, 100], b=[0, 95], c=[0, 20])
    profile = frames.gradient_profile(table, 100)
    assert profile.groupby("run")["step"].first().to_dict() == {"a": 100, "b": 95}
    where = frames.standing(table, 100).set_index("run")
    assert where["step"].fillna(-1).to_dict() == {"a": 100, "b": 95, "c": -1}
    assert where["nearest"].to_dict() == {"a": 100, "b": 95, "c": 20}


def test_where_no_run_stands_nothing_is_shown():
    assert frames.gradient_profile(runs_of(a=[5, 50]), 0).empty


def test_the_middle_is_that_of_most_runs():
    whole = range(0, 401, 10)
    assert frames.middle_step(runs_of(a=whole, b=whole, broken_off=[0, 10, 20])) == 200
    assert frames.middle_step(runs_of(a=[0])) == 0


def test_a_moment_is_the_true_first_or_each_runs_last_step():
    table = runs_of(a=[0, 100], b=[5, 50])
    assert set(frames.moment(table, last=False)["run"]) == {"a"}
    assert frames.moment(table, last=True).groupby("run")["step"].first().to_dict() == {"a": 100, "b": 50}


def test_what_is_averaged_over_seeds_is_of_one_step():
    table = runs_of(a=[100], b=[100], c=[20], d=[7], e=[9]).assign(net=np.repeat(["x", "x", "x", "y", "y"], 2))
    kept = frames.together(table)
    assert kept.groupby("run")["step"].first().to_dict() == {"a": 100, "b": 100, "e": 9}


def test_any_number_may_be_asked_for():
    assert frames.near([0, 10], 10**30) is None
    assert frames.near([0, 10], -(10**30)) is None
    assert frames.near([2**53 - 1], 2**53 - 1) == 2**53 - 1
