"""How is a net built with a shortcut past every few layers, and how is the same net built without?

He, Zhang, Ren, Sun 2015, *Deep Residual Learning* (arXiv 1512.03385), and 2016, *Identity Mappings* (arXiv 1603.05027).
A plain net is the same net without its shortcuts: same layers, same names, same weights.

Where this differs from the papers:

* A bottleneck halves the image in its 3×3 convolution, as torchvision and most later work do, not in its first 1×1 as
  the authors' models do.
* A pre-activation block that pads (shortcut A) pads the signal as it comes, so that nothing non-linear stands on the
  way; the paper leaves this open.
* The first weights are those of `starts.py`; with the norm "none" convolutions have biases.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from labapp.nets.factory import LayerFactory, preactivated, sequential
from labapp.nets.net import Block, Net

EXPANSION = {"basic": 1, "bottleneck": 4}
IMAGENET_BLOCKS = {  # 2015, Table 1
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


class Add(nn.Module):
    """The sum of branch and shortcut, a module of its own so that a hook sees both sides apart."""

    def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
        """Both (N, C, H, W)."""
        return branch + shortcut


class PadShortcut(nn.Module):
    """Shortcut A: every stride-th pixel, and zeros for the new channels (2015, §3.3); it has no parameters."""

    def __init__(self, extra_channels: int, stride: int) -> None:
        super().__init__()
        self.extra_channels, self.stride = extra_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + extra, H/stride, W/stride)."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra_channels))

    def extra_repr(self) -> str:
        """What print(net) shows."""
        return f"extra_channels={self.extra_channels}, stride={self.stride}"


class Scale(nn.Module):
    """A constant factor (2016, §3.1); it has no parameters."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, kept."""
        return self.factor * x

    def extra_repr(self) -> str:
        """What print(net) shows."""
        return f"factor={self.factor:g}"


class PlainBlock(Block):
    """A branch and the activation behind it (in pre-activation form: none)."""

    def __init__(self, branch: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H/stride, W/stride)."""
        return self.activation(self.branch(x))


class ResidualBlock(Block):
    """activation(branch(x) + shortcut(x)).

    `preactivation` is what branch and shortcut share before they part: in pre-activation form with a projection on
    the shortcut norm and activation stand there (the authors' code), in all other blocks nothing.
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module, activation: nn.Module, preactivation: nn.Module) -> None:
        super().__init__()
        self.preactivation = preactivation
        self.branch = branch
        self.shortcut = shortcut
        self.add = Add()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H/stride, W/stride)."""
        x = self.preactivation(x)
        return self.activation(self.add(self.branch(x), self.shortcut(x)))


def residual_net(
    make: LayerFactory,
    *,
    form: str,
    depth: int,
    width: int,
    block: str,
    shortcut: str | None,
    preactivation: bool,
    in_channels: int,
    num_classes: int,
    image_size: int,
    shortcut_scale: float = 1.0,
) -> Net:
    """A net of blocks with shortcuts A, B or C, each times `shortcut_scale`; with None, without.

    Any `image_size` will do, since the last pooling is global.
    """
    stem_pool: dict[str, nn.Module | None] = {}
    counts: tuple[int, ...]
    if form == "cifar":  # 2015, §4.2: three stages, no pooling before the last layer
        stem_conv = make.conv(in_channels, width, 3)
        counts = (depth // (6 if block == "basic" else 9),) * 3
    else:  # Table 1
        stem_conv = make.conv(in_channels, width, 7, stride=2)
        stem_pool = make.stem_pool()
        block, counts = IMAGENET_BLOCKS[depth]
    # in pre-activation form too the stem keeps its activation, so the first block has none of its own (2016, appendix)
    stem = sequential(conv=stem_conv, norm=make.norm(width), activation=make.activation(), **stem_pool)
    parts: dict[str, nn.Module] = {"stem": stem}
    channels = width
    for stage, count in enumerate(counts):
        inside = width * 2**stage
        blocks: dict[str, nn.Module] = {}
        for number in range(count):
            shape = (channels, inside, 2 if stage and not number else 1)
            activated = not stage and not number
            blocks[f"block{number + 1}"] = _block(
                make, block, shape, shortcut, preactivation, activated, shortcut_scale
            )
            channels = inside * EXPANSION[block]
        parts[f"stage{stage + (1 if form == 'cifar' else 2)}"] = sequential(**blocks)  # ImageNet: conv2_x … conv5_x
    last = {"norm": make.norm(channels), "activation": make.activation()} if preactivation else {}
    parts["head"] = preactivated(
        **last, pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), classifier=nn.Linear(channels, num_classes)
    )
    return Net(parts)


def plain_net(make: LayerFactory, **options: Any) -> Net:
    """The same net without its shortcuts: the same layers, names and weights."""
    return residual_net(make, shortcut=None, **options)


def _block(
    make: LayerFactory,
    block: str,
    shape: tuple[int, int, int],
    shortcut: str | None,
    preactivation: bool,
    activated: bool,
    scale: float,
) -> Block:
    """One block of shape (input channels, channels inside, stride); `activated`: its input already is."""
    inputs, inside, stride = shape
    outputs = inside * EXPANSION[block]
    if block == "basic":
        convolutions = [(inputs, inside, 3, stride), (inside, outputs, 3, 1)]
    else:
        convolutions = [(inputs, inside, 1, 1), (inside, inside, 3, stride), (inside, outputs, 1, 1)]
    changes = stride > 1 or inputs != outputs
    projects = shortcut == "C" or (shortcut == "B" and changes)

    shared: nn.Module = nn.Identity()
    if preactivation and projects and not activated:
        shared = preactivated(norm=make.norm(inputs), activation=make.activation())
        activated = True
    branch = _before(make, convolutions, activated) if preactivation else _after(make, convolutions)
    activation = nn.Identity() if preactivation else make.activation()
    if shortcut is None:
        return PlainBlock(branch, activation)
    way: nn.Module = nn.Identity()
    if projects:  # in pre-activation form without a norm, which would stand between the addition and the next block
        way = sequential(conv=make.conv(inputs, outputs, 1, stride), norm=None if preactivation else make.norm(outputs))
    elif changes:
        way = PadShortcut(outputs - inputs, stride)
    if scale != 1:
        way = nn.Sequential(way, Scale(scale))
    return ResidualBlock(branch, way, activation, shared)


def _after(make: LayerFactory, convolutions: list[tuple[int, int, int, int]]) -> nn.Sequential:
    """conv, norm, activation, …, conv, norm: the last activation comes after the addition (2015, Fig. 2 and 5)."""
    parts: dict[str, nn.Module | None] = {}
    for number, (inputs, outputs, size, stride) in enumerate(convolutions, start=1):
        parts[f"conv{number}"] = make.conv(inputs, outputs, size, stride)
        parts[f"norm{number}"] = make.norm(outputs)
        if number < len(convolutions):
            parts[f"activation{number}"] = make.activation()
    return sequential(**parts)


def _before(make: LayerFactory, convolutions: list[tuple[int, int, int, int]], activated: bool) -> nn.Sequential:
    """norm, activation, conv, … (2016, Fig. 4e); without the first two where they are shared or already done."""
    parts: dict[str, nn.Module | None] = {}
    for number, (inputs, outputs, size, stride) in enumerate(convolutions, start=1):
        if number > 1 or not activated:
            parts[f"norm{number}"] = make.norm(inputs)
            parts[f"activation{number}"] = make.activation()
        parts[f"conv{number}"] = make.conv(inputs, outputs, size, stride)
    return preactivated(**parts)
