"""Does an experiment get the net it asks for?"""

import sys

import pytest
import torch

from labapp.config import Experiment, LabError
from labapp.nets.ordered import net_for


def ordered(experiment, channels=3):
    return net_for(experiment, num_classes=7, image_size=32, in_channels=channels)


@pytest.mark.parametrize(
    "experiment",
    [
        Experiment(family="plain", depth=8, width=4),
        Experiment(net="torchvision:resnet18"),
        Experiment(net="timm:resnet10t"),
    ],
    ids=lambda experiment: experiment.name,
)
def test_it_has_as_many_outputs_as_the_images_have_classes(experiment):
    net = ordered(experiment).eval()
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


def test_a_factory_gets_num_classes_if_it_takes_it(tmp_path, monkeypatch):
    (tmp_path / "ordered_nets.py").write_text(
        "from torch import nn\n"
        "def told(num_classes): return nn.Linear(4, num_classes)\n"
        "def knows(): return nn.Linear(4, 3)\n"
        "def anything(**options): return nn.Linear(4, options['num_classes'])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "ordered_nets", raising=False)
    outputs = [ordered(Experiment(net=f"ordered_nets:{name}")).out_features for name in ("told", "knows", "anything")]
    assert outputs == [7, 3, 7]


def test_images_that_a_net_does_not_take():
    with pytest.raises(LabError, match="3 channels"):
        ordered(Experiment(net="torchvision:resnet18"), channels=1)
    assert ordered(Experiment(net="timm:resnet10t"), channels=1).eval()(torch.zeros(1, 1, 32, 32)).shape == (1, 7)
