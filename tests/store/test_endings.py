"""Is the last number of a column the one that the whole table ends with?"""

import math

import pytest

from labapp.config import Experiment
from labapp.store import RunWriter, last_number
from tests.conftest import record_run

TEST = {"split": "test"}


def by_table(run, where):
    rows = run.evals(where=where)
    return float(rows["accuracy"].iloc[-1]) if len(rows) else math.nan


@pytest.mark.parametrize("status", ["finished", "failed", None])
def test_it_is_that_of_the_table(tmp_path, status):
    run = record_run(tmp_path, status=status)
    assert last_number(run, "evals", "accuracy", TEST) == by_table(run, TEST) == pytest.approx(0.9)
    assert math.isnan(last_number(run, "evals", "accuracy", {"split": "none"}))


def test_it_is_that_of_the_latest_attempt(tmp_path):
    writer = RunWriter.create(tmp_path, Experiment(steps=20))
    writer.write("evals", {"step": [5, 10], "split": "test", "accuracy": [0.1, 0.7]})
    writer.flush()
    again = RunWriter(writer.path, from_step=6)  # as after a kill
    again.write("evals", {"step": [8, 9], "split": ["test", "train"], "accuracy": [0.2, 0.3]})
    again.flush()
    assert last_number(again.run, "evals", "accuracy", TEST) == by_table(again.run, TEST) == pytest.approx(0.2)
    run = again.finish()
    assert last_number(run, "evals", "accuracy", TEST) == by_table(run, TEST) == pytest.approx(0.2)


def test_of_a_damaged_file_it_is_what_the_table_says(tmp_path):
    run = record_run(tmp_path)
    (part,) = (run.path / "evals").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-20])
    assert math.isnan(last_number(run, "evals", "accuracy", TEST))
    assert run.problems
