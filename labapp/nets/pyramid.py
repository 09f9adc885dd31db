"""How do the finer maps of a net get the features of its deepest one?

Lin, Dollár, Girshick, He, Hariharan, Belongie 2017, *Feature Pyramid Networks* (arXiv 1612.03144): from the deepest
map down, each level adds the level above it, twice as large, to its own stage's map, and smooths the sum.

    fpn = pyramid(build("resnet50"))
    fpn(images)          # p2 (N, 256, 56, 56), p3, p4, p5 (N, 256, 7, 7)

The pyramid is torchvision's. It is recorded like any net; `labapp.diagnostics.level_gradients` says which level sends
how much gradient into which stage. It serves torchvision's detectors as a backbone (`out_channels`).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from labapp.config import LabError
from labapp.config.extras import needed
from labapp.nets.net import Place
from labapp.nets.stages import Stages, stages

with needed(__name__):
    from torchvision.ops import FeaturePyramidNetwork

CHANNELS = 256  # of every level, §3


class Pyramid(nn.Module):
    """A net's stages with a feature pyramid on top.

    Attributes:
        body: The net's stages.
        fpn: torchvision's `FeaturePyramidNetwork`.
        levels: Level -> the stage's map it starts from.
        sources: Name of a stage's map or of a level -> path of the module whose output it is.
        out_channels: Channels of every level.
        places: Where to listen, as in a `Net`; only for a net of the lab.
    """

    def __init__(self, body: Stages, channels: int) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramidNetwork(list(body.channels.values()), channels)
        self.levels = {f"p{name.removeprefix('conv').removesuffix('_x')}": name for name in body.channels}
        self.out_channels = channels
        self.sources = {name: f"body.{path}" for name, path in body.sources.items()}
        self.sources |= {level: f"fpn.layer_blocks.{number}.0" for number, level in enumerate(self.levels)}
        if hasattr(body, "places"):
            self.places = [*map(_inside, body.places), *self._new_places()]

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """(N, C, H, W) to one map (N, out_channels, H/stride, W/stride) a level, the finest first."""
        return self.of(self.body(images))

    def of(self, maps: OrderedDict[str, Tensor]) -> OrderedDict[str, Tensor]:
        """The levels for maps that the body has made."""
        made = self.fpn(maps)
        return OrderedDict((level, made[name]) for level, name in self.levels.items())

    def _new_places(self) -> list[Place]:
        """The pyramid's own convolutions in the order in which they run: from the deepest level up to the finest."""
        depth = max(place.depth for place in self.body.places)
        found = []
        for number, tap in reversed(list(enumerate(self.body.taps))):
            stage = next(place.stage for place in reversed(self.body.places) if place.path.startswith(f"net.{tap}"))
            for part in ("inner_blocks", "layer_blocks"):
                depth += 1
                found.append(Place(f"fpn.{part}.{number}.0", "conv", depth, stage, ""))
        return found


def pyramid(net: nn.Module, *, channels: int = CHANNELS) -> Pyramid:
    """A feature pyramid over all stages of a net.

    Args:
        net: A residual, plain, dense or VGG net, which is used and not copied; its classifier does not run.
        channels: Channels of every level.

    Raises:
        LabError: For a net of another family, or no channels.
    """
    if channels < 1:
        raise LabError(f"channels must be at least 1, not {channels}")
    return Pyramid(stages(net, logits=False), channels)


def _inside(place: Place) -> Place:
    return place._replace(path=f"body.{place.path}", block=place.block and f"body.{place.block}")
