"""How is a step recorded whose turn had not come, when its loss or its gradient turns out not to be finite?

Its passes run once more, with the recorder listening, before the weights move: the same weights, images and random
numbers give the same values. What a forward leaves behind in the net (running statistics) is as after the first time.
"""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def is_ill(*numbers: Tensor) -> bool:
    """Whether any of these numbers is NaN or infinite; they are in the machine's memory, so nothing waits."""
    return not all(math.isfinite(float(number)) for number in numbers)


@contextlib.contextmanager
def once_more(net: nn.Module) -> Iterator[None]:
    """Leaves the net's buffers as they are."""
    kept = [buffer.detach().clone() for buffer in net.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in zip(net.buffers(), kept, strict=True):
                buffer.copy_(before)
