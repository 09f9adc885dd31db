"""Many images: energy inside masks, agreement of nets, and the sanity check."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from labapp.config import LabError
from labapp.diagnostics.measuring.interval import mean_interval, share_interval
from labapp.probes import explanations
from labapp.probes.explanations import from_set, look, of_run


@pytest.fixture
def both(run):
    net = of_run(run)
    return explanations.survey(net, run, count=40), explanations.survey(
        explanations.untrained_of(net, run), run, count=40
    )


def test_a_survey_is_the_looks_of_its_images(run, both):
    """In batches or one by one, the same."""
    for index in (0, 39):
        for layer in look(of_run(run), from_set(run, index), target="true").stages:
            np.testing.assert_allclose(both[0].maps[layer.path][index], layer.evidence, rtol=1e-3, atol=1e-5)
            assert both[0].energy[layer.path][index] == pytest.approx(layer.energy, nan_ok=True, abs=1e-4)


def test_the_energy_table_sets_trained_beside_untrained(run, both):
    table = explanations.energy_table(*both)
    cell = {(row["layer"], row["measure"], row["net"]): row for row in table}
    last = both[0].last
    ours, theirs = both[0].energy[last], both[1].energy[last]
    assert cell[last, "energy", "trained"]["mean"] == pytest.approx(np.nanmean(ours), rel=1e-5)
    assert cell[last, "energy", "difference"]["mean"] == pytest.approx(np.nanmean(ours - theirs), rel=1e-4, abs=1e-6)
    assert cell[last, "energy", "uniform"]["mean"] == pytest.approx(both[0].share.mean(), rel=1e-5)
    assert all(not row["low"] > row["mean"] and not row["high"] < row["mean"] for row in table)
    assert both[1].step == 0


def test_hits_are_a_count_unless_some_are_shared(both):
    last = both[0].last
    hits = np.arange(len(both[0].correct)) % 3 == 0
    for shared, interval in ((1.0, share_interval), (0.5, mean_interval)):  # half of an image's highest places hit
        scores = hits.astype(np.float32)
        scores[0] = shared
        changed = replace(both[0], pointing=both[0].pointing | {last: scores})
        table = explanations.energy_table(changed, both[1])
        row = next(r for r in table if (r["layer"], r["measure"], r["net"]) == (last, "pointing", "trained"))
        expected = interval(torch.from_numpy(scores))
        assert (row["mean"], row["low"], row["high"]) == pytest.approx(expected[:3])


def test_progress_is_told(run):
    told = []
    explanations.survey(of_run(run), run, count=70, tell=lambda share, what: told.append(share))
    assert told == [0.0, 32 / 70, 64 / 70]


def test_a_survey_needs_an_image(run):
    with pytest.raises(LabError, match="at least 1 image"):
        explanations.survey(of_run(run), run, count=0)


def test_a_net_agrees_with_itself_and_drifts_to_where_it_ends(run, both):
    rows = explanations.agreement_of([both[0], both[0].named("again")])
    assert {row["measure"]: row["mean"] for row in rows} == pytest.approx({"rank correlation": 1.0, "overlap": 1.0})
    looks = [look(of_run(run, step), from_set(run, 0)) for step in run.checkpoints()]
    formed = [row for row in explanations.drift_of(looks) if row["measure"] == "formed"]
    assert [row["step"] for row in formed] == run.checkpoints()
    assert formed[-1]["mean"] == pytest.approx(1.0)


def test_the_sanity_check_ends_in_a_verdict(run):
    verdict, rows, interval = explanations.check_sanity(of_run(run), run, count=8, checks=3)
    assert verdict in {"depends on the weights", "does not depend on the weights", "undecided"}
    assert {row["measure"] for row in rows} == {"signed", "absolute", "ssim"}
    assert len(rows) == 9
    signed = [row["mean"] for row in rows if row["measure"] == "signed"]
    assert interval.mean == pytest.approx(np.mean(signed))
    assert interval.low <= interval.mean <= interval.high


def test_faithfulness_scores_every_layer(run):
    net, sample = of_run(run), from_set(run, 0)
    found = look(net, sample)
    rows = explanations.faithfulness(net, sample, found, found.stages)
    assert [row["layer"] for row in rows] == [layer.path for layer in found.stages]
    assert all(0 <= row["deletion"] <= 1 and 0 <= row["insertion"] <= 1 for row in rows)
