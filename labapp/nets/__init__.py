"""Which nets can the lab build, and what are they called?

    build("residual", depth=56, width=8)        # a family and its options, CIFAR form
    build("resnet50")                           # ImageNet form, by the paper's name: 224 pixels, 1000 classes
    build(**experiment.net_options())

The options are those of `labapp.config.Experiment`, which also settles and checks them. Nets of other makers come
through `labapp.nets.foreign`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labapp.config import BELONGS_TO, FAMILIES, Experiment, LabError, listed, nearest
from labapp.nets.densenet import dense_net
from labapp.nets.factory import LayerFactory
from labapp.nets.net import Net, Place
from labapp.nets.resnet import plain_net, residual_net
from labapp.nets.starts import initialise
from labapp.nets.vgg import start_head, vgg_net

__all__ = ["Net", "Place", "build", "names"]

OPTIONS = ("form", "depth", "width", "norm", "activation", "init", "padding_mode", *BELONGS_TO)
BUILDERS: dict[str, Callable[..., Net]] = {
    "plain": plain_net,
    "residual": residual_net,
    "dense": dense_net,
    "vgg": vgg_net,
}
NAMED: dict[str, dict[str, Any]] = {  # the papers' ImageNet nets
    **{f"plain{depth}": {"family": "plain", "depth": depth} for depth in (18, 34)},
    **{f"resnet{depth}": {"family": "residual", "depth": depth} for depth in (18, 34, 50, 101, 152)},
    **{f"densenet{depth}": {"family": "dense", "depth": depth} for depth in (121, 161, 169, 201, 264)},
    **{
        f"vgg{name}{ending}": {"family": "vgg", "configuration": configuration, "norm": norm}
        for name, configuration in {"11": "A", "13": "B", "16c": "C", "16": "D", "19": "E"}.items()
        for ending, norm in {"": "none", "_bn": "batch"}.items()
    },
}
SMALLEST_IMAGE = {"plain": 4, "residual": 4, "dense": 4, "vgg": 16}  # pixels at which every stride still halves
SMALLEST_IMAGENET_IMAGE = 32


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
        image_size: Pixels a side of the images to come; 32 and 224. All families check it, VGG's linear layers need it.
        in_channels: Channels of the images to come.
        options: Net options of `Experiment`; one that is left out or None is settled as there.
    """
    family, options = _look_up(family, options)
    settled = Experiment(family=family, **options).net_options()
    del settled["family"]
    imagenet = settled["form"] == "imagenet"
    sizes = {
        "num_classes": num_classes if num_classes is not None else 1000 if imagenet else 10,
        "image_size": image_size if image_size is not None else 224 if imagenet else 32,
        "in_channels": in_channels,
    }
    _check(sizes, family, settled["form"])
    make = LayerFactory(settled.pop("norm"), settled.pop("activation"), settled.pop("padding_mode"))
    scheme = settled.pop("init")
    net = BUILDERS[family](make, **sizes, **settled)
    initialise(net, scheme, make.activation_kind)
    if family == "vgg" and imagenet and scheme == "he":
        start_head(net)
    return net


def _look_up(family: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A family and all options that were given, also by the name."""
    options = {option: value for option, value in options.items() if value is not None}
    for option in options:
        if option not in OPTIONS:
            raise LabError(f"unknown net option '{option}'; there are {listed(OPTIONS)}{nearest(option, OPTIONS)}")
    if family in FAMILIES:
        return family, options
    if family not in NAMED:
        raise LabError(
            f"unknown net '{family}'; the lab builds {listed(FAMILIES)}, and ImageNet nets by name such as resnet50"
            f"{nearest(family, names())}"
        )
    fixed = {"form": "imagenet", **NAMED[family]}
    for option in ("form", "depth", "configuration"):
        if options.get(option, fixed.get(option)) != fixed.get(option):
            raise LabError(f"{family} is a net of one {option}; leave {option} out, or build '{fixed['family']}'")
    options = fixed | options
    return options.pop("family"), options


def _check(sizes: dict[str, int], family: str, form: str) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise LabError(f"{name} must be at least 1, not {size}")
    smallest = SMALLEST_IMAGENET_IMAGE if form == "imagenet" else SMALLEST_IMAGE[family]
    if sizes["image_size"] < smallest:
        raise LabError(
            f"an image of {sizes['image_size']} pixels a side is too small for a {family} net in the {form} form; "
            f"take at least {smallest}"
        )
