"""Which nets can the lab build, and how are they called?

    build("residual", depth=56, width=8)        # a family and its options, CIFAR form
    build("resnet50")                           # ImageNet form, by the paper's name: 224 pixels, 1000 classes
    build(**experiment.net_options())

The options are those of `labapp.config.Experiment`, which also settles and checks them.
"""

from __future__ import annotations

from typing import Any

from labapp.config import BELONGS_TO, FAMILIES, Experiment, LabError, listed, nearest
from labapp.nets.densenet import dense
from labapp.nets.foreign import foreign, load_torchvision
from labapp.nets.layers import Layers
from labapp.nets.places import Net, Place
from labapp.nets.resnet import plain, residual
from labapp.nets.starts import initialise
from labapp.nets.vgg import start_head, vgg

__all__ = ["Net", "Place", "build", "foreign", "load_torchvision", "names"]

OPTIONS = ("form", "depth", "width", "norm", "activation", "init", "padding_mode", *BELONGS_TO)
SMALLEST_IMAGE = {  # pixels a side at which every stride still halves
    ("plain", "cifar"): 4,
    ("residual", "cifar"): 4,
    ("dense", "cifar"): 4,
    ("vgg", "cifar"): 16,
    ("plain", "imagenet"): 32,
    ("residual", "imagenet"): 32,
    ("dense", "imagenet"): 32,
    ("vgg", "imagenet"): 32,
}
NAMED: dict[str, dict[str, Any]] = {  # the papers' ImageNet nets
    **{f"resnet{depth}": {"family": "residual", "depth": depth} for depth in (18, 34, 50, 101, 152)},
    **{f"plain{depth}": {"family": "plain", "depth": depth} for depth in (18, 34)},
    **{f"densenet{depth}": {"family": "dense", "depth": depth} for depth in (121, 161, 169, 201, 264)},
    **{
        f"vgg{name}{ending}": {"family": "vgg", "configuration": configuration, "norm": norm}
        for name, configuration in {"11": "A", "13": "B", "16c": "C", "16": "D", "19": "E"}.items()
        for ending, norm in {"": "none", "_bn": "batch"}.items()
    },
}


def names() -> list[str]:
    """Everything `build` takes as its first argument: the families, then the nets by name."""
    return [*FAMILIES, *NAMED]


def build(
    family: str,
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
    in_channels: int = 3,
    **options: Any,
) -> Net:
    """A net of a family, or one of the papers' ImageNet nets by its name (`names()`), with first weights.

    Args:
        family: plain, residual, dense, vgg, or a name such as resnet50.
        num_classes: Outputs; 10 in the CIFAR form, 1000 in the ImageNet form.
        image_size: Pixels a side of the images to come; 32 and 224. VGG's linear layers need it, all check it.
        in_channels: Channels of the images to come.
        options: Net options of `Experiment`; one that is left out or None is settled as there.
    """
    if family in NAMED:
        options = {"form": "imagenet", **NAMED[family], **{k: v for k, v in options.items() if v is not None}}
        family = options.pop("family")
    elif family not in FAMILIES:
        raise LabError(
            f"unknown net '{family}'; the lab builds {listed(FAMILIES)}, and by name {listed(NAMED)}"
            f"{nearest(family, names())}"
        )
    for option in options:
        if option not in OPTIONS:
            raise LabError(f"unknown net option '{option}'; there are {listed(OPTIONS)}{nearest(option, OPTIONS)}")
    settled = Experiment(family=family, **options).net_options()
    form, scheme = settled["form"], settled.pop("init")
    num_classes = num_classes if num_classes is not None else 1000 if form == "imagenet" else 10
    image_size = image_size if image_size is not None else 224 if form == "imagenet" else 32
    for what, size in (("num_classes", num_classes), ("image_size", image_size), ("in_channels", in_channels)):
        if size < 1:
            raise LabError(f"{what} must be at least 1, not {size}")
    smallest = SMALLEST_IMAGE[family, form]
    if image_size < smallest:
        raise LabError(
            f"images of {image_size} pixels are too small for a {family} net in the {form} form; it needs at least "
            f"{smallest}"
        )
    layers = Layers(settled.pop("norm"), settled.pop("activation"), settled.pop("padding_mode"))
    builder = {"plain": plain, "residual": residual, "dense": dense, "vgg": vgg}[settled.pop("family")]
    if family == "vgg":
        settled["image_size"] = image_size
    net: Net = builder(layers, in_channels=in_channels, num_classes=num_classes, **settled)
    initialise(net, scheme, layers.activation_kind)
    if family == "vgg" and scheme == "he" and form == "imagenet":
        start_head(net)
    return net
