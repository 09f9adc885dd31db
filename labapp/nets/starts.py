"""With which weights does a net start?

Fan-in is the number of inputs one output sums over, fan-out the number of outputs one input reaches (taps counted).

| scheme       | convolutions and hidden linear layers                        | classifier                   |
|--------------|--------------------------------------------------------------|------------------------------|
| he           | N(0, 2/fan-out) (He 2015, eq. 14: keeps the gradient's size)  | PyTorch's uniform weights    |
| glorot       | U(±√(6/(fan-in + fan-out))) (Glorot 2010, eq. 16)             | the same                     |
| lecun        | N(0, 1/fan-in) (LeCun 1998)                                   | the same                     |
| orthogonal   | orthogonal rows, gain √2 for the ReLU kind, else 1 (Saxe 2014) | gain 1                       |
| looks-linear | orthogonal and mirrored, see `looks_linear_` (Balduzzi 2017)  | mirrored                     |
| default      | PyTorch's: U(±1/√fan-in), biases too                          | the same                     |

Biases start at zero (but for `default`), normalisations as the identity. He's form is the one with fan-out, which
torchvision's ResNet and the published code of both ResNet and DenseNet use.
"""

from __future__ import annotations

import torch
from torch import nn

from labapp.config import LabError
from labapp.nets.net import Block

RECTIFIERS = ("relu", "leaky_relu", "gelu")  # they halve a signal's mean square, so the gain is √2


def initialise(net: nn.Module, scheme: str, activation: str = "relu") -> None:
    """Give every convolution and linear layer of a net its first weights, in place."""
    if scheme == "default":
        return
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    if scheme == "looks-linear":
        _refuse_looks_linear(net, layers)
    for layer in layers:
        if layer.weight.is_meta:  # a net of shapes alone has nothing to draw
            continue
        first, last = layer is layers[0], layer is layers[-1]
        gain = 2**0.5 if activation in RECTIFIERS and not last else 1.0
        if scheme == "he" and not last:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif scheme == "glorot":
            nn.init.xavier_uniform_(layer.weight)
        elif scheme == "lecun":
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        elif scheme == "orthogonal":
            nn.init.orthogonal_(layer.weight, gain=gain)
        elif scheme == "looks-linear":
            looks_linear_(layer.weight, mirror_inputs=not first, mirror_outputs=not last)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


@torch.no_grad()
def looks_linear_(weight: torch.Tensor, *, mirror_inputs: bool, mirror_outputs: bool) -> torch.Tensor:
    """Fill a weight (outputs, inputs, …) so that channels come in pairs (z, −z), in place (Balduzzi 2017).

    A rectifier turns a pair into (f(z), f(−z)) and the next layer's pair of weights (w, −w) takes the difference, a
    multiple of z: the net is linear at the start, and has all its non-linearities to learn with. Pairs are neighbours
    (2i, 2i+1), which survives DenseNet's concatenation; the paper's pairs lie half the channels apart.
    """
    outputs, inputs = weight.shape[0], weight.shape[1]
    half = weight.new_empty(outputs // (1 + mirror_outputs), inputs // (1 + mirror_inputs), *weight.shape[2:])
    nn.init.orthogonal_(half)
    if mirror_inputs:
        half = torch.stack((half, -half), dim=2).flatten(1, 2)
    if mirror_outputs:
        half = torch.stack((half, -half), dim=1).flatten(0, 1)
    return weight.copy_(half)


def _refuse_looks_linear(net: nn.Module, layers: list[nn.Conv2d | nn.Linear]) -> None:
    """Say in one sentence why a net cannot start linear, if it cannot."""
    where = "looks-linear initialisation exists for plain and dense nets in the CIFAR form"
    if any(isinstance(module, nn.MaxPool2d) for module in net.modules()):
        raise LabError(f"{where}; this net has a maximum pooling, which is not linear, so take orthogonal")
    if any(isinstance(module, Block) and hasattr(module, "shortcut") for module in net.modules()):
        raise LabError(f"{where}; a shortcut carries rectified signals past the pairs that cancel, so take orthogonal")
    odd = [layer.weight.shape[0] for layer in layers[:-1] if layer.weight.shape[0] % 2]
    if odd:
        raise LabError(
            f"looks-linear initialisation pairs channels, so a layer cannot have {odd[0]}; choose even numbers"
        )
