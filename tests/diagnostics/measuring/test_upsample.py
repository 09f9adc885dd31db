import torch
from captum.attr import LayerAttribution

from labapp.diagnostics.measuring.upsample import upsample


def test_equals_captum():
    maps = torch.randn(2, 3, 4)
    theirs = LayerAttribution.interpolate(maps[:, None], (12, 10), "bilinear")[:, 0]
    torch.testing.assert_close(upsample(maps, (12, 10)), theirs)


def test_a_constant_stays():
    torch.testing.assert_close(upsample(torch.full((1, 2, 2), 3.0), (9, 7)), torch.full((1, 9, 7), 3.0))


def test_nearest_repeats():
    maps = torch.tensor([[[1.0, 2.0]]])
    assert upsample(maps, (1, 4), mode="nearest").tolist() == [[[1, 1, 2, 2]]]
