import copy
import tracemalloc
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from labapp.config import LabError
from labapp.diagnostics import similarity as module
from labapp.diagnostics.linear_cka import gram, hsic
from labapp.diagnostics.measuring.features import collect
from labapp.diagnostics.similarity import similarity
from labapp.nets import build


def small(seed: int, **options: object) -> nn.Module:
    torch.manual_seed(seed)
    return build("residual", **{"depth": 14, "width": 4, "image_size": 16} | options)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return small(0)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(160, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def matrix(table: pd.DataFrame, column: str = "cka") -> np.ndarray:
    return table[column].to_numpy().reshape(table.layer.nunique(), -1)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_minibatch_values_are_those_of_whole_features(estimator: str, net: nn.Module, images: torch.Tensor):
    """Against all features kept at once, in float64, batch by batch (Nguyen 2021, eq. 4)."""
    other = small(3, depth=8)
    batches = images.split(32)
    table = similarity(net, batches, other, estimator=estimator)
    sides = [list(collect(n, images, pool=False).by_layer.values()) for n in (net, other)]
    total = 0
    for at in range(0, 160, 32):
        grams = torch.stack([gram(f[at : at + 32].double()) for side in sides for f in side])
        total = total + hsic(grams, unbiased=estimator == "unbiased")
    own = total.diagonal().sqrt()
    expected = (total / own[:, None] / own)[:6, 6:]
    np.testing.assert_allclose(matrix(table), expected, atol=1e-5)  # float32 products
    assert list(table.layer[:4]) == ["stage1.block1"] * 3 + ["stage1.block2"]
    assert list(table.other_layer[:3]) == ["stage1.block1", "stage2.block1", "stage3.block1"]
    assert set(table.images) == {160}
    assert set(table.batches) == {5}
    assert table.features[0] == 4 * 16 * 16
    assert (table.relative_depth.iloc[-1], table.other_relative_depth.iloc[-1]) == (12 / 13, 6 / 7)


def test_one_batch_is_the_estimate_from_all_images(net: nn.Module, images: torch.Tensor):
    table = similarity(net, [images])
    found = list(collect(net, images, pool=False).by_layer.values())
    products = hsic(torch.stack([gram(f.double()) for f in found]), unbiased=True)
    own = products.diagonal().sqrt()
    np.testing.assert_allclose(matrix(table), products / own[:, None] / own, atol=1e-5)
    assert table.low.isna().all()  # one batch knows nothing of its spread


def test_single_precision_is_enough_where_images_have_nearly_everything_in_common():
    """Deep untrained features differ little from image to image; against the same nets in float64."""
    nets = [small(seed, depth=56) for seed in (0, 1)]
    images = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    single = matrix(similarity(nets[0], images.split(32), nets[1]))
    wide = [copy.deepcopy(net).double() for net in nets]
    exact = matrix(similarity(wide[0], images.double().split(32), wide[1]))
    np.testing.assert_allclose(single, exact, atol=1e-5)


def test_a_net_resembles_itself_and_its_copy(net: nn.Module, images: torch.Tensor):
    alone = similarity(net, images)
    for other in (copy.deepcopy(net), net.state_dict(), net):
        twin = similarity(net, images, other)
        np.testing.assert_allclose(matrix(twin), matrix(alone), atol=1e-6)
    values = matrix(alone)
    np.testing.assert_allclose(np.diag(values), 1, atol=1e-12)
    np.testing.assert_allclose(values, values.T, atol=1e-12)
    assert (values <= 1 + 1e-12).all()
    assert np.allclose(np.diag(matrix(alone, "low")), 1)


def test_two_checkpoints_of_one_net(net: nn.Module, images: torch.Tensor):
    later = {name: value.clone() for name, value in net.state_dict().items()}
    later["stage3.block2.branch.conv2.weight"] *= -1
    values = matrix(similarity(net, images, later))
    np.testing.assert_allclose(np.diag(values)[:5], 1, atol=1e-9)
    assert values[5, 5] < 0.999
    with pytest.raises(LabError, match="of another net"):
        similarity(net, images, small(0, depth=8).state_dict())


@pytest.mark.long
def test_the_interval_covers_what_more_images_show():
    """200 draws of 10 batches; the truth from one large draw."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh())
    truth = matrix(similarity(model, torch.randn(20000, 6), batch_size=64, layers=["1", "3"]))[0, 1]
    hits = 0
    for seed in range(200):
        images = torch.randn(160, 6, generator=torch.Generator().manual_seed(seed))
        row = similarity(model, images, batch_size=16, layers=["1", "3"]).iloc[1]
        hits += row.low <= truth <= row.high
    assert 0.90 <= hits / 200 <= 1  # 95 %, less three standard errors of 200 draws


def test_memory_does_not_grow_with_the_images(net: nn.Module, monkeypatch: pytest.MonkeyPatch):
    alive: list[weakref.ref] = []
    real = module.half_gram

    def watched(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert all(reference() is None for reference in alive[:-12])  # a layer's output dies with its pass
        alive.append(weakref.ref(features))
        return real(features)

    monkeypatch.setattr(module, "half_gram", watched)
    monkeypatch.setattr(module, "GROUPS", 8)
    peaks = []
    for count in (8, 80):
        tracemalloc.start()
        table = similarity(net, (torch.randn(8, 3, 16, 16) for _ in range(count)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert set(table.batches) == {count}
        assert table.low.notna().all()
    assert peaks[1] < 1.5 * peaks[0]


def test_groups_change_no_value(net: nn.Module, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch):
    many = similarity(net, images.split(8))
    monkeypatch.setattr(module, "GROUPS", 6)
    few = similarity(net, images.split(8))
    np.testing.assert_allclose(matrix(few), matrix(many), rtol=1e-12)


def test_nothing_is_left_behind_also_after_an_exception(net: nn.Module, images: torch.Tensor):
    net.train()
    net.stage1.eval()
    other = small(2)
    before = [(m.training, len(m._forward_hooks)) for n in (net, other) for m in n.modules()]
    state, noise = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    similarity(net, images[:40], other)

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        similarity(net, images[:40], other, progress=interrupt)
    assert [(m.training, len(m._forward_hooks)) for n in (net, other) for m in n.modules()] == before
    assert torch.equal(torch.get_rng_state(), noise)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    net.train()


def test_order_of_a_tensors_images_does_not_decide(net: nn.Module, images: torch.Tensor):
    done: list[int] = []
    first = similarity(net, images, progress=done.append)
    assert done == [32, 64, 96, 128, 160]
    pd.testing.assert_frame_equal(first, similarity(net, images))
    sorted_by_mean = images[images.mean((1, 2, 3)).argsort()]
    assert np.abs(matrix(similarity(net, sorted_by_mean)) - matrix(first)).max() < 0.1


def test_dead_broken_and_idle_layers_are_nan_with_a_reason(images: torch.Tensor):
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.good, self.dead, self.broken, self.idle = (nn.Conv2d(3, 4, 3) for _ in range(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.dead(x)
            self.broken(x)
            return self.good(x)

    model = Odd()
    nn.init.zeros_(model.dead.weight)
    nn.init.constant_(model.broken.weight, float("nan"))
    table = similarity(model, images).set_index(["layer", "other_layer"])
    assert table.cka["good", "good"] == pytest.approx(1)
    assert table.cka.notna().sum() == 1
    assert table.low.notna().sum() == 1
    assert table.note["good", "dead"].endswith("dead: all images have the same features")
    assert "broken: its features are not finite" in table.note["broken", "good"]
    assert "idle: it never ran in a forward pass" in table.note["idle", "dead"]
    assert len(table) == 16


def test_few_images_against_the_features_are_said(net: nn.Module, images: torch.Tensor):
    unbiased = similarity(net, images, layers="stage1.block1")
    assert unbiased.note[0] == "160 images for up to 1024 features: read the interval"
    biased = similarity(net, images, layers="stage1.block1", estimator="biased")
    assert biased.note[0] == "batches of 32 images for up to 1024 features: biased upwards"
    assert similarity(nn.Sequential(nn.Linear(4, 4)), torch.randn(160, 4)).note[0] == ""
    few = similarity(nn.Sequential(nn.Linear(4, 4)), torch.randn(64, 4))
    assert few.low.isna().all()
    assert few.note[0] == "2 batches of images; an interval needs at least 5"


def test_users_mistakes_are_one_sentence(net: nn.Module, images: torch.Tensor):
    with pytest.raises(LabError, match="unbiased and biased"):
        similarity(net, images, estimator="rbf")
    with pytest.raises(LabError, match="batch of 3 images"):
        similarity(net, images, batch_size=3)
    for few in (images[:3], [images[:2], images[2:4]], []):
        with pytest.raises(LabError, match="batches of at least 4"):
            similarity(net, few)
    with pytest.raises(LabError, match="no layer of this net fits"):
        similarity(net, images, layers="nowhere")

    class Folding(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self[0](x.view(-1, 6))

    with pytest.raises(LabError, match="rows of 32 images"):
        similarity(Folding(nn.Linear(6, 2)), torch.randn(64, 12))
