"""The table behind the loss surfaces of a page, against a paraboloid."""

import numpy as np
import pandas as pd
import pytest

from labapp import frames
from tests.frames.probed_runs import run_of


def plane(loss, classes=10):
    axis = np.linspace(-1, 1, 5)
    alpha, beta = (side.ravel() for side in np.meshgrid(axis, axis))
    rows = pd.DataFrame({"alpha": alpha, "beta": beta, "loss": loss(alpha, beta)})
    return rows.assign(accuracy=0.5, images=9, classes=classes, seed=0)


def test_cells_of_a_plane_lie_side_by_side(tmp_path):
    run = run_of(tmp_path)
    run.write_probe("loss_surface", 0, plane(lambda a, b: 1 + a**2 + b**2))
    table = frames.loss_surface([run], 0)
    assert len(table) == 25
    assert sorted(set(table["alpha_low"])) == pytest.approx([-1.25, -0.75, -0.25, 0.25, 0.75])
    assert table["alpha_high"].tolist() == pytest.approx((table["alpha"] + 0.25).tolist())
    assert set(table["state"]) == {"finite"}
    (row,) = frames.of_planes(table).itertuples()
    assert (row.middle, row.greatest, row.ill) == (1, 3, 0)
    assert row.guessing == pytest.approx(np.log(10))
    assert row.below == 21 / 25  # all but the corners, where it is 3


def test_what_is_not_finite_is_counted_and_stays(tmp_path):
    run = run_of(tmp_path)
    run.write_probe("loss_surface", 0, plane(lambda a, b: np.where(a > 0.9, np.inf, np.where(b > 0.9, np.nan, 0.5))))
    table = frames.loss_surface([run], 0)
    assert table["state"].value_counts().to_dict() == {"finite": 16, "∞": 5, "NaN": 4}
    (row,) = frames.of_planes(table).itertuples()
    assert (row.ill, row.greatest, row.below) == (9, 0.5, 16 / 25)


def test_a_step_that_was_not_measured_has_no_plane(tmp_path):
    run = run_of(tmp_path)
    run.write_probe("loss_surface", 100, plane(lambda a, b: a))
    table = frames.loss_surface([run], 0)
    assert table.empty
    assert "value" in table
    assert frames.of_planes(table).empty
