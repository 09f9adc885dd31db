import math

import pytest
import torch
from scipy import stats

from labapp.config import LabError
from labapp.diagnostics.linear_probe import linear_probe


def clusters(distance: float, images: int = 400, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % classes
    return distance * torch.eye(classes, 6)[labels] + torch.randn(images, 6, generator=draw), labels


def test_far_classes_are_told_apart_and_equal_ones_are_not():
    assert linear_probe(*clusters(20)).value == 1
    chance = linear_probe(*clusters(0))
    assert chance.low < 0.25 < chance.high


def test_two_gaussians_give_the_best_possible_accuracy():
    features, labels = clusters(1.0, images=4000, classes=2)
    best = stats.norm.cdf(math.sqrt(2) / 2)  # centres √2 apart, unit variance
    assert linear_probe(features, labels).value == pytest.approx(best, abs=0.03)  # three standard errors of 2000


def test_shift_and_scale_of_single_features_change_nothing():
    features, labels = clusters(1.5)
    moved = features * torch.tensor([1.0, 10, 100, 1e-2, 1, 1]) + 5
    assert linear_probe(moved, labels).value == pytest.approx(linear_probe(features, labels).value, abs=0.01)


def test_the_split_is_by_seed_and_touches_no_generator():
    features, labels = clusters(1.0)
    noise = torch.get_rng_state()
    assert linear_probe(features, labels, seed=3) == linear_probe(features, labels, seed=3)
    assert linear_probe(features, labels, seed=3) != linear_probe(features, labels, seed=4)
    assert torch.equal(torch.get_rng_state(), noise)


def test_maps_are_laid_flat():
    features, labels = clusters(20)
    assert linear_probe(features.view(-1, 2, 3), labels).value == 1


def test_what_cannot_be_probed_says_why():
    features, labels = clusters(1.0, images=40)
    assert "one class" in linear_probe(features, torch.zeros(40, dtype=torch.long)).note
    assert "single image" in linear_probe(features, torch.arange(40)).note
    assert "same features" in linear_probe(torch.ones(40, 2), labels).note
    assert "not finite" in linear_probe(torch.full((40, 2), math.nan), labels).note
    assert "too few to train on and score 4 classes" in linear_probe(features[:8], labels[:8], test_share=0.25).note
    assert "at least 4" in linear_probe(features[:3], labels[:3]).note
    assert math.isnan(linear_probe(torch.ones(40, 2), labels).value)


def test_users_mistakes_are_one_sentence():
    features, labels = clusters(1.0, images=40)
    with pytest.raises(LabError, match="one class an image"):
        linear_probe(features, labels[:5])
    with pytest.raises(LabError, match="as integers"):
        linear_probe(features, labels.float())
    with pytest.raises(LabError, match="between 0 and 1"):
        linear_probe(features, labels, test_share=1)
    with pytest.raises(LabError, match="above 0"):
        linear_probe(features, labels, penalty=0)


def test_a_probe_that_has_not_converged_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("labapp.diagnostics.linear_probe.ITERATIONS", 1)
    assert linear_probe(*clusters(1.0)).note == "the probe had not converged"
