"""Does each pixel have the class of what is seen there?"""

import numpy as np
import pytest
import torch

from labapp.config import LabError
from labapp.imagesets import load
from labapp.imagesets.clutter import CLUTTER, INK, NOISE


@pytest.mark.parametrize(("size", "limit"), [(None, None), (40, 150)])
def test_the_pixels_of_a_class_are_those_of_its_digit(size, limit):
    images = load("cluttered-digits", split="test", image_size=size, limit=limit)
    indices = torch.tensor([7, 3, 140, 3])
    maps = images.label_maps(indices)
    assert maps.dtype == torch.int64
    assert maps.shape == (4, images.image_size, images.image_size)
    for index, given in zip(indices.tolist(), maps, strict=True):
        assert set(given.unique().tolist()) == {0, 1 + int(images.labels[index])}
        np.testing.assert_array_equal(given.numpy() > 0, images.mask(index))


def test_what_only_ink_of_the_digit_can_be_is_on_the_digit():
    """Told from the pixels that a net sees alone: ink that does not count cannot make a channel brighter than this."""
    images = load("cluttered-digits", image_size=40, limit=200)
    indices = torch.arange(200)
    x, labels = images.batch(indices)
    levels = 255 * (x * torch.tensor(images.std).view(3, 1, 1) + torch.tensor(images.mean).view(3, 1, 1))
    brightest = (CLUTTER[1] * (255 - INK) + 255 * INK) / 255 + NOISE  # of faint ink over clutter
    bright = levels.amax(1) > brightest + 1
    maps = images.label_maps(indices)
    assert torch.equal(maps.amax((1, 2)), 1 + labels)
    assert not (bright & (maps == 0)).any()
    assert bright.flatten(1).any(1).all()
    assert bright[maps > 0].float().mean() > 0.4


def test_no_image_has_no_map():
    assert load("cluttered-digits").label_maps(torch.arange(0)).shape == (0, 24, 24)


def test_images_without_masks_and_shifted_ones_are_one_sentence():
    with pytest.raises(LabError, match=r"^digits does not know where .*; cluttered-digits does$"):
        load("digits").label_maps(torch.arange(3))
    with pytest.raises(LabError, match="load them without augment"):
        load("cluttered-digits", augment=True).label_maps(torch.arange(3))
