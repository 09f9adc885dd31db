"""How is a net measured without changing it?

A diagnostic sees a net as it is used: in evaluation mode, where no normalisation learns from the images and no unit is
dropped. What had to change for that is put back, also after an exception.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn


@contextmanager
def undisturbed(model: nn.Module, *, in_place: bool = True) -> Iterator[None]:
    """Inside, the net is in evaluation mode and gradients can be taken; outside, nothing has changed.

    Kept are the mode of every single module, the random numbers of the processor and of the net's devices, and
    whether gradients are on. Modes are set as attributes: a net's own `train()` may do more than that, and what it
    does could not be taken back.

    Args:
        model: The net.
        in_place: False also has activations write to new memory, for methods that read what others would overwrite.
    """
    modules = list(model.modules())
    modes = [module.training for module in modules]
    overwriting = [] if in_place else [module for module in modules if getattr(module, "inplace", False) is True]
    devices = {p.device for p in (*model.parameters(), *model.buffers())}
    with ExitStack() as stack:
        for kind in sorted({device.type for device in devices} & {"cuda", "mps", "xpu"}):
            numbers = {device.index or 0 for device in devices if device.type == kind}
            stack.enter_context(torch.random.fork_rng(sorted(numbers), device_type=kind))
        stack.enter_context(torch.random.fork_rng([]))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        try:
            for module in modules:
                module.training = False
            for module in overwriting:
                setattr(module, "inplace", False)  # noqa: B010
            yield
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            for module in overwriting:
                setattr(module, "inplace", True)  # noqa: B010
