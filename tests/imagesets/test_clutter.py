"""Canvases: real digits, disjoint between the splits, the same bits for the same seed, a mask that fits."""

import hashlib

import numpy as np
import pytest
from scipy import ndimage
from sklearn.datasets import load_digits

from labapp.imagesets import clutter


def test_the_splits_share_out_the_real_digits_class_by_class():
    train, _ = clutter.digits("train")
    test, test_labels = clutter.digits("test")
    assert len(train) + len(test) == len(load_digits().target)
    for label in range(10):
        share = (test_labels == label).sum() / (load_digits().target == label).sum()
        assert 0.18 < share <= 0.2  # every fifth of some 180, from below
    assert not {image.tobytes() for image in train} & {image.tobytes() for image in test}
    assert train.max() == 255
    assert train.dtype == np.uint8


def test_the_digits_are_those_that_scikit_learn_reads():
    ours = [clutter.digits(split) for split in ("train", "test")]
    images, labels = (np.concatenate(part) for part in zip(*ours, strict=True))
    theirs = load_digits()
    known = sorted(
        zip((theirs.images * 255 // 16).astype(np.uint8).reshape(-1, 64).tolist(), theirs.target, strict=True)
    )
    assert sorted(zip(images.reshape(-1, 64).tolist(), labels, strict=True)) == known


def test_one_seed_gives_the_same_bits_everywhere():
    made = clutter.canvases("train", 50, seed=3)
    again = clutter.canvases("train", 50, seed=3)
    other = clutter.canvases("train", 50, seed=4)
    assert all(np.array_equal(one, two) for one, two in zip(made, again, strict=True))
    assert not np.array_equal(made.images, other.images)
    # Recorded once: integers only, so another processor or library version must not change a bit.
    assert hashlib.sha256(made.images.tobytes()).hexdigest()[:16] == "f48fd58ead1bbc70"


def test_a_canvas_has_its_digit_where_the_mask_says():
    made = clutter.canvases("test", 200)
    assert made.images.shape == (200, 24, 24, 3)
    assert made.masks.shape == (200, 24, 24)
    ink, labels = clutter.digits("test")
    smallest, largest = clutter.DIGIT_SIDE
    patterns = {
        (label, np.packbits(pattern).tobytes(), pattern.shape)
        for side in range(smallest, largest + 1)
        for pattern, label in zip(map(crop, clutter.enlarge(ink, side) >= clutter.INK), labels, strict=True)
    }
    for mask, label in zip(made.masks, made.labels, strict=True):
        pattern = crop(mask)
        assert (label, np.packbits(pattern).tobytes(), pattern.shape) in patterns
    # and the digit is brighter than what is around it
    inside = made.images[made.masks].max(axis=-1).mean()
    around = made.images[~made.masks].max(axis=-1).mean()
    assert inside > 2 * around


def test_a_canvas_is_its_digit_on_a_background_that_no_label_has_touched():
    made = clutter.canvases("train", 300, seed=5)
    ink, _ = clutter.digits("train")
    ground = clutter.background(ink, 300, 24, np.random.default_rng([5, 0]))
    near = np.stack(
        [ndimage.binary_dilation(mask, iterations=2) for mask in made.masks]
    )  # faint ink lies around the mask
    difference = np.abs(made.images[~near].astype(int) - ground[~near]).max(axis=-1)
    # a pixel without ink differs by the noise alone; faint strokes reach further than two pixels here and there
    assert (difference <= clutter.NOISE).mean() > 0.98


def test_enlarging_is_bilinear():
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(0).integers(0, 256, size=(3, 8, 8))
    ours = clutter.enlarge(image, 13)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(image)[:, None].double(), size=13, mode="bilinear")
    np.testing.assert_allclose(ours, theirs[:, 0].numpy(), atol=0.5 + 1e-9)  # rounded to integers
    assert np.array_equal(clutter.enlarge(image, 8), image)


@pytest.mark.parametrize("size", [8, 16, 32, 48])
def test_other_sizes_keep_their_proportions(size):
    made = clutter.canvases("train", 20, size=size)
    assert made.images.shape == (20, size, size, 3)
    heights = np.array([crop(mask).shape[0] for mask in made.masks])
    assert heights.max() <= clutter.DIGIT_SIDE[1] * size // 24
    assert heights.min() >= clutter.DIGIT_SIDE[0] * size // 24 // 2


def crop(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
