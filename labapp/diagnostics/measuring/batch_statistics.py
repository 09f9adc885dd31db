"""How does a net behave in training, when batch norm reads the batch?

At initialisation the running statistics are 0 and 1 and say nothing, so what theory predicts for batch norm is seen
only with the statistics of the batch itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def batch_statistics(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Inside, batch norms use the batch's mean and variance; their running ones are put back. For use in `undisturbed`.

    Args:
        model: The net, in evaluation mode.
        wanted: False changes nothing.
    """
    norms = [module for module in model.modules() if wanted and isinstance(module, _BatchNorm)]
    kept = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    modes = [norm.training for norm in norms]
    try:
        for norm in norms:
            norm.training = True
        yield
    finally:
        with torch.no_grad():
            for norm, buffers, mode in zip(norms, kept, modes, strict=True):
                norm.training = mode
                for name, buffer in norm.named_buffers():
                    buffer.copy_(buffers[name])
