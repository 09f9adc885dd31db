"""The cascade reaches every weight, also those that no hook sees, and copies of nets whose weights are computed."""

import warnings
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune, spectral_norm
from torchvision import models
from torchvision.models.swin_transformer import SwinTransformer

from labapp.config import LabError
from labapp.diagnostics.measuring.copies import copied, restarted
from labapp.diagnostics.sanity import sanity_check, weight_layers
from labapp.diagnostics.similarity import similarity

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def old_weight_norm(module: nn.Module, dim: int | None = 0) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(module, dim=dim)


def tail(first: nn.Module, second: nn.Module | None = None) -> nn.Module:
    second = second or nn.Conv2d(8, 8, 3)
    return nn.Sequential(first, nn.ReLU(), second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


class Functional(nn.Module):
    """Uses a layer's weight without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 5)
        self.position = nn.Parameter(torch.randn(8, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.conv2d(x, self.first.weight, self.first.bias) + self.position
        return self.head(self.second(x.relu()).mean((2, 3)))


def pruned() -> nn.Module:
    net = tail(nn.Conv2d(3, 8, 3))
    prune.random_unstructured(net[2], "weight", amount=0.5)
    return net


NETS = {
    "swin": lambda: SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=5),
    "vit": lambda: models.VisionTransformer(32, 8, 2, 2, 8, 16, num_classes=5),
    "functional": Functional,
    "weight norm": lambda: tail(parametrizations.weight_norm(nn.Conv2d(3, 8, 3))),
    "older weight norm": lambda: tail(old_weight_norm(nn.Conv2d(3, 8, 3)), old_weight_norm(nn.Conv2d(8, 8, 3), None)),
    "spectral norm": lambda: tail(parametrizations.spectral_norm(nn.Conv2d(3, 8, 3, bias=False))),
    "older spectral norm": lambda: tail(spectral_norm(nn.Conv2d(3, 8, 3))),
    "orthogonal": lambda: tail(parametrizations.orthogonal(nn.Conv2d(3, 8, 3))),
    "pruned": pruned,
    "scripted part": lambda: tail(torch.jit.script(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))),
}


@pytest.fixture(params=NETS)
def net(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit's, of itself
        made = NETS[request.param]()
    with torch.no_grad():
        for parameter in made.parameters():  # as after training: nothing stands at its first value
            parameter.mul_(1.1).add_(0.01 * torch.randn(parameter.shape))
    made(IMAGES).sum().backward()  # a computed weight is now kept with its graph
    return made.eval()


def of_weights(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in net.named_parameters()}


def test_every_weight_is_random_in_the_end_and_none_of_the_net_before(net: nn.Module):
    before, seen = of_weights(net), []

    def explain(shown: nn.Module) -> torch.Tensor:
        seen.append((of_weights(shown), shown(IMAGES).detach()))
        return torch.rand(4, 3, 3)

    fresh = restarted(net, seed=3)
    found = sanity_check(net, explain, IMAGES, fresh=fresh)
    assert all(torch.equal(value, before[name]) for name, value in of_weights(net).items())
    last, output = seen[-1]
    assert not [name for name, value in last.items() if torch.equal(value, before[name]) and value.std() > 0]
    torch.testing.assert_close(output, fresh.eval()(IMAGES))
    # one layer more with each comparison, and the first from the output down is the classifier
    changed = [{name for name, value in state.items() if not torch.equal(value, before[name])} for state, _ in seen]
    assert all(now > earlier for earlier, now in pairwise(changed))
    assert all("head" in name or name.startswith("5.") for name in changed[1])
    assert len(found.layers) == len(weight_layers(net, IMAGES))


def test_a_restarted_net_gives_something_else_of_the_same_size(net: nn.Module):
    first, second = restarted(net, 0).eval(), restarted(net, 1).eval()
    again = of_weights(restarted(net, 0))
    assert all(torch.equal(value, again[name]) for name, value in of_weights(first).items())
    outputs = [each(IMAGES).detach() for each in (net, first, second)]
    assert all(output.isfinite().all() and output.std() > 0 for output in outputs)
    for a, b in ((0, 1), (1, 2)):
        assert not torch.allclose(outputs[a], outputs[b], rtol=1e-3)


def test_a_weight_norms_row_has_the_length_it_says():
    net = restarted(tail(old_weight_norm(nn.Conv2d(3, 8, 3)), old_weight_norm(nn.Conv2d(8, 8, 3), None)))
    net(IMAGES)
    for layer in (net[0], net[2]):
        torch.testing.assert_close(layer.weight, layer.weight_v)  # g · v/‖v‖ is v where g = ‖v‖


def test_copies_compare(net: nn.Module):
    if "scripted" in str(type(net[0])).lower() if isinstance(net, nn.Sequential) else False:
        pytest.skip("a scripted part has no layers to compare")
    twin = copied(net)
    torch.testing.assert_close(twin(IMAGES), net(IMAGES))
    assert not {p.data_ptr() for p in twin.parameters()} & {p.data_ptr() for p in net.parameters()}
    table = similarity(net, IMAGES, net.state_dict(), layers=["conv", "linear"])
    assert len(table) > 0


class Locked(nn.Linear):
    def __deepcopy__(self, memory: dict) -> nn.Module:
        raise TypeError("not to be copied")


def test_a_net_that_cannot_be_copied_is_told_in_a_sentence():
    with pytest.raises(LabError, match=r"this Locked cannot be copied \(TypeError: not to be copied\)"):
        copied(Locked(2, 2))
