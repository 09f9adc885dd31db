"""How a net wants its images: what its weights' own record says, what the user says, and what its first layer takes."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from labapp.config import LabError
from labapp.diagnostics.measuring.inlet import inlet
from labapp.nets.foreign import recorded_input
from labapp.probes import subjects
from labapp.probes.explanations import Subject, of_spec
from labapp.probes.pictures import square


@pytest.fixture
def without_weights(monkeypatch):
    """No net is built and no weights are fetched: only the records are asked for."""
    monkeypatch.setattr(subjects, "foreign", lambda spec, weights=None: nn.Sequential(nn.Conv2d(3, 4, 3)))


@pytest.mark.parametrize(
    "name", ["resnet18", "efficientnet_v2_l", "vit_h_14", "inception_v3", "swin_v2_t", "densenet121"]
)
def test_torchvisions_nets_read_as_their_weights_transforms_do(without_weights, name):
    """A photograph through the weights' own transforms and through the lab's reading is the same tensor."""
    subject = of_spec(f"torchvision:{name}")
    transforms = models.get_model_weights(name).DEFAULT.transforms()
    assert (subject.mean, subject.std) == (tuple(transforms.mean), tuple(transforms.std))
    assert subject.size == transforms.crop_size[0]
    picture = np.random.default_rng(0).integers(0, 256, (subject.size, subject.size, 3), dtype=np.uint8)
    transforms.resize_size = [subject.size]  # the picture has that size already
    theirs = transforms(torch.from_numpy(picture).permute(2, 0, 1)[None])
    torch.testing.assert_close(subject.read(picture), theirs)
    assert subject.says == "as torchvision's weights say"


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "vit_base_patch16_224", "inception_v3", "resnet50.a1_in1k"])
def test_timms_nets_read_as_their_configuration_says(without_weights, name):
    import timm

    subject, configuration = of_spec(f"timm:{name}"), timm.get_pretrained_cfg(name)
    assert (subject.mean, subject.std) == (configuration.mean, configuration.std)
    assert subject.size == configuration.input_size[-1]
    assert subject.says == "as timm's configuration says"


def test_every_timm_net_with_weights_has_its_own_record():
    import timm

    differ = 0
    for name in timm.list_models(pretrained=True):
        record, configuration = recorded_input(f"timm:{name}"), timm.get_pretrained_cfg(name)
        assert (record.mean, record.std) == (configuration.mean, configuration.std)
        differ += record.mean != subjects.ASSUMED[3][0]
    assert differ > 600  # 683 in timm 1.0.31


def test_a_users_own_callable_that_asks_timm_is_known_by_its_net(monkeypatch):
    import timm

    net = timm.create_model("tf_efficientnet_lite0", num_classes=5)
    monkeypatch.setattr(subjects, "foreign", lambda spec, weights=None: net)
    with pytest.warns(UserWarning, match="as its factory made it"):
        subject = of_spec("mine:make", image_size=64)
    assert subject.mean == (0.5, 0.5, 0.5)
    assert subject.says == "as timm's configuration says"


def test_what_nobody_has_written_down_is_assumed_and_said(own):
    with pytest.warns(UserWarning, match="as its factory made it"):
        subject = of_spec(f"{own}:Small", image_size=16)
    assert subject.mean == (0.485, 0.456, 0.406)
    assert subject.reading == (
        "16×16 pixels, mean 0.485/0.456/0.406, deviation 0.229/0.224/0.225, assumed, since nothing says how this net "
        "was trained"
    )


def reader(channels: int = 3) -> Subject:
    return Subject("net", None, nn.Identity(), size=8, channels=channels, mean=(0.1,) * channels, std=(0.2,) * channels)


def test_what_the_user_says_goes_before_the_record():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    given = reader().otherwise((0.5,), (0.1, 0.2, 0.4)).read(picture)
    pixels = torch.from_numpy(square(picture, 8)).permute(2, 0, 1) / 255
    torch.testing.assert_close(given[0], (pixels - 0.5) / torch.tensor([0.1, 0.2, 0.4]).view(3, 1, 1))
    assert reader().otherwise((), (0.3,)).mean == (0.1, 0.1, 0.1)
    plain = reader()
    assert plain.otherwise() is plain


@pytest.mark.parametrize(
    ("mean", "std", "sentence"),
    [
        ((0.1, 0.2), (), "mean has 2 values for 3 channels"),
        ((), (0.0,), "std divides the images"),
        ((float("nan"),), (), "not finite"),
        ((), (1.0, 1.0, -1.0), "std divides the images"),
    ],
)
def test_what_cannot_be_read_so(mean, std, sentence):
    with pytest.raises(LabError, match=sentence):
        reader().otherwise(mean, std)


class Late(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.stem, self.head = nn.Conv2d(8, 8, 3), nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.body(self.stem(x).relu()).mean((2, 3)))


class Grey(nn.Module):
    """Makes its own grey of three colours."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 8, 3), nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.stem(x.mean(1, keepdim=True)).mean((2, 3)))


@pytest.mark.parametrize(
    ("make", "channels", "dtype", "layer"),
    [
        (Late, 3, torch.float32, "stem"),
        (Grey, 3, torch.float32, "stem"),
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 3)), 1, torch.float32, "0"),
        (lambda: nn.Sequential(nn.Conv2d(4, 4, 3)), 4, torch.float32, "0"),
        (lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3)), 3, torch.float32, "1"),
        (lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4, 4, 3)), 1, torch.float32, "1"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 4)), 1, torch.float32, "1"),
        (lambda: nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 4, 3)), 1, torch.float32, "0"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3)).half(), 3, torch.float16, "0"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3)).bfloat16(), 3, torch.bfloat16, "0"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3)).double(), 3, torch.float64, "0"),
        (lambda: nn.ModuleDict({"unused": nn.Linear(2, 2).double(), "net": Late()})["net"], 3, torch.float32, "stem"),
        (nn.ReLU, 3, torch.float32, ""),
        (lambda: nn.Sequential(nn.LazyConv2d(4, 3)), 3, torch.float32, ""),  # not run, which would settle its shape
    ],
)
def test_the_first_layer_that_runs_says_what_it_takes(make, channels, dtype, layer):
    net = make().train()
    hooks = [len(module._forward_pre_hooks) for module in net.modules()]
    assert inlet(net, 16) == (channels, dtype, layer)
    assert net.training
    assert [len(module._forward_pre_hooks) for module in net.modules()] == hooks
