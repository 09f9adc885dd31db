"""Held statistics: the net of training, but each example for itself; against torch's own training mode."""

import copy

import pytest
import torch
from torch import Tensor, nn

from labapp.config import LabError
from labapp.diagnostics.measuring.batch_statistics import (
    HELD,
    NONE,
    RUNNING,
    batch_statistics,
    calibrated,
    held_statistics,
    norms_of,
    unsettled,
)
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.nets import build


class TwiceNormed(nn.Module):
    """One norm that runs twice in a forward pass, and one that keeps no running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.again = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.last = nn.BatchNorm2d(4), nn.BatchNorm1d(4, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).relu()
        return self.last(self.norm(self.again(x)).mean((2, 3)))


def nets() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    dense = {"depth": 10, "growth_rate": 4}
    small = {"depth": 8, "width": 4}
    return {
        "plain": build("plain", image_size=16, **small),
        "residual": build("residual", image_size=16, preactivation=True, **small),
        "dense": build("dense", image_size=16, **dense),
        "no running statistics": nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(), nn.Linear(4 * 14 * 14, 3)
        ),
    }


@pytest.mark.parametrize("name", ["plain", "residual", "dense", "no running statistics"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_net_gives_what_it_gives_in_training(name: str, dtype: torch.dtype, images: Tensor) -> None:
    model, images = nets()[name].to(dtype), 3 + 2 * images.to(dtype)
    expected = copy.deepcopy(model).train()(images).detach()
    with undisturbed(model), held_statistics(model, images, train=True):
        found = model(images)
        part = model(images[:2])
    rounding = 200 * torch.finfo(dtype).eps * float(expected.abs().max())  # of eight layers, each a sum of 36 products
    assert torch.allclose(found, expected, rtol=0, atol=rounding)
    assert torch.allclose(part, expected[:2], rtol=0, atol=rounding)


@pytest.mark.parametrize("name", ["plain", "residual", "dense", "no running statistics"])
def test_no_example_s_gradient_holds_another_example(name: str, images: Tensor) -> None:
    model = nets()[name]

    def between() -> float:
        x = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(x)[0].square().sum(), x)
        return float(gradient[1:].abs().max())

    with undisturbed(model), held_statistics(model, images, train=True):
        assert between() == 0
    with undisturbed(model), held_statistics(model, images):  # a norm without running statistics is held all the same
        assert between() == 0
    with undisturbed(model), batch_statistics(model):
        assert between() > 0


def test_a_norm_that_runs_twice_keeps_the_statistics_of_both_calls(images: Tensor) -> None:
    torch.manual_seed(0)
    model = TwiceNormed().double()
    images = images.double()
    with torch.no_grad():
        first = model.conv(images)
        normed = (first - first.mean((0, 2, 3), keepdim=True)) / (
            first.var((0, 2, 3), correction=0, keepdim=True) + model.norm.eps
        ).sqrt()
        both = torch.cat([first, model.again(normed.relu())])
    with held_statistics(model, images, train=True):
        assert torch.allclose(model.norm.running_mean, both.mean((0, 2, 3)))
        assert torch.allclose(model.norm.running_var, both.var((0, 2, 3), correction=0))
        assert model.last.running_mean is not None
    assert model.last.running_mean is None
    assert not model.norm.running_mean.any()


@pytest.mark.parametrize("how", [lambda m, x: held_statistics(m, x, train=True), calibrated])
def test_all_is_as_it_was_also_after_an_exception(how, images: Tensor) -> None:
    model = nets()["residual"].train()
    buffers = dict(model.named_buffers())
    values = {name: buffer.clone() for name, buffer in buffers.items()}
    modes, noise = [module.training for module in model.modules()], torch.random.get_rng_state()

    def fail() -> None:
        assert all(norm.running_mean.any() for norm in norms_of(model))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), how(model, images):
        fail()
    assert all(buffer is buffers[name] for name, buffer in model.named_buffers())
    assert all(torch.equal(buffer, values[name]) for name, buffer in model.named_buffers())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), noise)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_only_norms_that_say_nothing_are_calibrated(images: Tensor) -> None:
    model = nets()["plain"]
    assert unsettled(model) == norms_of(model)
    with calibrated(model, images) as treatment:
        assert treatment == HELD
        assert not unsettled(model)
    model.train()(images)
    assert not unsettled(model)
    before = copy.deepcopy(model.state_dict())
    with calibrated(model, images) as treatment:
        assert treatment == RUNNING
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with calibrated(build("plain", depth=8, width=4, norm="none", image_size=16), images) as treatment:
        assert treatment == NONE


def test_one_value_has_no_variance() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4))
    with pytest.raises(LabError, match="one value a channel, which has no variance; give more images"):
        held_statistics(model, torch.randn(1, 3, 2, 2), train=True).__enter__()


def test_a_large_mean_does_not_swallow_the_variance() -> None:
    torch.manual_seed(0)
    values = 1e4 + torch.randn(64, 4, 8, 8)
    model = nn.Sequential(nn.BatchNorm2d(4))
    with held_statistics(model, values, train=True):
        # the values themselves are rounded to 1e-3 at 1e4
        assert torch.allclose(model[0].running_var.double(), values.double().var((0, 2, 3), correction=0), rtol=1e-4)
