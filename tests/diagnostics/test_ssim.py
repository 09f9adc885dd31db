import pytest
import torch

from labapp.diagnostics.ssim import ssim, to_unit_range

SEEDED = torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("shape", "window"), [((9, 11), 7), ((8, 8), 3), ((4, 5), 7)])
def test_against_a_loop_over_windows(shape: tuple[int, int], window: int):
    a, b = torch.rand(2, 2, *shape, generator=SEEDED, dtype=torch.float64)
    rows, columns = min(window, shape[0]), min(window, shape[1])
    for i in range(2):
        values = []
        for top in range(shape[0] - rows + 1):
            for left in range(shape[1] - columns + 1):
                x, y = (m[i, top : top + rows, left : left + columns].flatten() for m in (a, b))
                cov = torch.cov(torch.stack([x, y]))
                values.append(
                    (2 * x.mean() * y.mean() + 1e-4)
                    * (2 * cov[0, 1] + 9e-4)
                    / ((x.mean() ** 2 + y.mean() ** 2 + 1e-4) * (cov[0, 0] + cov[1, 1] + 9e-4))
                )
        torch.testing.assert_close(
            float(ssim(a, b, window=window)[i]), float(sum(values) / len(values)), rtol=1e-6, atol=0
        )


def test_equal_maps_have_one():
    a = torch.rand(3, 8, 8, generator=SEEDED)
    torch.testing.assert_close(ssim(a, a), torch.ones(3))
    assert (ssim(a, 1 - a) < 0).all()
    torch.testing.assert_close(ssim(a, a.flip(1)), ssim(a.flip(1), a))


def test_a_single_pixel_is_compared_by_its_value():
    assert float(ssim(torch.ones(1, 1, 1), torch.ones(1, 1, 1))) == 1
    assert float(ssim(torch.ones(1, 1, 1), torch.zeros(1, 1, 1))) < 0.01


def test_unit_range():
    maps = torch.stack([torch.tensor([[-4.0, 2.0]]), torch.zeros(1, 2)])
    assert to_unit_range(maps).tolist() == [[[1, 0.5]], [[0, 0]]]
