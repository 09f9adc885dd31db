import math

import torch

from labapp.diagnostics.mask_energy import mask_energy, mask_share

SEEDED = torch.Generator().manual_seed(0)


def test_against_a_loop():
    maps = torch.randn(3, 5, 5, generator=SEEDED)
    masks = torch.rand(3, 5, 5, generator=SEEDED) > 0.5
    for energy, a_map, mask in zip(mask_energy(maps, masks), maps.tolist(), masks.tolist(), strict=True):
        pairs = [(max(v, 0), m) for row, mrow in zip(a_map, mask, strict=True) for v, m in zip(row, mrow, strict=True)]
        expected = sum(v for v, m in pairs if m) / sum(v for v, _ in pairs)
        torch.testing.assert_close(float(energy), expected, rtol=1e-5, atol=1e-7)


def test_known_values():
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[0, :2] = True
    assert mask_energy(masks.float(), masks).tolist() == [1]
    assert mask_energy(1 - masks.float(), masks).tolist() == [0]
    assert mask_energy(torch.ones(1, 4, 4), masks).tolist() == mask_share(masks).tolist() == [0.5]
    assert mask_energy(masks.float() * 2 - 1, masks).tolist() == [1]  # what speaks against the class has no energy


def test_a_scale_does_not_matter():
    maps, masks = torch.randn(4, 6, 6, generator=SEEDED), torch.rand(4, 6, 6, generator=SEEDED) > 0.7
    torch.testing.assert_close(mask_energy(maps * 1e-3, masks), mask_energy(maps, masks))


def test_a_coarse_map_is_laid_over_the_image():
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, :4] = True
    assert mask_energy(torch.tensor([[[1.0], [0.0]]]), masks) > 0.8
    torch.testing.assert_close(mask_energy(torch.ones(1, 2, 2), masks), torch.tensor([0.5]))


def test_nothing_to_share_out_is_nan():
    masks = torch.ones(1, 4, 4, dtype=torch.bool)
    for maps in (torch.zeros(1, 4, 4), -torch.ones(1, 4, 4), torch.full((1, 4, 4), math.nan)):
        assert math.isnan(mask_energy(maps, masks))
    assert math.isnan(mask_energy(torch.ones(1, 4, 4), ~masks))
