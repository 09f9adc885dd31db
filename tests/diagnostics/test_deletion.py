import pytest
import torch
from torch import nn

from labapp.diagnostics.deletion import blurred, deletion, insertion
from labapp.nets import build


class Shares(nn.Module):
    """Two classes; the probability of class 1 is Σ w·x over the pixels of the first channel, w a distribution."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = (x[:, 0] * self.weight).sum((1, 2)).clamp(1e-7, 1 - 1e-7)
        return torch.stack([(1 - p).log(), p.log()], 1)


@pytest.fixture
def weight() -> torch.Tensor:
    w = torch.rand(4, 4, generator=torch.Generator().manual_seed(0))
    return w / w.sum()


def test_deletion_of_what_the_net_weighs(weight: torch.Tensor):
    """With the weights as the map and one pixel a step the curve is what is left of the sorted weights."""
    curve = deletion(Shares(weight), torch.ones(1, 3, 4, 4), weight[None], 1, steps=16)
    ordered = weight.flatten().sort(descending=True).values
    left = torch.cat([torch.ones(1), 1 - ordered.cumsum(0)])
    torch.testing.assert_close(curve.probabilities[0], left, atol=2e-7, rtol=1e-5)
    torch.testing.assert_close(curve.shares, torch.arange(17) / 16)
    torch.testing.assert_close(float(curve.area), float(((left[1:] + left[:-1]) / 2).mean()), rtol=1e-5, atol=1e-6)


def test_the_best_map_deletes_fastest_and_the_reversed_slowest(weight: torch.Tensor):
    net, images = Shares(weight), torch.ones(1, 3, 4, 4)
    best, worst = (float(deletion(net, images, sign * weight[None], 1, steps=16).area) for sign in (1, -1))
    torch.testing.assert_close(best + worst, 1.0)  # the one curve is the other seen from the end
    for seed in range(20):
        maps = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(seed))
        assert best <= float(deletion(net, images, maps, 1, steps=16).area) <= worst


def test_insertion_ends_at_the_image_and_starts_blurred():
    torch.manual_seed(0)
    net, images = build("residual", depth=8, width=4, image_size=16).eval(), torch.randn(3, 3, 16, 16)
    curve = insertion(net, images, torch.rand(3, 4, 4), 2, steps=8)
    with torch.no_grad():
        start, end = (net(x).softmax(1)[:, 2] for x in (blurred(images), images))
    torch.testing.assert_close(curve.probabilities[:, 0], start)
    torch.testing.assert_close(curve.probabilities[:, -1], end)
    gone = deletion(net, images, torch.rand(3, 16, 16), 2, steps=8)
    torch.testing.assert_close(gone.probabilities[:, 0], end)
    assert torch.equal(curve.shares[[0, -1]], torch.tensor([0.0, 1.0]))


def test_any_increasing_function_of_the_map_scores_the_same():
    torch.manual_seed(0)
    net, images, maps = (
        build("plain", depth=8, width=4, image_size=16),
        torch.randn(3, 3, 16, 16),
        torch.rand(3, 16, 16),
    )
    torch.testing.assert_close(deletion(net, images, maps).area, deletion(net, images, maps.log() * 2).area)


def test_many_images_go_in_parts(weight: torch.Tensor):
    images = torch.rand(40, 3, 4, 4)
    maps = torch.rand(40, 4, 4)
    together = deletion(Shares(weight), images, maps, 1, steps=16)  # 680 variants
    alone = [deletion(Shares(weight), images[i : i + 1], maps[i : i + 1], 1, steps=16).area for i in range(40)]
    torch.testing.assert_close(together.area, torch.cat(alone))


def test_no_trace():
    net, images = build("residual", depth=8, width=4, image_size=16), torch.randn(2, 3, 16, 16)
    state, before = {k: v.clone() for k, v in net.state_dict().items()}, images.clone()
    deletion(net, images, torch.rand(2, 16, 16))
    insertion(net, images, torch.rand(2, 16, 16))
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert net.training
    assert torch.equal(images, before)


@pytest.mark.parametrize("size", [(3, 4), (24, 24), (24, 40), (224, 224)])
def test_the_blur_is_torchvisions(size: tuple[int, int]):
    from torchvision.transforms.functional import gaussian_blur

    images = torch.randn(2, 3, *size)
    sigma = max(2.0, 5 * min(size) / 224)
    taps = 2 * min(round(sigma), min(size) - 1) + 1
    torch.testing.assert_close(blurred(images), gaussian_blur(images, [taps, taps], [sigma, sigma]))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (24, 24), (224, 224)])
def test_every_size_can_be_blurred(size: tuple[int, int]):
    images = torch.randn(1, 3, *size)
    assert blurred(images).shape == images.shape
    assert blurred(images).std(correction=0) <= images.std(correction=0)
