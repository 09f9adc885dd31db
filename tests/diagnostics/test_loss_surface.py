"""The surface against closed forms, torch's own functional call, and what must leave it as it is."""

import copy
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from labapp.config import LabError
from labapp.diagnostics.loss_surface import filter_directions, loss_surface
from labapp.diagnostics.measuring.batch_statistics import norms_of
from labapp.nets import Net


def grid(table: pd.DataFrame) -> np.ndarray:
    return table.pivot_table(index="alpha", columns="beta", values="loss").to_numpy()


def squared(scores: Tensor, labels: Tensor) -> Tensor:
    return (scores - F.one_hot(labels, scores.shape[1])).square().sum(1).mean()


def rectified(channels: int = 4) -> nn.Sequential:
    """A small ReLU net without normalisation, with biases that are not 0."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, 5, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 6),
    ).double()  # fmt: skip


# closed forms


def test_a_linear_net_with_squared_loss_is_an_exact_paraboloid(images: Tensor, labels: Tensor) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 6)).double()
    x = images.double()
    table = loss_surface(net, x, labels, points=7, reach=2.0, loss=squared, batch_size=4)
    flat, (weight, bias) = x.flatten(1), (p.detach() for p in net.parameters())
    left = flat @ weight.T + bias - F.one_hot(labels, 6)
    along, across = (flat @ filter_directions(net, number=number)["1.weight"].T for number in (0, 1))

    def product(one: Tensor, other: Tensor) -> float:
        return float((one * other).sum()) / len(x)

    a, b = table["alpha"], table["beta"]
    wanted = product(left, left) + 2 * a * product(left, along) + 2 * b * product(left, across)
    wanted += a**2 * product(along, along) + 2 * a * b * product(along, across) + b**2 * product(across, across)
    np.testing.assert_allclose(table["loss"], wanted, rtol=1e-12)  # float64, a sum over 768 pixels
    assert sorted(set(a)) == sorted(set(b)) == pytest.approx([-2, -4 / 3, -2 / 3, 0, 2 / 3, 4 / 3, 2], abs=1e-15)


@pytest.mark.parametrize("family", ["residual", "plain", "dense"])
def test_every_point_is_the_net_with_its_weights_moved(
    net: Callable[..., Net], images: Tensor, labels: Tensor, family: str
) -> None:
    model = net(family, **({"depth": 10} if family == "dense" else {"depth": 8}))
    with torch.no_grad():
        for norm in norms_of(model):  # statistics and scales that a training could have left
            norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2.0), norm.weight.uniform_(0.5, 1.5)
    table = loss_surface(model, images, labels, points=3, batch_size=4)
    directions = filter_directions(model), filter_directions(model, number=1)
    state = dict(model.named_parameters())
    for row in table.itertuples():
        moved = {
            name: weight + row.alpha * directions[0].get(name, 0.0) + row.beta * directions[1].get(name, 0.0)
            for name, weight in state.items()
        }
        with torch.no_grad():
            scores = functional_call(model, moved, (images,))
        # the same sums in another order, float32
        assert row.loss == pytest.approx(F.cross_entropy(scores.double(), labels).item(), rel=1e-4)
        assert row.accuracy == pytest.approx((scores.argmax(1) == labels).double().mean().item())
    assert set(table["images"]) == {6}
    assert set(table["classes"]) == {10}


def test_the_loss_in_the_middle_is_the_nets_own_to_the_last_bit(
    net: Callable[..., Net], images: Tensor, labels: Tensor
) -> None:
    model = net(depth=8)
    table = loss_surface(model, images, labels, points=3).set_index(["alpha", "beta"])
    with torch.no_grad():
        assert table.loc[(0.0, 0.0), "loss"] == F.cross_entropy(model(images).double(), labels).item()


# directions


class Many(nn.Module):
    """Weights of many kinds: those of a norm with several axes, transposed, tied, and without an owner's name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, (3, 2), groups=2)
        self.turned = nn.ConvTranspose2d(6, 8, (2, 3), groups=2)
        self.norm, self.batch = nn.LayerNorm([8, 3, 3]), nn.BatchNorm2d(8)
        self.line = nn.Linear(5, 7)
        self.tied = nn.Linear(5, 7)
        self.tied.weight = self.line.weight
        self.place = nn.Parameter(torch.randn(1, 9, 5))
        self.scale, self.count = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, 2, dtype=int), False)


def test_each_filter_of_a_direction_is_as_long_as_the_nets_own() -> None:
    torch.manual_seed(0)
    net = Many()
    with torch.no_grad():
        net.line.weight[2] = 0
    found = filter_directions(net, seed=3)
    assert list(found) == ["place", "conv.weight", "turned.weight", "line.weight"]
    weights = dict(net.named_parameters())
    for name in ("place", "conv.weight", "line.weight"):
        for ours, theirs in zip(weights[name].detach(), found[name], strict=True):
            assert float(ours.norm()) == pytest.approx(float(theirs.norm()), rel=1e-5)  # float32
    assert not found["line.weight"][2].any()
    for group in range(2):
        for channel in range(4):  # of 8 outputs in 2 groups
            rows = slice(3 * group, 3 * group + 3)
            ours = net.turned.weight.detach()[rows, channel]
            assert float(ours.norm()) == pytest.approx(float(found["turned.weight"][rows, channel].norm()), rel=1e-5)


def test_a_seed_gives_one_plane_and_another_another(images: Tensor, labels: Tensor) -> None:
    net = rectified()
    tables = [loss_surface(net, images.double(), labels, points=3, seed=seed) for seed in (0, 0, 1)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not np.isclose(tables[0]["loss"], tables[2]["loss"]).all()
    first, second = filter_directions(net), filter_directions(net, number=1)
    assert not any(torch.allclose(first[name], second[name]) for name in first)
    assert all(torch.equal(first[name], filter_directions(net)[name]) for name in first)


def test_two_random_directions_of_many_weights_are_nearly_orthogonal() -> None:
    net = nn.Linear(400, 400)
    first, second = (filter_directions(net, number=number)["weight"].flatten() for number in (0, 1))
    cosine = F.cosine_similarity(first, second, dim=0)
    assert abs(cosine) < 4 / math.sqrt(400 * 400)  # four deviations of a random one


# what leaves it as it is


def test_layers_rescaled_against_each_other_leave_it_as_it_is(images: Tensor, labels: Tensor) -> None:
    net = rectified()
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].weight.mul_(32), other[0].bias.mul_(32)  # powers of two, which round nothing
        other[2].weight.div_(1024), other[2].bias.mul_(32 / 1024)
        other[6].weight.mul_(32)
    x = images.double()
    assert torch.equal(net(x), other(x))
    ours, theirs = (grid(loss_surface(each, x, labels, points=5)) for each in (net, other))
    np.testing.assert_array_equal(ours, theirs)
    assert ours.max() > 1.02 * ours.min()


def test_filters_in_front_of_batch_norms_may_have_any_length(images: Tensor, labels: Tensor) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6)
    ).double()
    x = images.double()
    for _ in range(200):  # running statistics as a training gathers them
        net(x)
    net[1].eps = 0  # which no length of a filter changes
    other = copy.deepcopy(net)
    factors = torch.tensor([0.01, 0.5, 3.0, 700.0], dtype=torch.float64)
    with torch.no_grad():
        for tensor in (other[0].weight, other[0].bias, other[1].running_mean, other[1].running_var):
            tensor.mul_(factors.view(-1, *[1] * (tensor.dim() - 1)))
        other[1].running_var.mul_(factors)
    ours, theirs = (grid(loss_surface(each, x, labels, points=5)) for each in (net, other))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)  # float64
    assert ours.max() > 1.05 * ours.min()


def test_the_size_of_batches_changes_nothing(images: Tensor, labels: Tensor) -> None:
    free = nn.BatchNorm2d(4, track_running_stats=False)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), free, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6))
    ours, theirs = (grid(loss_surface(net, images, labels, points=3, batch_size=size)) for size in (6, 2))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)  # float32


def test_statistics_of_batch_norms_are_kept_over_the_plane(images: Tensor, labels: Tensor) -> None:
    """With statistics made anew at each point, a net of one filter a norm would hardly see its filters grow."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 6))
    held = loss_surface(net, images, labels, points=3, train=True).set_index(["alpha", "beta"])["loss"]
    net.train()
    with torch.no_grad():
        assert held[0.0, 0.0] == pytest.approx(F.cross_entropy(net(images).double(), labels).item(), rel=1e-4)
        moved = {name: weight + filter_directions(net).get(name, 0.0) for name, weight in net.named_parameters()}
        anew = F.cross_entropy(functional_call(copy.deepcopy(net), moved, (images,)).double(), labels).item()
    assert held[1.0, 0.0] != pytest.approx(anew, rel=0.01)


# what it leaves behind, and what cannot be measured


class Refusing(nn.Module):
    """Fails at its second look."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.looks = nn.Linear(3 * 16 * 16, 6), 0

    def forward(self, x: Tensor) -> Tensor:
        self.looks += 1
        if self.looks > 1:
            raise RuntimeError("once is enough")
        return self.inner(x.flatten(1))


@pytest.mark.parametrize("fails", [False, True])
def test_the_net_stays_bit_for_bit(net: Callable[..., Net], images: Tensor, labels: Tensor, fails: bool) -> None:
    model: nn.Module = Refusing() if fails else nn.Sequential(net(depth=8), nn.Dropout(0.5))
    model.train()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    state = copy.deepcopy(model.state_dict())
    pointers = [parameter.data_ptr() for parameter in model.parameters()]
    versions = [parameter._version for parameter in model.parameters()]
    random = torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError, match="once is enough"):
            loss_surface(model, images, labels, points=3)
    else:
        loss_surface(model, images, labels, points=3)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert [parameter.data_ptr() for parameter in model.parameters()] == pointers
    assert [parameter._version for parameter in model.parameters()] == versions
    assert all(module.training for module in model.modules())
    assert all(parameter.grad.eq(1).all() for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.is_grad_enabled()


def test_losses_that_are_not_finite_stay_as_they_are(images: Tensor, labels: Tensor) -> None:
    net = rectified().float()
    with torch.no_grad():
        net[0].weight.mul_(1e17), net[2].weight.mul_(1e16)  # float32 ends at 3e38
        net[0].bias.zero_(), net[2].bias.zero_()
        net[6].weight.mul_(1e-34)
    table = loss_surface(net, images, labels, points=3, reach=1e4)
    middle = table["alpha"].eq(0) & table["beta"].eq(0)
    assert np.isfinite(table["loss"][middle]).all()
    assert not np.isfinite(table["loss"][~middle]).any()
    assert len(table) == 9


def test_progress_is_told_to_its_end(images: Tensor, labels: Tensor) -> None:
    told: list[float] = []
    loss_surface(rectified().float(), images, labels, points=3, progress=told.append)
    assert told == pytest.approx([number / 9 for number in range(1, 10)])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"points": 4}, "odd number from 3 on"),
        ({"points": 1}, "odd number from 3 on"),
        ({"reach": 0.0}, "above 0, not 0.0"),
        ({"reach": math.nan}, "above 0, not nan"),
        ({"labels": torch.tensor([0, 1, 2, 3, 4, 6])}, "the net has 6 classes"),
        ({"labels": torch.zeros(5, dtype=int)}, "one class an image"),
        ({"images": torch.zeros(6, 3)}, "normalised floats"),
        ({"model": nn.Sequential(nn.BatchNorm2d(3), nn.Flatten())}, "no weights that could move"),
        ({"model": nn.Conv2d(3, 6, 3)}, "not class scores"),
    ],
)
def test_what_cannot_be_measured_is_refused(images: Tensor, labels: Tensor, options: dict, words: str) -> None:
    given = {"model": rectified().float(), "images": images, "labels": labels, "points": 3, **options}
    with pytest.raises(LabError, match=words):
        loss_surface(**given)


def test_a_net_that_holds_nan_is_refused(images: Tensor, labels: Tensor) -> None:
    net = rectified().float()
    with torch.no_grad():
        net[2].weight[0, 0, 0, 0] = math.nan
    with pytest.raises(LabError, match=r"'2.weight' of this net holds NaN"):
        loss_surface(net, images, labels, points=3)
