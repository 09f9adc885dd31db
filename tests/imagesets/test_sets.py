"""Image sets by name: batches, normalisation, augmentation, folders, and what is said when something is wrong."""

import numpy as np
import pytest
import torch
from PIL import Image

from labapp.config import IMAGESETS, LabError
from labapp.imagesets import MIRRORED, FolderSet, augment, load
from labapp.imagesets.downloads import SOURCES


def test_the_default_set_is_as_announced():
    train, test = load("cluttered-digits"), load("cluttered-digits", split="test")
    assert (len(train), len(test)) == (5000, 1000)
    assert (train.num_classes, train.channels, train.image_size) == (10, 3, 24)
    image, label = test[7]
    assert image.dtype == torch.float32
    assert image.shape == (3, 24, 24)
    assert label == int(test.labels[7])
    assert test.raw(7).dtype == np.uint8
    assert test.raw(7).shape == (24, 24, 3)
    assert test.mask(7).dtype == bool
    assert test.mask(7).shape == (24, 24)


def test_training_images_have_mean_zero_and_deviation_one_by_channel():
    for name in ("cluttered-digits", "digits"):
        images, labels = load(name).tensors()
        assert len(images) == len(labels)
        torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(images.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(images.std((0, 2, 3)), torch.ones(images.shape[1]), atol=1e-4, rtol=0)


def test_test_images_are_normalised_by_the_training_set():
    train, test = load("digits"), load("digits", split="test")
    assert (train.mean, train.std) == (test.mean, test.std)
    raw, seen = test.raw(3)[..., 0] / 255, test[3][0][0].numpy()
    np.testing.assert_allclose(seen * test.std[0] + test.mean[0], raw, atol=1e-6)


def test_without_normalisation_images_stay_between_zero_and_one():
    images, _ = load("digits", normalise=False).tensors()
    assert images.min() == 0
    assert images.max() == 1


def test_items_batches_and_tensors_agree():
    images = load("cluttered-digits", split="test")
    everything, labels = images.tensors()
    batch, batch_labels = images.batch(torch.tensor([5, 2, 900]))
    assert torch.equal(batch, everything[[5, 2, 900]])
    assert torch.equal(batch_labels, labels[[5, 2, 900]])
    assert torch.equal(images[2][0], everything[2])
    assert torch.equal(images[-1][0], everything[-1])
    with pytest.raises(IndexError):
        images[1000]


def test_a_limit_draws_the_same_images_every_time_and_their_masks_with_them():
    few, again, whole = (load("cluttered-digits", limit=limit) for limit in (200, 200, None))
    assert len(few) == 200
    assert torch.equal(few.images, again.images)
    assert len(set(few.labels.tolist())) == 10
    where = next(i for i in range(len(whole)) if torch.equal(whole.images[i], few.images[17]))
    np.testing.assert_array_equal(few.mask(17), whole.mask(where))
    assert few.mean == whole.mean  # measured on the whole set


def test_another_seed_makes_other_canvases():
    assert not torch.equal(load("cluttered-digits", seed=1).images, load("cluttered-digits", seed=0).images)


def test_another_size_is_another_drawing():
    assert load("cluttered-digits", image_size=32)[0][0].shape == (3, 32, 32)
    assert load("digits", image_size=8)[0][0].shape == (1, 8, 8)


def test_augmentation_shifts_by_at_most_the_pad_and_mirrors_half():
    image = torch.arange(24.0 * 24).view(1, 24, 24) + 1
    batch = image.expand(400, 1, 24, 24)
    generator = torch.Generator().manual_seed(0)
    seen = augment(batch, mirror=True, generator=generator)
    padded = torch.nn.functional.pad(image, (4, 4, 4, 4))[0]
    crops = {
        (top, left, mirrored): crop
        for top in range(9)
        for left in range(9)
        for mirrored in (False, True)
        for crop in [
            padded[top : top + 24, left : left + 24].flip(1) if mirrored else padded[top : top + 24, left : left + 24]
        ]
    }
    found = [next(key for key, crop in crops.items() if torch.equal(crop, view[0])) for view in seen]
    assert {top for top, _, _ in found} == set(range(9))
    assert {left for _, left, _ in found} == set(range(9))
    assert 140 < sum(mirrored for _, _, mirrored in found) < 260  # 200 ± 6 standard deviations of 10
    again = augment(batch, mirror=True, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seen, again)
    straight = augment(batch, mirror=False, generator=generator)
    assert all(
        any(torch.equal(crops[t, left, False], view[0]) for t in range(9) for left in range(9))
        for view in straight[:20]
    )


def test_digits_are_never_mirrored():
    assert not {"cluttered-digits", "digits", "mnist", "svhn"} & set(MIRRORED)


def test_augmentation_takes_its_chance_from_the_given_generator_only():
    images = load("cluttered-digits", augment=True)
    before = torch.get_rng_state()
    one = images.batch(torch.arange(8), torch.Generator().manual_seed(1))[0]
    two = images.batch(torch.arange(8), torch.Generator().manual_seed(1))[0]
    assert torch.equal(one, two)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(one, load("cluttered-digits").batch(torch.arange(8))[0])
    assert torch.equal(images.tensors()[0][:8], load("cluttered-digits").batch(torch.arange(8))[0])


@pytest.fixture
def pictures(tmp_path):
    """Two classes of image files of many shapes, colour modes and formats."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("test", 2)):
        for label, grey in (("dark", 40), ("light", 200)):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for n in range(count):
                pixels = np.clip(rng.normal(grey, 20, (40 + 10 * n, 50, 3)), 0, 255).astype(np.uint8)
                image = Image.fromarray(pixels)
                image = image.convert("L") if n == 1 else image
                image.save(folder / f"{n}.{'jpg' if n == 0 else 'png'}")
    return tmp_path


def test_a_folder_of_images_is_a_set(pictures):
    train, test = (load("folder", split=split, data=pictures) for split in ("train", "test"))
    assert isinstance(train, FolderSet)
    assert (len(train), len(test), train.classes, train.image_size) == (10, 4, ("dark", "light"), 32)
    batch, labels = train.batch(torch.arange(10))
    assert batch.shape == (10, 3, 32, 32)
    assert labels.tolist() == [0] * 5 + [1] * 5
    torch.testing.assert_close(batch.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    assert test.mean == train.mean
    assert test.mask(0) is None
    assert test.raw(3).mean() > 150
    assert load("folder", data=pictures, image_size=16, limit=3)[2][0].shape == (3, 16, 16)


def test_a_folder_that_holds_nothing_says_what_it_should_hold(tmp_path):
    with pytest.raises(
        LabError, match=r"no images by class under .*train; an image folder holds train/<class>/\*\.png"
    ):
        load("folder", data=tmp_path)
    (tmp_path / "train" / "empty").mkdir(parents=True)
    with pytest.raises(LabError, match="no images by class"):
        load("folder", data=tmp_path)


def test_test_folders_must_be_the_training_folders(pictures):
    (pictures / "test" / "dark").rename(pictures / "test" / "night")
    with pytest.raises(LabError, match=r"light and night, those under .* are dark and light"):
        load("folder", split="test", data=pictures)


def test_a_broken_picture_is_named(pictures):
    broken = pictures / "train" / "dark" / "3.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(LabError, match=r"dark/3\.png is no image that can be read"):
        load("folder", data=pictures, normalise=False).batch(torch.arange(10))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "cluttered-digit"}, "unknown image set 'cluttered-digit'; .*did you mean 'cluttered-digits'"),
        ({"name": "digits", "split": "tests"}, "unknown split 'tests'; there are train and test .*'test'"),
        ({"name": "digits", "image_size": 4}, "images of 4 pixels show nothing; take at least 8"),
        ({"name": "digits", "limit": 5000}, "digits has 1442 train images, so 5000 of them cannot be taken"),
        ({"name": "digits", "limit": 0}, "so 0 of them cannot be taken"),
    ],
)
def test_mistakes_are_one_sentence(options, sentence):
    with pytest.raises(LabError, match=sentence):
        load(**options)


def test_every_name_that_the_configuration_knows_has_a_source():
    assert set(IMAGESETS) == {"cluttered-digits", "digits", "folder", *SOURCES}
