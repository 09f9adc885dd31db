"""The order of images: reproducible, the same for every net, shared out among processes without loss."""

import gc
import threading
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from labapp.config import LabError
from labapp.imagesets import load
from labapp.imagesets.order import batches, generator, in_turn, order, seed_of


def test_every_draw_has_its_own_seed():
    seeds = {seed_of(seed, name, n) for seed in range(20) for name in ("order", "weights") for n in range(20)}
    assert len(seeds) == 20 * 2 * 20
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(0, "order") == seed_of(0, "order", 0)
    one, two = (torch.rand(1000, generator=generator(0, "order", n)) for n in (0, 1))
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.1  # three standard deviations of 1000 independent pairs


def test_an_epoch_takes_every_image_once_and_the_next_one_in_another_order():
    first, second = (torch.cat(list(islice(order(64, 16, 0), 4 * n, 4 * n + 4))) for n in (0, 1))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(64))
    assert first.tolist() != second.tolist()


def test_an_incomplete_batch_is_left_out():
    sizes = [len(indices) for indices in islice(order(70, 32, 0), 5)]
    assert sizes == [32] * 5


def test_a_batch_larger_than_the_set_is_refused():
    with pytest.raises(LabError, match="a batch of 65 is more than the 64 training images"):
        next(order(64, 65, 0))


def test_batches_depend_on_the_seed_alone():
    images = load("cluttered-digits", limit=100, augment=True)
    one, two, other = (list(islice(batches(images, 16, seed), 8)) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(one, two, strict=True))
    assert not any(torch.equal(a, b) for (a, _), (b, _) in zip(one, other, strict=True))


def test_processes_together_see_what_one_would():
    images = load("digits", limit=50)
    whole, *parts = (list(islice(batches(images, 12, 0, share), 3)) for share in [(0, 1), (0, 3), (1, 3), (2, 3)])
    for step, (pixels, labels) in enumerate(whole):
        assert labels.sum() == sum(part[step][1].sum() for part in parts)
        seen = torch.cat([part[step][0] for part in parts])
        torch.testing.assert_close(seen.sum(0), pixels.sum(0))


@pytest.mark.parametrize("share", [(0, 1), (1, 2)])
@pytest.mark.parametrize("first", [1, 3, 4, 9, 40])
def test_batches_may_begin_at_any_step(first, share):
    """70 images are four batches of 16 an epoch: within one, at the end of one, and some epochs later."""
    images = load("cluttered-digits", limit=70, augment=True)
    whole = list(islice(batches(images, 16, 3, share), first + 3))[first:]
    for (x, y), (x_known, y_known) in zip(batches(images, 16, 3, share, first), whole, strict=False):
        assert torch.equal(x, x_known)
        assert torch.equal(y, y_known)


def test_files_are_read_ahead_in_the_order_that_memory_would_have(tmp_path):
    for label in ("a", "b"):
        for n in range(6):
            (tmp_path / "train" / label).mkdir(parents=True, exist_ok=True)
            grey = np.full((8, 8, 3), 20 * n + 7 * (label == "b"), np.uint8)
            Image.fromarray(grey).save(tmp_path / "train" / label / f"{n}.png")
    images = load("folder", data=tmp_path, image_size=8, normalise=False)
    state = torch.get_rng_state()
    endless = batches(images, 4, 0)
    seen = list(islice(endless, 40))
    assert torch.equal(state, torch.get_rng_state())
    for (pixels, labels), indices in zip(seen, order(12, 4, 0), strict=False):
        expected = torch.tensor([(20 * (i % 6) + 7 * (i // 6)) / 255 for i in indices.tolist()])
        torch.testing.assert_close(pixels[:, 0, 0, 0], expected)
        assert labels.tolist() == [i // 6 for i in indices.tolist()]
    del endless
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("labapp-reader")]


def test_in_turn_gives_each_image_once_and_never_augmented():
    images = load("digits", limit=30, augment=True)
    pixels, labels = (torch.cat(parts) for parts in zip(*in_turn(images, batch_size=8), strict=True))
    assert torch.equal(pixels, images.tensors()[0])
    assert torch.equal(labels, images.labels)
    assert sum(len(y) for _, y in in_turn(images, limit=10)) == 10
