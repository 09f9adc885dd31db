"""How deep does a plain stack of 3×3 convolutions go?

Simonyan & Zisserman 2014, *Very Deep Convolutional Networks* (arXiv 1409.1556), Table 1: configurations A, B, C, D, E.

Where this differs from the paper:

* Batch normalisation is of 2015; as in torchvision's `_bn` nets it stands behind each convolution, which keeps its
  bias, and not in the linear layers.
* The ImageNet form averages to 7×7 before the linear layers, as torchvision does; for the paper's 224 pixels that
  changes nothing, and other sizes work too.
* Head `gap` (global average pooling and one linear layer) is of 2014's Network in Network.
* The CIFAR form is made for small images: it leaves out the fifth pooling, and its two hidden linear layers have as
  many units as the last convolution has channels instead of 4096.
* The paper draws its first weights with "10⁻² variance", and starts the deeper nets from the layers of A. Here layers
  start as `init` says; only with "he" the linear layers of the ImageNet form start with a standard deviation of 0.01,
  which is how torchvision reads that sentence.
* The paper's local response normalisation (A-LRN), which it found useless, is left out.
"""

from __future__ import annotations

from torch import nn

from labapp.nets.factory import LayerFactory, sequential
from labapp.nets.net import Net

CONFIGURATIONS = {  # sizes of the convolutions of the five stages
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}
WIDENING = (1, 2, 4, 8, 8)  # channels of a stage, in widths
DROPOUT = 0.5  # of the hidden linear layers, §3.1


def vgg_net(
    make: LayerFactory,
    *,
    form: str,
    width: int,
    configuration: str,
    head: str,
    in_channels: int,
    num_classes: int,
    image_size: int,
    depth: int,
) -> Net:
    """A VGG net; `depth` follows from the configuration and is here for completeness."""
    parts: dict[str, nn.Module] = {}
    channels = in_channels
    for stage, sizes in enumerate(CONFIGURATIONS[configuration]):
        pooled = stage < len(WIDENING) - 1 or form == "imagenet"
        steps: dict[str, nn.Module | None] = {}
        for number, size in enumerate(sizes, start=1):
            outputs = width * WIDENING[stage]
            steps[f"conv{number}"] = make.conv(channels, outputs, size, bias=True)
            steps[f"norm{number}"] = make.norm(outputs)
            steps[f"activation{number}"] = make.activation()
            channels = outputs
        parts[f"stage{stage + 1}"] = sequential(**steps, pool=nn.MaxPool2d(2) if pooled else None)
    if head == "gap":
        parts["head"] = sequential(
            pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), classifier=nn.Linear(channels, num_classes)
        )
        return Net(parts)
    side, hidden = (7, 64 * width) if form == "imagenet" else (image_size // 16, channels)
    parts["head"] = sequential(
        pool=nn.AdaptiveAvgPool2d(7) if form == "imagenet" else None,
        flatten=nn.Flatten(),
        linear1=nn.Linear(channels * side**2, hidden),
        activation1=make.activation(),
        dropout1=nn.Dropout(DROPOUT),
        linear2=nn.Linear(hidden, hidden),
        activation2=make.activation(),
        dropout2=nn.Dropout(DROPOUT),
        classifier=nn.Linear(hidden, num_classes),
    )
    return Net(parts)


def start_head(net: Net) -> None:
    """First weights N(0, 0.01²) for the linear layers, as in torchvision."""
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
