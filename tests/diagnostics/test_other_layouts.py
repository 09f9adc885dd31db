"""The same function written with channels second and with channels last has the same diagnostics."""

import copy

import pytest
import torch
from torch import nn

from labapp.config import LabError
from labapp.diagnostics.architecture import architecture
from labapp.diagnostics.attributions import LAYER_METHODS, attributions
from labapp.diagnostics.gradcam import gradcam
from labapp.diagnostics.intrinsic_dimension import intrinsic_dimension
from labapp.diagnostics.measuring.features import collect
from labapp.diagnostics.similarity import similarity
from labapp.diagnostics.spatial_order import accepted_sizes, spatial_order

IMAGES = torch.randn(24, 3, 24, 24, generator=torch.Generator().manual_seed(0))


class Mixer(nn.Module):
    """x + W₂ ReLU(W₁ x) at every position, the channels at an axis."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        layer = nn.Linear if axis == 3 else lambda inputs, outputs: nn.Conv2d(inputs, outputs, 1)
        self.first, self.act, self.second = layer(8, 12), nn.ReLU(), layer(12, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(self.act(self.first(x)))


class Mixed(nn.Module):
    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.blocks = nn.Sequential(Mixer(axis), Mixer(axis))
        self.narrow = nn.Conv2d(8, 8, 2, 2)
        self.more = nn.Sequential(Mixer(axis), Mixer(axis))
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.narrow(self.out(self.blocks(self.into(self.patches(x)))))
        return self.head(self.out(self.more(self.into(x))).mean((2, 3)))

    def into(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1) if self.axis == 3 else x

    def out(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 3, 1, 2) if self.axis == 3 else x


@pytest.fixture(scope="module")
def nets() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    second, last = Mixed(1).eval(), Mixed(3).eval()
    state = {name: value.flatten(1) if ".first.w" in name or ".second.w" in name else value
             for name, value in second.state_dict().items()}  # fmt: skip
    last.load_state_dict(state)
    torch.testing.assert_close(second(IMAGES), last(IMAGES))
    return second, last


def test_maps_are_equal_by_every_method(nets):
    methods = [method for method in LAYER_METHODS if method != "guided-gradcam"]
    found = [attributions(methods, net, IMAGES[:3], 2) for net in nets]
    for method in methods:
        assert list(found[0][method]) == list(found[1][method]) == ["blocks.0", "blocks.1", "more.0", "more.1"]
        for layer, maps in found[0][method].items():
            assert maps.shape == (3, 6, 6) if layer.startswith("b") else (3, 3, 3)
            torch.testing.assert_close(found[1][method][layer], maps)


def test_a_map_is_the_formula_of_the_permuted_output(nets):
    net = nets[1]
    made = net.more(net.into(net.narrow(net.out(net.blocks(net.into(net.patches(IMAGES)))))))
    (gradient,) = torch.autograd.grad(net.head(made.mean((1, 2)))[:, 2].sum(), made)
    torch.testing.assert_close(gradcam(net, IMAGES, 2)["more.1"], (gradient.mean((1, 2), keepdim=True) * made).sum(3))


def test_features_and_positions_are_equal(nets):
    first, second = (collect(net, IMAGES, layers=["block", "conv", "linear"]) for net in nets)
    for name in ("blocks.1", "narrow", "more.0"):
        assert second.by_layer[name].shape == (24, 8)
        torch.testing.assert_close(second.by_layer[name], first.by_layer[name])
    places = {place.layer: place for place in first.positions}
    assert all(place.stage == places[place.layer].stage for place in second.positions if place.layer in places)
    assert {place.stage for place in second.positions} == {1, 2}
    assert intrinsic_dimension(second.by_layer["more.0"]).value == pytest.approx(
        intrinsic_dimension(first.by_layer["more.0"]).value, rel=1e-3
    )


def test_similarity_does_not_ask_for_channels(nets):
    tables = [similarity(net, IMAGES) for net in nets]
    assert tables[1].cka.to_numpy() == pytest.approx(tables[0].cka.to_numpy(), abs=1e-4)


def test_order_of_positions_is_permuted_and_channels_are_not(nets):
    for net in nets:
        found = spatial_order(net, IMAGES)
        assert (found.layer, found.positions) == ("more.1", 9)
        assert found.output_change < 1e-6  # a mean over positions cannot tell
        assert accepted_sizes(net, [24, 32]).positions.tolist() == [9, 16]
        assert not accepted_sizes(net, [3]).accepted.any()


def test_shapes_and_stages_are_equal(nets):
    tables = [architecture(net, 24).query("kind == 'block'") for net in nets]
    assert tables[0]["shape"].tolist() == tables[1]["shape"].tolist() == [(8, 6, 6)] * 2 + [(8, 3, 3)] * 2
    for column in ("stage", "multiply_adds", "parameters", "receptive_field", "jump"):
        assert tables[0][column].tolist() == tables[1][column].tolist(), column


class Stirred(nn.Module):
    """Its block gives channels and positions mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.stir, self.head = nn.Conv2d(3, 8, 4, 4), nn.PReLU(), nn.Linear(8, 5)
        self.stir.forward = lambda x: x.flatten(1).view(len(x), 6, 6, 8) * self.stir.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stir(self.conv(x)).mean((1, 2)))


def test_a_layout_that_cannot_be_told_is_refused_in_a_sentence():
    net = Stirred().eval()
    with pytest.raises(LabError, match=r"'stir' has no map to show: which axis of its output \(2, 6, 6, 8\) holds"):
        gradcam(net, IMAGES[:2], 1, ["stir"])
    with pytest.raises(LabError, match=r"which axis of the output \(24, 6, 6, 8\) of 'stir' holds its channels cannot"):
        collect(net, IMAGES, layers=["stir"])
    with pytest.raises(LabError, match="which axis of the output"):
        spatial_order(net, IMAGES)
    assert list(gradcam(net, IMAGES[:2], 1)) == ["conv"]  # the others are still shown
    assert len(collect(net, IMAGES, layers=["stir"], pool=False).by_layer["stir"]) == 24


def test_half_precision_is_added_in_float32():
    net = Mixed(3).to(torch.bfloat16).eval()
    wide = copy.deepcopy(net).float()
    maps = gradcam(net, IMAGES[:2].bfloat16(), 1, ["patches"])["patches"]
    assert maps.dtype == torch.float32
    assert collect(net, IMAGES.bfloat16(), layers=["patches"]).by_layer["patches"].dtype == torch.float32
    # the layer's outputs and gradients have 8 bits each; the sum over 8 channels adds none of its own
    torch.testing.assert_close(maps, gradcam(wide, IMAGES[:2], 1, ["patches"])["patches"], rtol=0.05, atol=0.002)
