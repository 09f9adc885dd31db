import copy

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from labapp.config import LabError
from labapp.nets import build
from labapp.nets.pyramid import pyramid
from labapp.recording import Recorder, every


@pytest.mark.parametrize(
    "net",
    [
        build("residual", depth=8, width=4),
        build("dense", depth=10, growth_rate=4),
        build("vgg", depth=11, width=4, head="fc"),
        build("resnet18", width=4),
        models.resnet18(),
    ],
    ids=["residual", "dense", "vgg", "imagenet", "torchvision"],
)
def test_one_map_a_level_of_equal_channels(net: nn.Module):
    fpn = pyramid(net, channels=6)
    levels = fpn(torch.randn(2, 3, 64, 64))
    assert list(levels) == [f"p{number}" for number in range(2, 2 + len(fpn.body.strides))]
    for made, stride in zip(levels.values(), fpn.body.strides.values(), strict=True):
        assert made.shape == (2, 6, 64 // stride, 64 // stride)


def test_it_is_torchvisions_pyramid_on_the_same_maps():
    torch.manual_seed(0)
    fpn = pyramid(build("residual", depth=8, width=4).eval(), channels=6)
    theirs = FeaturePyramidNetwork([4, 8, 16], 6)
    theirs.load_state_dict(fpn.fpn.state_dict())
    images = torch.randn(2, 3, 16, 16)
    expected = theirs(fpn.body(images))
    for made, other in zip(fpn(images).values(), expected.values(), strict=True):
        assert torch.equal(made, other)


def test_it_is_recorded_like_any_net():
    torch.manual_seed(0)
    fpn = pyramid(build("residual", depth=8, width=4), channels=6)
    optimizer = torch.optim.SGD(fpn.parameters(), lr=0.01)
    with Recorder(fpn, optimizer=optimizer, when=every(1)) as recorder:
        for _ in range(2):
            with recorder.step():
                optimizer.zero_grad()
                sum(level.square().mean() for level in fpn(torch.randn(4, 3, 16, 16)).values()).backward()
                optimizer.step()
    table = recorder.table()
    table = table[table.step == 1].set_index("layer")
    own = table[table.index.str.startswith("fpn.")]
    assert own.index.tolist() == [f"fpn.{part}.{n}.0" for n in (2, 1, 0) for part in ("inner_blocks", "layer_blocks")]
    assert own.depth.tolist() == [8, 9, 10, 11, 12, 13]
    assert own.stage.tolist() == [3, 3, 2, 2, 1, 1]
    convolutions = table[table.kind == "conv"]
    assert (convolutions.output_grad_norm > 0).all()
    assert (convolutions.update_ratio > 0).all()
    assert "body.net.stage3.block1" in table.index


def test_places_are_in_the_order_of_execution():
    fpn = pyramid(build("vgg", depth=11, width=4, head="fc"), channels=6)
    modules, fired = dict(fpn.named_modules()), []
    for place in fpn.places:
        modules[place.path].register_forward_hook(lambda *_, path=place.path: fired.append(path))
    fpn(torch.randn(2, 3, 32, 32))
    assert fired == [place.path for place in fpn.places]
    assert not hasattr(pyramid(models.resnet18()), "places")


def test_a_detector_of_torchvisions_trains_on_it():
    torch.manual_seed(0)
    fpn = pyramid(build("residual", depth=8, width=4), channels=8)
    levels = list(fpn.levels)
    detector = FasterRCNN(
        fpn,
        min_size=32,
        max_size=32,
        rpn_anchor_generator=AnchorGenerator(sizes=tuple((8 * 2**n,) for n in range(3)), aspect_ratios=((1.0,),) * 3),
        box_roi_pool=MultiScaleRoIAlign(levels, output_size=3, sampling_ratio=1),
        rpn_pre_nms_top_n_train=20,
        rpn_post_nms_top_n_train=10,
        box_head=nn.Sequential(nn.Flatten(), nn.Linear(72, 8)),
        box_predictor=models.detection.faster_rcnn.FastRCNNPredictor(8, 2),
    )
    target = {"boxes": torch.tensor([[4.0, 4, 20, 20]]), "labels": torch.tensor([1])}
    losses = detector([torch.rand(3, 32, 32)] * 2, [target] * 2)
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert float(fpn.body.net.stem.conv.weight.grad.abs().sum()) > 0


def test_it_copies_and_refuses_what_it_does_not_know():
    fpn = pyramid(build("residual", depth=8, width=4), channels=6)
    assert list(copy.deepcopy(fpn)(torch.randn(2, 3, 16, 16))) == ["p2", "p3", "p4"]
    with pytest.raises(LabError, match="at least 1"):
        pyramid(build("residual", depth=8), channels=0)
    with pytest.raises(LabError, match="stages are known"):
        pyramid(nn.Linear(3, 3))
