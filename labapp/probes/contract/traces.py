"""What does a diagnostic leave behind that was not there before?"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

State = Mapping[str, Sequence[object]]


@contextlib.contextmanager
def own_numbers(seed: int) -> Iterator[None]:
    """Inside, the random numbers of the process are those of this seed; afterwards they go on as before."""
    kept = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        torch.random.default_generator.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        yield
    finally:
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        random.setstate(kept[2])


def state(net: nn.Module, images: Tensor) -> State:
    """Everything that a diagnostic leaves as it was, by what it is called in a sentence."""
    modules, parameters = [*net.modules()], [*net.parameters()]
    return {
        "weights and statistics": [value.clone() for value in net.state_dict().values()],
        "gradients": [None if each.grad is None else each.grad.clone() for each in parameters],
        "parameters that learn": [each.requires_grad for each in parameters],
        "modes of modules": [module.training for module in modules],
        "hooks and attributes of modules": [_attributes(module) for module in modules],
        "images": [images.clone()],
        "random numbers of torch": [torch.get_rng_state()],
        "random numbers of numpy": [str(np.random.get_state())],  # noqa: NPY002
        "random numbers of Python": [random.getstate()],
        "settings of torch": [torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()],
    }


def changed(before: State, after: State) -> list[str]:
    """In what two states differ."""
    return [
        name
        for name, values in before.items()
        if len(values) != len(after[name]) or not all(map(_alike, values, after[name]))
    ]


def _attributes(module: nn.Module) -> dict[str, int]:
    """Of each attribute of a module how much is in it, where it holds hooks, parameters or modules."""
    return {name: len(value) if isinstance(value, dict) else 0 for name, value in vars(module).items()}


def _alike(one: object, other: object) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    return bool(one == other)
