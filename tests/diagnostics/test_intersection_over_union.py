"""Is it the quotient of counts, pixel by pixel, and what another library makes of the same pixels?"""

import math

import pytest
import torch
from sklearn.metrics import jaccard_score

from labapp.config import LabError
from labapp.diagnostics.intersection_over_union import confusion, intersection_over_union, mean_iou

CLASSES = 4


@pytest.fixture
def pixels():
    draw = torch.Generator().manual_seed(0)
    return [torch.randint(0, CLASSES, (3, 5, 6), generator=draw) for _ in range(2)]


def test_it_is_what_sets_of_pixels_give(pixels):
    predicted, target = pixels
    counts = confusion(predicted, target, CLASSES)
    assert int(counts.sum()) == 90
    for own, value in enumerate(intersection_over_union(counts).tolist()):
        places = [{at for at, word in enumerate(given.flatten().tolist()) if word == own} for given in pixels]
        assert value == len(places[0] & places[1]) / len(places[0] | places[1])
        for other in range(CLASSES):
            assert int(counts[own, other]) == int(((target == own) & (predicted == other)).sum())


def test_it_is_the_jaccard_index_of_scikit_learn(pixels):
    predicted, target = (given.flatten().numpy() for given in pixels)
    expected = jaccard_score(target, predicted, average=None)
    found = intersection_over_union(confusion(*pixels, CLASSES))
    assert found.tolist() == pytest.approx(expected.tolist())
    assert mean_iou(confusion(*pixels, CLASSES)) == pytest.approx(expected.mean())


def test_a_constant_prediction_scores_its_share_over_the_classes(pixels):
    _, target = pixels
    counts = confusion(torch.zeros_like(target), target, CLASSES)
    assert mean_iou(counts) == pytest.approx(float((target == 0).float().mean()) / CLASSES)


def test_names_of_classes_and_order_of_pixels_do_not_matter(pixels):
    predicted, target = pixels
    order, names = torch.randperm(90), torch.tensor([2, 0, 3, 1])
    renamed = confusion(names[predicted.flatten()[order]], names[target.flatten()[order]], CLASSES)
    found = intersection_over_union(renamed)[names]
    assert torch.equal(found, intersection_over_union(confusion(predicted, target, CLASSES)))


def test_a_class_that_nothing_shows_has_no_value_and_does_not_count():
    target = torch.tensor([0, 0, 1, 1])
    counts = confusion(torch.tensor([0, 0, 1, 0]), target, 3)
    assert intersection_over_union(counts).tolist() == pytest.approx([2 / 3, 1 / 2, math.nan], nan_ok=True)
    assert mean_iou(counts) == pytest.approx(7 / 12)
    assert math.isnan(mean_iou(torch.zeros(3, 3, dtype=torch.long)))
    assert mean_iou(confusion(target, target, 3)) == 1


@pytest.mark.parametrize(
    ("predicted", "target", "sentence"),
    [
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4).long(), r"one class a pixel, such as logits\.argmax\(1\)"),
        (torch.zeros(4), torch.zeros(4).long(), "predictions must be whole numbers from 0 to 3"),
        (torch.tensor([0, 4]), torch.tensor([0, 1]), "predictions must be"),
        (torch.tensor([0, 1]), torch.tensor([0, -1]), "targets must be"),
    ],
)
def test_what_is_no_class_is_one_sentence(predicted, target, sentence):
    with pytest.raises(LabError, match=sentence):
        confusion(predicted, target, CLASSES)
