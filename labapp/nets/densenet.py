"""How is a net built in which every layer reads the outputs of all layers before it?

Huang, Liu, van der Maaten, Weinberger 2017, *Densely Connected Convolutional Networks* (arXiv 1608.06993). A layer adds
k channels (the growth rate); a bottleneck of 4k channels stands before its 3×3 convolution in the forms B and BC; a
transition keeps a share θ of the channels (the compression, C).

Where this differs from the paper: with the norm "none" convolutions have biases. The concatenation is computed again by
each layer, as in torchvision, which costs memory traffic and keeps each a module that a hook can see.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labapp.nets.factory import LayerFactory, preactivated, sequential
from labapp.nets.net import Block, Net

IMAGENET_BLOCKS = {  # layers of the four blocks, Table 1; 161 (with k = 48) in the first versions of the paper
    121: (6, 12, 24, 16),
    161: (6, 12, 36, 24),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}


class Concat(nn.Module):
    """Several maps (N, Cᵢ, H, W) as one (N, ΣCᵢ, H, W), in the order of their making."""

    def forward(self, features: list[Tensor]) -> Tensor:
        """A list, the block's input first."""
        return torch.cat(features, dim=1)


class DenseBlock(Block):
    """Layers layer1, layer2, …, each reading the concatenation of the block's input and all layers before it."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        for number, layer in enumerate(layers, start=1):
            self.add_module(f"layer{number}", layer)
        self.concat = Concat()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + layers · k, H, W)."""
        features = [x]
        *layers, concat = self.children()
        for layer in layers:
            features.append(layer(features))
        return concat(features)


def dense_net(
    make: LayerFactory,
    *,
    form: str,
    depth: int,
    width: int,
    growth_rate: int,
    bottleneck: bool,
    compression: float,
    dropout: float,
    in_channels: int,
    num_classes: int,
    image_size: int,
) -> Net:
    """A dense net; `width` is the number of channels that its first convolution makes.

    Any `image_size` will do, since the last pooling is global.
    """
    parts: dict[str, nn.Module]
    counts: tuple[int, ...]
    if form == "cifar":  # §4.2: three blocks; the first convolution is bare, norm and activation come inside the layers
        parts = {"stem": sequential(conv=make.conv(in_channels, width, 3))}
        counts = ((depth - 4) // (6 if bottleneck else 3),) * 3
    else:  # Table 1
        stem_conv = make.conv(in_channels, width, 7, stride=2)
        stem_norm, stem_activation = make.norm(width), make.activation()
        parts = {"stem": sequential(conv=stem_conv, norm=stem_norm, activation=stem_activation, **make.stem_pool())}
        counts = IMAGENET_BLOCKS[depth]
    channels = width
    for number, count in enumerate(counts, start=1):
        inputs = range(channels, channels + count * growth_rate, growth_rate)
        parts[f"block{number}"] = DenseBlock([_layer(make, n, growth_rate, bottleneck, dropout) for n in inputs])
        channels += count * growth_rate
        if number < len(counts):
            kept = int(channels * compression)  # ⌊θm⌋, §3
            parts[f"transition{number}"] = _transition(make, channels, kept, dropout)
            channels = kept
    parts["head"] = preactivated(
        norm=make.norm(channels),
        activation=make.activation(),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classifier=nn.Linear(channels, num_classes),
    )
    return Net(parts)


def _layer(make: LayerFactory, inputs: int, growth_rate: int, bottleneck: bool, dropout: float) -> nn.Sequential:
    """Norm, activation, convolution; in the forms B and BC a 1×1 convolution to 4k channels comes first (§3)."""
    parts: dict[str, nn.Module | None] = {"concat": Concat()}
    steps = (
        [(inputs, 4 * growth_rate, 1), (4 * growth_rate, growth_rate, 3)] if bottleneck else [(inputs, growth_rate, 3)]
    )
    for number, (before, after, size) in enumerate(steps, start=1):
        parts[f"norm{number}"] = make.norm(before)
        parts[f"activation{number}"] = make.activation()
        parts[f"conv{number}"] = make.conv(before, after, size)
        parts[f"dropout{number}"] = _dropout(dropout)
    return preactivated(**parts)


def _transition(make: LayerFactory, inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return preactivated(
        norm=make.norm(inputs),
        activation=make.activation(),
        conv=make.conv(inputs, outputs, 1),
        dropout=_dropout(dropout),
        pool=nn.AvgPool2d(2),
    )


def _dropout(share: float) -> nn.Module | None:
    """After each convolution but the first (§4.2); torchvision drops behind the 3×3 only."""
    return nn.Dropout(share) if share else None
