"""Which maps does a net compute at each resolution, as a backbone for other nets?

    backbone = stages(build("resnet50"))
    features = backbone(images)      # conv2_x (N, 256, 56, 56), conv3_x, conv4_x, conv5_x (N, 2048, 7, 7), logits

Names are those of the papers' tables (He 2015, Table 1): convN_x is the last map of the N-th resolution, from conv2_x
on; conv1 is the first convolution, in a VGG net its first stage. So a CIFAR form has conv2_x … conv4_x, but for VGG. A
map is what the stage hands on: behind its last activation, before any pooling. In dense and pre-activation nets it is
the raw concatenation or sum, since their activations stand in front of the next layer.

A `Stages` is a module around the net itself, not a copy: it trains, moves and is recorded with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from labapp.config import LabError
from labapp.config.extras import needed
from labapp.nets.densenet import DenseBlock
from labapp.nets.net import Net, Place

with needed(__name__):
    from torchvision import models

LOGITS = "logits"
FAMILIES = (Net, models.ResNet, models.DenseNet, models.VGG)
TRIED = 64  # pixels of the image on which a forward that is not the family's own is compared with the stages
PROBE = 256  # pixels of the image that tells channels and strides; a multiple of every stride


class Stages(nn.Module):
    """A net whose forward gives an ordered dictionary: one map a stage, the finest first, then the logits.

    Attributes:
        net: The net itself.
        taps: Path in the net of the module that makes a map -> the map's name.
        sources: Name of a map -> path of the innermost module whose output it is: where a record has its gradient.
        channels: Name -> channels of the map.
        strides: Name -> pixels of the image a side to one position of the map.
        places: Where to listen, as in a `Net`; only for a net of the lab.
    """

    def __init__(self, net: nn.Module, *, logits: bool = True) -> None:
        super().__init__()
        self.net = net
        self.steps, self.taps, self._head = _plan(net)
        self.sources = {name: _maker(self, f"net.{path}") for path, name in self.taps.items()}
        if isinstance(net, Net):
            self.places = [_inside(place) for place in net.places if logits or not place.path.startswith("head.")]
        self.logits = False
        maps = self._on_paper()
        self.channels = {name: made.shape[1] for name, made in maps.items()}
        self.strides = {name: PROBE // made.shape[-1] for name, made in maps.items()}
        self.logits = True
        self._require_the_whole()
        self.logits = logits

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """(N, C, H, W) to maps (N, C', H/stride, W/stride) and logits (N, classes)."""
        made: OrderedDict[str, Tensor] = OrderedDict()
        x = images
        for path in self.steps:
            x = self.net.get_submodule(path)(x)
            if path in self.taps:
                made[self.taps[path]] = x
        if self.logits:
            made[LOGITS] = self._head(self.net, x)
        return made

    def _on_paper(self) -> OrderedDict[str, Tensor]:
        """The maps of an image on the meta device: shapes only, and nothing in the net changes."""
        state = {name: tensor.to("meta") for name, tensor in (*self.named_parameters(), *self.named_buffers())}
        dtype = next(module for module in self.net.modules() if isinstance(module, nn.Conv2d)).weight.dtype
        images = torch.empty(2, *self._image(PROBE), device="meta", dtype=dtype)
        with torch.no_grad():
            return functional_call(self, state, (images,))

    def _image(self, side: int) -> tuple[int, int, int]:
        """The shape of an image."""
        first = next(module for module in self.net.modules() if isinstance(module, nn.Conv2d))
        return first.in_channels, side, side

    def _require_the_whole(self) -> None:
        """Make sure that the stages one after the other are the net, also where its class has a forward of its own.

        Raises:
            LabError: If they give something else than the net.
        """
        net, base = self.net, next(base for base in FAMILIES if isinstance(self.net, base))
        forwards = ("forward", "_forward_impl")
        if all(getattr(type(net), name, None) is getattr(base, name, None) for name in forwards) and not any(
            name in vars(net) for name in forwards
        ):
            return
        whole = False
        if not any(p.is_meta for p in net.parameters()):
            images = torch.rand(2, *self._image(TRIED), generator=torch.Generator().manual_seed(0))
            images = images.to(next(net.parameters()))
            with _evaluated(net), torch.no_grad():
                expected, found = net(images.clone()), self(images)[LOGITS]
            size = float(expected.abs().nan_to_num().max())
            tolerance = 64 * torch.finfo(expected.dtype).eps * size  # the same operations, maybe by other kernels
            whole = found.shape == expected.shape and torch.allclose(
                found, expected, rtol=0, atol=tolerance, equal_nan=True
            )
        if not whole:
            raise LabError(
                f"the forward of {type(net).__name__} does something besides running the stages of a {base.__name__} "
                "one after the other, so their maps would not be its own"
            )


@contextmanager
def _evaluated(net: nn.Module) -> Iterator[None]:
    """Inside, every module is in evaluation mode and draws no random numbers of the caller's."""
    modes = {module: module.training for module in net.modules()}
    try:
        for module in modes:
            module.training = False
        with torch.random.fork_rng([]):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def stages(net: nn.Module, *, logits: bool = True) -> Stages:
    """The maps of each stage of a residual, plain, dense or VGG net, of the lab or of torchvision.

    Args:
        net: The net, which is used and not copied.
        logits: Whether to run the classifier too. As a backbone for detection or segmentation: no.

    Raises:
        LabError: For a net of another family, or one whose forward does something besides.
    """
    return Stages(net, logits=logits)


def _maker(module: nn.Module, path: str) -> str:
    """The path of the last part of a sequence, of its last part, and so on: what that makes, the sequence hands on."""
    while isinstance(part := module.get_submodule(path), nn.Sequential) and len(part):
        path = f"{path}.{list(part._modules)[-1]}"
    return path


Head = Callable[[nn.Module, Tensor], Tensor]


def _plan(net: nn.Module) -> tuple[list[str], dict[str, str], Head]:
    """The modules to run one after the other, the taps among them, and how the last map becomes logits."""
    if isinstance(net, Net):
        return _lab(net)
    if isinstance(net, models.ResNet):
        steps = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
        return steps, _named(steps[4:]), _resnet_head
    if isinstance(net, models.DenseNet):
        steps = [f"features.{name}" for name, _ in net.features.named_children()]
        return steps, _named([step for step in steps if "denseblock" in step]), _densenet_head
    if isinstance(net, models.VGG):
        names = [name for name, _ in net.features.named_children()]
        pools = [at for at, module in enumerate(net.features) if isinstance(module, nn.MaxPool2d)]
        before = [f"features.{names[at - 1]}" for at in pools]
        return [f"features.{name}" for name in names], _named(before[1:]), _vgg_head
    raise LabError(
        f"stages are known of the lab's nets and of torchvision's ResNet, DenseNet and VGG, not of {type(net).__name__}"
    )


def _lab(net: Net) -> tuple[list[str], dict[str, str], Head]:
    steps, taps = list[str](), list[str]()
    pooled = False
    for name, part in net.named_children():
        if name == "head":
            break
        ends = name.startswith("stage") or isinstance(part, DenseBlock)
        if "pool" in dict(part.named_children()) and name.startswith("stage"):  # VGG pools at the end of a stage
            pooled = True
            inner = [f"{name}.{child}" for child, _ in part.named_children()]
            steps += inner
            taps.append(inner[-2])
        else:
            steps.append(name)
            taps += [name] if ends else []
    return steps, _named(taps[1:] if pooled else taps), _lab_head


def _named(taps: list[str]) -> dict[str, str]:
    return {path: f"conv{number}_x" for number, path in enumerate(taps, start=2)}


def _lab_head(net: nn.Module, x: Tensor) -> Tensor:
    return net.get_submodule("head")(x)


def _resnet_head(net: nn.Module, x: Tensor) -> Tensor:
    return net.get_submodule("fc")(net.get_submodule("avgpool")(x).flatten(1))


def _densenet_head(net: nn.Module, x: Tensor) -> Tensor:
    return net.get_submodule("classifier")(F.adaptive_avg_pool2d(F.relu(x), 1).flatten(1))


def _vgg_head(net: nn.Module, x: Tensor) -> Tensor:
    return net.get_submodule("classifier")(net.get_submodule("avgpool")(x).flatten(1))


def _inside(place: Place) -> Place:
    return place._replace(path=f"net.{place.path}", block=place.block and f"net.{place.block}")
