import math

import torch

from labapp.diagnostics.mask_energy import mask_share
from labapp.diagnostics.pointing_game import pointing_game


def one_at(row: int, column: int, size: int = 6) -> torch.Tensor:
    maps = torch.zeros(1, size, size)
    maps[0, row, column] = 1
    return maps


def a_mask(size: int = 6) -> torch.Tensor:
    masks = torch.zeros(1, size, size, dtype=torch.bool)
    masks[0, 1:3, 1:4] = True
    return masks


def test_hit_and_miss():
    assert pointing_game(one_at(2, 3), a_mask()).tolist() == [1]
    assert pointing_game(one_at(3, 3), a_mask()).tolist() == [0]


def test_near_counts_within_the_tolerance():
    assert pointing_game(one_at(3, 3), a_mask(), tolerance=1).tolist() == [1]
    assert pointing_game(one_at(5, 3), a_mask(), tolerance=2).tolist() == [0]


def test_any_increasing_function_of_the_map_scores_the_same():
    maps = torch.randn(200, 6, 6, generator=torch.Generator().manual_seed(0))
    masks = torch.rand(200, 6, 6, generator=torch.Generator().manual_seed(1)) > 0.6
    scores = pointing_game(maps, masks)
    assert torch.equal(scores, pointing_game(maps.exp() * 3 - 7, masks))
    assert 0.3 < scores.mean() < 0.5  # a random map hits as often as the mask is large


def test_a_constant_map_scores_the_masks_share():
    torch.testing.assert_close(pointing_game(torch.zeros(1, 6, 6), a_mask()), mask_share(a_mask()))


def test_a_coarse_map_is_laid_over_the_image():
    coarse = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, :2, :2] = True
    assert pointing_game(coarse, masks).tolist() == [1]
    assert pointing_game(coarse.flip(1, 2), masks).tolist() == [0]


def test_no_mask_or_no_map_is_nan():
    assert math.isnan(pointing_game(one_at(0, 0), torch.zeros(1, 6, 6, dtype=torch.bool)))
    assert math.isnan(pointing_game(torch.full((1, 6, 6), math.nan), a_mask()))
