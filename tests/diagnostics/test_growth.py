import pytest
import timm
import torch
from torchvision import models

from labapp.config import LabError
from labapp.diagnostics.growth import channel_path, growth
from labapp.nets import build


def test_the_block_of_the_papers_first_figure():
    """Six input channels and four layers of growth 4 give 22."""
    with torch.device("meta"):
        table = growth(build("dense", depth=16, growth_rate=4, width=6))
    first = table[(table.part == "layer") & (table.block == 1)]
    assert first.channels_in.tolist() == [6, 10, 14, 18]
    assert first.channels.tolist() == [10, 14, 18, 22]


def test_the_channels_of_bc_100_12():
    with torch.device("meta"):
        net = build("dense", depth=100, bottleneck=True, compression=0.5)
    assert channel_path(net) == [24, 216, 108, 300, 150, 342]
    table = growth(net)
    assert table.compression[table.part == "transition"].tolist() == [0.5, 0.5]
    assert set(table.channels_new[table.part == "layer"]) == {12}
    assert table.part.iloc[0] == "stem"
    assert len(table) == 1 + 48 + 2


@pytest.mark.parametrize(
    "maker", [lambda: build("densenet121"), models.densenet121, lambda: timm.create_model("densenet121")]
)
def test_one_reading_of_the_labs_torchvisions_and_timms(maker):
    with torch.device("meta"):
        net = maker()
    assert channel_path(net) == [64, 256, 128, 512, 256, 1024, 512, 1024]
    table = growth(net)
    assert table.block.tolist() == [1] * 7 + [1] + [2] * 12 + [2] + [3] * 24 + [3] + [4] * 16


def test_channels_are_those_that_flow():
    net = build("dense", depth=10, growth_rate=3, compression=0.5, image_size=8)
    seen: list[int] = []
    for block in (net.block1, net.block2, net.block3):
        block.register_forward_hook(lambda module, args, output: seen.extend((args[0].shape[1], output.shape[1])))
    net(torch.zeros(2, 3, 8, 8))
    assert channel_path(net) == seen


def test_other_families_do_not_grow():
    with pytest.raises(LabError, match="no dense block"):
        growth(build("residual", depth=8))
