"""What a recorder says about a net before it is trusted with a training run."""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.checkpoint import checkpoint

from labapp.config import LabError
from labapp.nets import build
from labapp.recording.examine import examine
from tests.recording.nets import Checkpointed, Shared, hooks_of


def batch(size, n=4):
    return torch.randn(n, 3, size, size), torch.randint(0, 10, (n,))


def findings(model, images, labels):
    return {f.what: f for f in examine(model, images, labels, pairs=1).report.findings}


def test_a_lab_net_has_nothing_to_report():
    model = build("residual", depth=8, width=4, image_size=16)
    before = copy.deepcopy(model.state_dict())
    found = examine(model, *batch(16), pairs=2)
    assert found.report.findings == ()
    assert found.report.kinds == {"conv": 7, "norm": 7, "block": 3, "linear": 1}
    assert found.bare > 0
    assert found.ratio > 0.5
    assert found.report.memory > sum(p.numel() for p in model.parameters())
    assert hooks_of(model) == 0
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))


def test_torchvision_resnet_is_in_place_and_shares_its_relu():
    found = findings(torchvision.models.resnet18(num_classes=10), *batch(64))
    assert "layer1.0.relu" in found["in place"].layers
    assert "layer1.0.relu" in found["called several times"].layers
    assert set(found) == {"in place", "called several times", "no row"}
    norms = [f"layer{stage}.0.downsample.1.{name}" for stage in (2, 3, 4) for name in ("weight", "bias")]
    assert list(found["no row"].layers) == norms  # they end a shortcut and feed no activation


def test_frozen_checkpointed_unused_and_keyword_only():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, *, hidden):
            return hidden + self.b(self.a(hidden).relu())

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.one, self.two, self.head = nn.Linear(8, 8), Block(), Block(), nn.Linear(8, 10)
            self.unused = nn.Linear(2, 2)
            self.stem.requires_grad_(False)
            self.tail = nn.Sequential(nn.Linear(10, 10), nn.ReLU())

        def forward(self, x):
            hidden = self.two(hidden=self.one(hidden=self.stem(x)))
            return checkpoint(self.tail, self.head(hidden), use_reentrant=False)

    found = findings(Net(), torch.randn(5, 8), torch.randint(0, 10, (5,)))
    assert found["frozen"].layers == ("stem",)
    assert found["never called"].layers == ("unused",)
    assert "tail.0" in found["checkpointed"].layers
    assert found["input by keyword"].layers == ("one", "two")


def test_compiled():
    model = torch.compile(build("plain", depth=8, width=4, image_size=16), backend="eager")
    found = findings(model, *batch(16))
    assert "only weights" in found["compiled"].consequence


def test_modules_that_are_called_again():
    found = findings(Shared(), torch.randn(5, 8), torch.randint(0, 10, (5,)))
    assert found["called several times"].layers == ("relu",)
    assert findings(Checkpointed(None), torch.randn(5, 8), torch.randint(0, 10, (5,))) == {}


def test_a_batch_the_net_does_not_take_is_one_sentence():
    with pytest.raises(LabError, match=r"does not train on a batch of shape \(4, 3, 16, 16\)"):
        examine(nn.Linear(7, 10), *batch(16))
    with pytest.raises(LabError, match="no parameters"):
        examine(nn.Flatten(), *batch(16))
