import pytest
import torch
from torch import nn

from labapp.config import LabError
from labapp.diagnostics.attributions import guided_backprop, saliency
from labapp.diagnostics.gradcam import gradcam
from labapp.diagnostics.sanity import DEPENDS, DOES_NOT, UNDECIDED, Sanity, restarted, sanity_check, weight_layers
from labapp.nets import build

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
CLASSES = torch.arange(6)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return build("residual", depth=8, width=4, image_size=16)


def test_layers_in_order_of_execution_with_their_norms(net: nn.Module):
    groups = weight_layers(net, IMAGES)
    assert next(iter(groups)) == "stem.conv"
    assert list(groups)[-1] == "head.classifier"
    assert groups["stem.conv"] == ["stem.conv", "stem.norm"]
    assert len(groups) == 8  # shortcut A has no weights
    inside = [path for paths in groups.values() for path in paths]
    assert len(inside) == len(set(inside)) == sum(bool(list(m.parameters(recurse=False))) for m in net.modules())


def test_a_map_of_the_image_does_not_depend_on_the_weights(net: nn.Module):
    edges = (IMAGES - IMAGES.roll(1, 2)).abs().sum(1)
    found = sanity_check(net, lambda net: edges, IMAGES)
    assert found.verdict == DOES_NOT
    assert found.interval[:3] == pytest.approx((1, 1, 1))
    torch.testing.assert_close(found.ssim, torch.ones(8, 6))
    assert sanity_check(net, lambda net: edges * (1 if net is not None else 0), IMAGES, checks=1).layers == [
        "stem.conv"
    ]


def test_the_gradient_depends_and_guided_backpropagation_does_not(net: nn.Module):
    """Adebayo et al. 2018, Fig. 3."""
    gradient = sanity_check(net, lambda net: saliency(net, IMAGES, CLASSES).amax(1), IMAGES)
    guided = sanity_check(net, lambda net: guided_backprop(net, IMAGES, CLASSES).sum(1), IMAGES)
    assert gradient.verdict == DEPENDS
    assert guided.verdict == DOES_NOT
    assert gradient.interval.high < guided.interval.low


def test_the_net_is_not_changed(net: nn.Module):
    before, numbers = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    sanity_check(net, lambda net: gradcam(net, IMAGES, CLASSES)["stage3.block1"], IMAGES, checks=3)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert torch.equal(torch.get_rng_state(), numbers)
    assert not any(module._forward_hooks for module in net.modules())


def test_the_cascade_ends_at_the_fresh_net_and_starts_at_the_output(net: nn.Module):
    torch.manual_seed(7)
    fresh = build("residual", depth=8, width=4, image_size=16)
    seen = []

    def explain(net: nn.Module) -> torch.Tensor:
        seen.append({k: v.clone() for k, v in net.state_dict().items()})
        return torch.rand(6, 4, 4, generator=torch.Generator().manual_seed(len(seen)))

    found = sanity_check(net, explain, IMAGES, fresh=fresh)
    trained, *cascade = seen
    assert found.layers[0] == "head.classifier"
    assert found.layers[-1] == "stem.conv"
    assert len(cascade) == len(found.layers) == 8
    assert all(torch.equal(v, cascade[-1][k]) for k, v in fresh.state_dict().items())
    for k, v in trained.items():
        expected = fresh.state_dict()[k] if k.startswith("head") else v
        assert torch.equal(cascade[0][k], expected)


def test_few_checks_are_spread_and_end_at_the_bottom(net: nn.Module):
    found = sanity_check(net, lambda net: gradcam(net, IMAGES, CLASSES)["stage2.block1"], IMAGES, checks=2)
    assert found.layers == [list(weight_layers(net, IMAGES))[4], "stem.conv"]
    rows = found.rows()
    assert len(rows) == 2 * 3
    assert list(rows[0]) == ["randomised", "layer", "measure", "mean", "low", "high", "images"]


def test_restarting_is_by_seed_and_covers_every_weight(net: nn.Module):
    one, same, other = (restarted(net, seed).state_dict() for seed in (0, 0, 1))
    for key, value in net.state_dict().items():
        assert torch.equal(one[key], same[key])
        if value.ndim > 1:
            assert not torch.equal(one[key], value)
            assert not torch.equal(one[key], other[key])


def test_a_class_without_a_start_is_drawn_like_itself():
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gamma = nn.Parameter(3 * torch.randn(4000))

    scale = Scale()
    drawn = restarted(scale).gamma.detach()
    assert not torch.equal(drawn, scale.gamma)
    assert float(drawn.std()) == pytest.approx(float(scale.gamma.detach().std()), rel=0.1)


@pytest.mark.parametrize(
    ("signed", "verdict"),
    [
        ([0.0, 0.1, -0.1, 0.2], DEPENDS),
        ([0.9, 0.95, 0.9, 0.8], DOES_NOT),
        ([-0.9, -0.95, -0.9, -0.8], DOES_NOT),  # reversed: the same picture
        ([0.9, 0.1, 0.8, 0.2], UNDECIDED),
        ([float("nan")] * 4, UNDECIDED),
    ],
)
def test_verdict_follows_from_the_interval(signed: list[float], verdict: str):
    table = torch.tensor([signed * 2])  # images enough for an interval
    assert Sanity(["conv"], table, table * 0.1, table).verdict == verdict


def test_mistakes_are_one_sentence(net: nn.Module):
    other = build("residual", depth=8, width=8, image_size=16)
    with pytest.raises(
        LabError, match=r"the untrained net is not of the same kind: its 'head.classifier' does not fit"
    ):
        sanity_check(net, lambda net: torch.rand(6, 4, 4), IMAGES, fresh=other)
    with pytest.raises(LabError, match="no weights that could be made random"):
        sanity_check(nn.Sequential(nn.Flatten()), lambda net: torch.rand(6, 4, 4), IMAGES)
