"""Rows of a training, and the ratio of its first to its last gradient."""

import math

import pandas as pd
import pytest

from labapp.config import Experiment
from labapp.store import RunWriter
from labapp.training.logbook import Logbook, first_over_last

ROWS = {
    "step": [0, 0, 0, 5, 5, 5],
    "kind": ["conv", "conv", "norm", "conv", "conv", "linear"],
    "depth": [1, 7, 7, 7, 1, 8],
    "output_grad_norm": [6.0, 2.0, 100.0, 4.0, 1.0, 100.0],
}


@pytest.mark.parametrize("rows", [ROWS, pd.DataFrame(ROWS)])
def test_the_ratio_is_that_of_the_first_and_last_convolution(rows):
    assert first_over_last(rows) == 0.25
    assert first_over_last(rows, step=0) == 3


@pytest.mark.parametrize(
    ("norms", "ratio"),
    [([1.0, 0.0], math.inf), ([0.0, 0.0], math.nan), ([math.nan, 1.0], math.nan), ([math.inf, 2.0], math.inf)],
)
def test_a_gradient_that_is_zero_or_not_finite_is_an_answer(norms, ratio):
    rows = {"step": [0, 0], "kind": ["conv"] * 2, "depth": [1, 2], "output_grad_norm": norms}
    assert first_over_last(rows) == pytest.approx(ratio, nan_ok=True)


def test_without_a_record_there_is_no_ratio():
    assert math.isnan(first_over_last({"step": [], "kind": [], "depth": [], "output_grad_norm": []}))
    assert math.isnan(first_over_last({"step": [0], "kind": ["linear"], "depth": [1], "output_grad_norm": [1.0]}))


def test_rows_reach_the_archive_and_moments_whoever_watches(tmp_path):
    seen = []
    with RunWriter.create(tmp_path, Experiment(steps=2, batch_size=10)) as writer:
        log = Logbook(writer.run.experiment, writer, seen.append)
        log.evaluation(0, "test", 2.3, 0.1)
        log.step(0, (2.3, 0.2, 1.5), rate=0.1, seconds=0.5)
        log.write("layers", ROWS | {"layer": list("abcdef")})
        log.step(1, (2.1, 0.3, 1.4), rate=0.2, seconds=0.25)
        log.evaluation(2, "train", 2.0, 0.9)
        log.evaluation(2, "test", 2.0, 0.4)
        log.end()
    steps = writer.run.steps()
    assert steps["learning_rate"].tolist() == pytest.approx([0.1, 0.2])
    assert steps["images_per_second"].tolist() == [20, 40]
    assert steps["grad_norm"].tolist() == pytest.approx([1.5, 1.4])
    assert writer.run.evals()["split"].tolist() == ["test", "train", "test"]
    assert len(writer.run.layers()) == 6
    assert [(moment.step, moment.final) for moment in seen] == [(1, False), (2, False), (2, True)]
    assert [moment.test_accuracy for moment in seen] == [0.1, 0.1, 0.4]
    assert [moment.ratio for moment in seen] == pytest.approx([math.nan, 0.25, 0.25], nan_ok=True)
    assert not log.diverged


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_noticed_and_kept(tmp_path, loss):
    with RunWriter.create(tmp_path, Experiment(steps=5)) as writer:
        log = Logbook(writer.run.experiment, writer, None)
        log.step(0, (2.3, 0.2, 1.5), 0.1, 1.0)
        log.step(1, (loss, 0.2, math.nan), 0.1, 1.0)
        log.step(2, (loss, 0.2, math.nan), 0.1, 1.0)
    assert log.diverged_at == 1
    assert writer.run.steps()["loss"].tolist()[1:] == pytest.approx([loss, loss], nan_ok=True)


def test_the_other_processes_write_nothing():
    log = Logbook(Experiment(steps=5), None, print)
    log.step(0, (math.nan, 0.2, 1.5), 0.1, 1.0)
    log.evaluation(1, "test", 2.0, 0.5)
    log.end()
    assert log.diverged
