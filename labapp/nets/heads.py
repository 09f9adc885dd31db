"""How does a net say of every pixel what it shows?

    net = segmenter(build("resnet34"), classes=11)
    net(images)                                # (N, 11, H, W): a logit a class and pixel
    F.cross_entropy(net(images), targets)      # targets (N, H, W), such as `ImageSet.label_maps` gives

The semantic branch of Kirillov, Girshick, He, Dollár 2019, *Panoptic Feature Pyramid Networks* (arXiv 1901.02446), §3
and Fig. 3: each level of a feature pyramid goes through as many steps of 3×3 convolution, group norm, rectifier and
bilinear doubling as bring it to the size of the finest level, which has one step without doubling. Their sum, a 1×1
convolution and a bilinear enlargement are the logits. Weights begin as PyTorch's.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from labapp.config import LabError
from labapp.nets.factory import groups, sequential
from labapp.nets.net import Place
from labapp.nets.pyramid import Pyramid, pyramid

CHANNELS = 64  # of the levels and of the head; the papers' nets have 256 and 128


class SemanticHead(nn.Module):
    """The levels of a pyramid, enlarged to the finest one and added, as logits of pixels."""

    def __init__(self, levels: int, inputs: int, channels: int, classes: int) -> None:
        super().__init__()
        self.ways = nn.ModuleList(
            nn.ModuleList(_smooth(inputs if not step else channels, channels) for step in range(max(1, level)))
            for level in range(levels)
        )
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, levels: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Levels (N, C, h, w), the finest first, to logits (N, classes, *size)."""
        whole: Tensor | None = None
        for number, (x, way) in enumerate(zip(levels, self.ways, strict=True)):
            for step, smooth in enumerate(way.children()):
                x = smooth(x)
                if number:
                    x = _enlarged(x, tuple(levels[number - 1 - step].shape[-2:]))
            whole = x if whole is None else whole + x
        return _enlarged(self.classifier(whole), size)


class Segmenter(nn.Module):
    """A net's feature pyramid with a semantic head on top.

    Attributes:
        pyramid: The net's stages and their pyramid.
        head: What makes logits of the levels.
        sources: Name of a stage's map or of a level -> path of the module whose output it is, as a record names it.
        places: Where to listen, as in a `Net`; only for a net of the lab.
    """

    def __init__(self, pyramid: Pyramid, channels: int, classes: int) -> None:
        super().__init__()
        self.pyramid = pyramid
        self.head = SemanticHead(len(pyramid.levels), pyramid.out_channels, channels, classes)
        self.sources = {name: f"pyramid.{path}" for name, path in pyramid.sources.items()}
        if hasattr(pyramid, "places"):
            self.places = [*map(_inside, pyramid.places), *self._new_places()]

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, classes, H, W).

        Raises:
            LabError: If the images are smaller than the stride of the deepest map.
        """
        deepest, stride = list(self.pyramid.body.strides.items())[-1]
        if (smallest := min(images.shape[-2:])) < stride:
            raise LabError(
                f"images of {smallest} pixels a side have no {deepest}, of which one position is {stride} pixels; "
                f"take images of at least {stride}, or a net of fewer strides"
            )
        return self.head([*self.pyramid(images).values()], tuple(images.shape[-2:]))

    def _new_places(self) -> list[Place]:
        """The head's convolutions and norms in the order in which they run, the finest level's first."""
        places: list[Place] = self.pyramid.places
        depth = max(place.depth for place in places)
        stages = {place.path: place.stage for place in places}
        first = [stages[self.pyramid.sources[level]] for level in self.pyramid.levels]
        found = []
        for number, way in enumerate(self.head.ways):
            for step, _ in enumerate(way.children()):
                depth += 1
                stage = first[number] - step  # each doubling leads to the stage before
                for part, kind in (("conv", "conv"), ("norm", "norm"), ("activation", "activation")):
                    found.append(Place(f"head.ways.{number}.{step}.{part}", kind, depth, stage, ""))
        return [*found, Place("head.classifier", "conv", depth + 1, first[0], "")]


def segmenter(net: nn.Module, *, classes: int, channels: int = CHANNELS) -> Segmenter:
    """A net as the backbone of semantic segmentation.

    Args:
        net: A residual, plain, dense or VGG net of the lab or of torchvision, which is used and not copied; its
            classifier does not run.
        classes: Of pixels, with that of the ground.
        channels: Of every level and of the head.

    Raises:
        LabError: For a net of another family, or no classes or channels.
    """
    if classes < 1:
        raise LabError(f"classes must be at least 1, not {classes}; the ground behind things is one of them")
    return Segmenter(pyramid(net, channels=channels), channels, classes)


def _smooth(inputs: int, channels: int) -> nn.Sequential:
    return sequential(
        conv=nn.Conv2d(inputs, channels, 3, padding=1, bias=False),
        norm=nn.GroupNorm(groups(channels), channels),
        activation=nn.ReLU(),
    )


def _enlarged(x: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def _inside(place: Place) -> Place:
    return place._replace(path=f"pyramid.{place.path}", block=place.block and f"pyramid.{place.block}")
