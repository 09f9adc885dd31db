import pytest
import torch
from torch import nn

from labapp.diagnostics.attributions import saliency
from labapp.diagnostics.infidelity import infidelity
from labapp.nets import build


@pytest.fixture
def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 4))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(5, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scaled", [True, False])
def test_the_gradient_of_a_linear_net_has_none(linear: nn.Module, images: torch.Tensor, scaled: bool):
    found = infidelity(linear, images, saliency(linear, images, signed=True), scaled=scaled)
    assert found.shape == (5,)
    nothing = infidelity(linear, images, torch.zeros_like(images), scaled=False)  # the variance to be explained
    # squared rounding of float32; scaled, captum takes differences of sums, which keep the rounding itself
    assert (found <= (1e-6 if scaled else 1e-11) * nothing).all()


def test_a_map_of_nothing_has_the_variance_of_the_change(linear: nn.Module, images: torch.Tensor):
    """Σ I·Φ = 0, so E (w·I)² = σ² ‖w‖² remains."""
    found = infidelity(linear, images, torch.zeros_like(images), 2, noise=0.5, samples=4000, scaled=False)
    expected = 0.25 * linear[1].weight[2].square().sum()
    torch.testing.assert_close(found, expected.detach().expand(5), rtol=0.1, atol=0)  # 4 standard errors: 4 √(2/4000)


def test_scaled_does_not_see_a_scale(images: torch.Tensor):
    torch.manual_seed(0)
    net = build("residual", depth=8, width=4, image_size=6)
    gradient = saliency(net, images, signed=True)
    torch.testing.assert_close(infidelity(net, images, 100 * gradient), infidelity(net, images, gradient))
    worse = infidelity(net, images, torch.randn_like(gradient))
    assert infidelity(net, images, gradient).mean() < 0.5 * worse.mean()


def test_a_map_says_the_same_of_each_colour(linear: nn.Module, images: torch.Tensor):
    maps = torch.randn(5, 3, 3)
    found = infidelity(linear, images, maps, 1)
    assert found.shape == (5,)
    fine = nn.functional.interpolate(maps[:, None], (6, 6), mode="bilinear").expand(5, 3, 6, 6)
    torch.testing.assert_close(found, infidelity(linear, images, fine, 1))


def test_one_seed_one_number_and_the_global_one_is_left_alone(linear: nn.Module, images: torch.Tensor):
    before = torch.get_rng_state()
    maps = torch.ones(5, 6, 6)
    assert torch.equal(infidelity(linear, images, maps), infidelity(linear, images, maps))
    assert not torch.equal(infidelity(linear, images, maps, seed=1), infidelity(linear, images, maps))
    assert torch.equal(torch.get_rng_state(), before)
