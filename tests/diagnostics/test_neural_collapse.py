import math

import numpy as np
import pytest
import torch
from scipy import stats

from labapp.config import LabError
from labapp.diagnostics.neural_collapse import NAMES, neural_collapse

CLASSES, DIMENSIONS = 10, 16


def simplex() -> torch.Tensor:
    """Ten equiangular, equally long means (C, D): the simplex ETF, turned into a larger space and shifted."""
    frame = torch.eye(CLASSES, dtype=torch.float64) - 1 / CLASSES
    draw = torch.Generator().manual_seed(0)
    Q, _ = torch.linalg.qr(torch.randn(DIMENSIONS, DIMENSIONS, generator=draw, dtype=torch.float64))
    return torch.nn.functional.pad(frame, (0, DIMENSIONS - CLASSES)) @ Q


def around(means: torch.Tensor, spread: float, images: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(images) % len(means)
    noise = torch.randn(images, means.shape[1], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return means[labels] + spread * noise, labels


def values(*args: torch.Tensor, **options: torch.Tensor) -> dict[str, float]:
    return {name: measured.value for name, measured in neural_collapse(*args, **options).items()}


def test_full_collapse_is_zero_in_all_five():
    means = simplex()
    features, labels = around(means, 0.0)
    found = values(3 * features + 5, labels, weight=0.1 * means, outputs=features @ means.T)
    assert list(found) == list(NAMES)
    for name in NAMES:
        assert found[name] == pytest.approx(0, abs=1e-9)
    centred = torch.nn.functional.normalize(means - means.mean(0))
    assert float((centred @ centred.T)[0, 1]) == pytest.approx(-1 / 9)


def test_variability_is_that_of_the_paper():
    """Papyan's tr(Σ_W Σ_B⁺) / C with the matrices written out."""
    features, labels = around(simplex() * torch.linspace(1, 2, CLASSES)[:, None], 0.3)
    means = torch.stack([features[labels == c].mean(0) for c in range(CLASSES)])
    within = sum((features[i] - means[labels[i]]).outer(features[i] - means[labels[i]]) for i in range(len(labels)))
    centred = means - means.mean(0)
    between = centred.T @ centred / CLASSES
    expected = np.trace((within / len(labels)).numpy() @ np.linalg.pinv(between.numpy(), rcond=1e-9)) / CLASSES
    assert values(features, labels)["nc1"] == pytest.approx(expected, rel=1e-8)


def test_spread_grows_with_its_square_and_leaves_the_means():
    small, large = (values(*around(simplex(), spread, images=4000))["nc1"] for spread in (0.01, 0.02))
    assert large / small == pytest.approx(4, rel=0.02)


def test_equal_lengths_and_angles_are_seen_apart():
    lengths = torch.linspace(1, 2, CLASSES, dtype=torch.float64)[:, None]
    unequal = torch.randn(CLASSES, DIMENSIONS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    centred = unequal - unequal.mean(0)
    stretched = values(*around(simplex() * lengths, 0.0))
    assert stretched["nc2_norms"] > 0.1
    cosines = torch.nn.functional.normalize(centred) @ torch.nn.functional.normalize(centred).T
    off = cosines[~torch.eye(CLASSES, dtype=torch.bool)]
    assert values(*around(unequal, 0.0))["nc2_angles"] == pytest.approx(float((off + 1 / 9).abs().mean()))


def test_classes_of_unequal_size_count_alike():
    features, labels = around(simplex(), 0.0)
    kept = torch.cat([torch.nonzero(labels == 0)[:2].flatten(), torch.nonzero(labels > 0).flatten()])
    found = values(features[kept], labels[kept])
    assert found["nc2_norms"] == pytest.approx(0, abs=1e-9)
    assert found["nc2_angles"] == pytest.approx(0, abs=1e-9)


def test_duality_and_decisions_lie_between_their_ends():
    means = simplex()
    features, labels = around(means, 0.1)
    opposite = values(features, labels, weight=-(means - means.mean(0)))
    assert opposite["nc3"] == pytest.approx(2, abs=0.02)
    wrong = torch.nn.functional.one_hot((labels + 1) % CLASSES, CLASSES).double()
    assert values(features, labels, outputs=wrong)["nc4"] == 1
    half = torch.cat([wrong[: len(wrong) // 2], torch.nn.functional.one_hot(labels[len(wrong) // 2 :], CLASSES)])
    found = neural_collapse(features, labels, outputs=half)["nc4"]
    expected = stats.binomtest(len(wrong) // 2, len(wrong)).proportion_ci(0.95, method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((0.5, expected.low, expected.high))


def test_few_images_of_a_class_are_said():
    features, labels = around(simplex(), 0.1)
    few = torch.cat([torch.nonzero(labels == each)[: 4 if each else 9].flatten() for each in range(CLASSES)])
    note = neural_collapse(features[few], labels[few])["nc1"].note
    assert note == "a class has 4 images; of fewer than 10 its mean is uncertain, and nc1 with it"
    assert neural_collapse(features, labels)["nc1"].note == ""


def test_what_is_missing_says_why():
    features, labels = around(simplex(), 0.1)
    found = neural_collapse(features, labels)
    assert found["nc3"].note == "needs the weights of the last linear layer"
    assert found["nc4"].note == "needs the net's outputs"
    few = neural_collapse(features, labels, weight=torch.ones(12, DIMENSIONS))
    assert few["nc3"].note == "the images show 10 of the classifier's 12 classes"
    assert "all 0" in neural_collapse(features, labels, weight=torch.zeros(10, DIMENSIONS))["nc3"].note
    broken = torch.full((10, DIMENSIONS), math.nan)
    assert "not finite" in neural_collapse(features, labels, weight=broken)["nc3"].note
    assert "not finite" in neural_collapse(features, labels, outputs=broken[:1].repeat(200, 1))["nc4"].note
    single = neural_collapse(features[:10], labels[:10])
    assert math.isnan(single["nc1"].value)
    assert not math.isnan(single["nc2_norms"].value)
    for given, classes, why in (
        (features, torch.zeros(200, dtype=torch.long), "one class"),
        (torch.ones(200, 3), labels, "same features"),
        (torch.full((200, 3), math.nan), labels, "not finite"),
        (torch.cat([-features[:100], features[:100]]), labels[:100].repeat(2), "same mean"),
    ):
        assert all(why in measured.note for measured in neural_collapse(given, classes).values())


def test_users_mistakes_are_one_sentence():
    features, labels = around(simplex(), 0.1)
    with pytest.raises(LabError, match="do not fit 16 features"):
        neural_collapse(features, labels, weight=torch.ones(10, 3))
    with pytest.raises(LabError, match="do not fit 200 images"):
        neural_collapse(features, labels, outputs=torch.ones(3, 10))
    with pytest.raises(LabError, match="one class an image"):
        neural_collapse(features, labels[:3])
