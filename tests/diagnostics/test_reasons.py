"""Where a number cannot be told it is NaN, and the reason beside it is the true one."""

import math

import pytest
import torch
from torch import nn

from labapp.diagnostics.deletion import deletion, insertion
from labapp.diagnostics.infidelity import infidelity
from labapp.diagnostics.intrinsic_dimension import different, intrinsic_dimension
from labapp.diagnostics.linear_cka import linear_cka
from labapp.diagnostics.mask_energy import mask_energy
from labapp.diagnostics.measuring.upsample import upsample
from labapp.diagnostics.similarity import similarity

IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
MAPS = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(1))


def net(outputs: int, norm: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 4, 3), norm or nn.Identity(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(4, outputs)).eval()


@pytest.mark.parametrize("score", [deletion, insertion])
def test_a_probability_of_one_output_is_none(score):
    curve = score(net(1), IMAGES, MAPS)
    assert curve.area.isnan().all()
    assert "one output" in curve.note
    told = score(net(2), IMAGES, MAPS)
    assert told.area.isfinite().all()
    assert told.note == ""
    assert not torch.allclose(told.area, score(net(2), IMAGES, -MAPS).area)


@pytest.mark.parametrize("score", [deletion, insertion])
def test_a_norm_that_reads_its_batch_mixes_images(score):
    mixing = net(5, nn.BatchNorm2d(4, track_running_stats=False))
    assert not torch.allclose(mixing(IMAGES)[:1], mixing(IMAGES[:1]))  # which is why
    curve = score(mixing, IMAGES, MAPS)
    assert curve.area.isnan().all()
    assert curve.note.startswith("the batch norm '1' keeps no running statistics")
    assert infidelity(mixing, IMAGES, MAPS).isnan().all()
    for other in (nn.BatchNorm2d(4), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4)):
        assert score(net(5, other), IMAGES, MAPS).note == ""


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_scores_in_any_precision(dtype):
    model = net(5).to(dtype)
    for score in (deletion, insertion):
        area = score(model, IMAGES.to(dtype), MAPS).area
        assert area.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        # the net's own rounding: bfloat16 has 8 bits
        torch.testing.assert_close(area.float(), score(net(5), IMAGES, MAPS).area, rtol=0.05, atol=0.01)


def test_energy_is_of_the_positive_part_of_the_enlarged_map():
    maps = torch.tensor([[[1.0, -9.0], [-9.0, -9.0]]])
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, 3:, 3:] = True
    assert mask_energy(maps, mask) == 0  # what is against the class takes from what stands beside it
    maps, masks = MAPS, torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(2)) > 0.7
    over = upsample(maps, (16, 16)).relu()
    torch.testing.assert_close(mask_energy(maps, masks), (over * masks).sum((1, 2)) / over.sum((1, 2)))


def test_repeats_up_to_rounding_are_repeats():
    points = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    exact = intrinsic_dimension(torch.cat([points, points[:250]]))
    for dtype in (torch.float32, torch.float64):
        given = points.to(dtype)
        found = intrinsic_dimension(torch.cat([given, given[:250] * (1 + torch.finfo(dtype).eps)]))
        assert found.value == pytest.approx(exact.value, rel=1e-6)
        assert found.note.startswith("250 of 750 images have the features of another")
    half = intrinsic_dimension(torch.cat([points, points[:250] * (1 + 2**-10)]).half())
    assert half.value == pytest.approx(exact.value, rel=0.3)  # a grid of 10 bits


def test_points_that_differ_by_more_than_rounding_stay():
    points = torch.randn(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    eps = torch.finfo(torch.float32).eps
    assert len(different(points, eps)) == 400
    apart = torch.cat([points, points * (1 + 100 * eps)])
    assert len(different(apart, eps)) == 800
    assert len(different(torch.cat([points, points * (1 + eps)]), eps)) == 400
    assert torch.equal(different(torch.cat([points, points]), eps), points)


def test_one_image_that_differs_is_no_similarity():
    features = torch.zeros(32, 5)
    features[7] = 1.0
    other = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    for pair in ((features, other), (other, features), (features + 3, other)):
        found = linear_cka(*pair)
        assert math.isnan(found.value)
        assert found.note.startswith("only one image differs from the others")
    crossed = linear_cka(torch.eye(32), other)
    assert crossed.note.startswith("the differences of the images are at right angles")
    assert linear_cka(features, other, unbiased=False).value >= 0  # the biased estimator still has the diagonal
    two = features.clone()
    two[9] = 1.0
    assert linear_cka(two, other).note == ""


class Loud(nn.Module):
    """Silent but for very bright images."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.r, self.head = nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Linear(4, 3)
        nn.init.ones_(self.a.weight)
        nn.init.constant_(self.a.bias, -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.r(self.a(x)).mean((2, 3)))


def test_the_table_of_similarities_has_the_same_reasons():
    images = torch.zeros(32, 1, 2, 2)
    silent = similarity(Loud(), images, layers=["r"])
    assert silent.note[0].startswith("r: all images have the same features")
    images[7] = 2.0
    table = similarity(Loud(), images, layers=["r", "a"]).set_index(["layer", "other_layer"])
    assert table.cka.isna().all()
    assert table.note["r", "r"].startswith("r: only one image differs from the others")
    images[9] = 3.0
    assert similarity(Loud(), images, layers=["r"]).cka[0] == pytest.approx(1)
