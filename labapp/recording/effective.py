"""Which weight does a layer really use, where it is computed from other parameters?

Weight normalisation, spectral normalisation, pruning and every other parametrisation of `torch.nn.utils` compute the
weight anew in each forward. What is measured is that weight: before the step, and as the next forward would compute it
after the step. Computing it changes nothing: neither the power iteration of a spectral norm nor a random number.
"""

import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from labapp.recording.hooks import found_before

COMPUTING = (WeightNorm, SpectralNorm, prune.BasePruningMethod)  # hooks that compute a weight before each forward


class Effective(NamedTuple):
    """A computed weight: its name in the module, the parameters it is made of, and how it is computed now."""

    name: str
    made_of: tuple[Tensor, ...]
    now: Callable[[], Tensor]


def effective_weights(module: nn.Module) -> list[Effective]:
    """The weights of a module that are computed from other parameters."""
    found: list[Effective] = []

    def add(name: str, made_of: Iterable[Tensor], now: Callable[[], Tensor]) -> None:
        found.append(Effective(name, tuple(made_of), now))

    if parametrize.is_parametrized(module):
        for name, made in module.parametrizations.items():  # type: ignore[union-attr, operator]
            add(name, made.parameters(), partial(_untouched, made))
    for hook in found_before(module, COMPUTING):
        name = hook._tensor_name if isinstance(hook, prune.BasePruningMethod) else hook.name
        own = [p for key, p in module.named_parameters(recurse=False) if key.startswith(f"{name}_")]
        if isinstance(hook, WeightNorm):
            add(name, own, partial(hook.compute_weight, module))
        elif isinstance(hook, SpectralNorm):
            add(name, own, partial(hook.compute_weight, module, False))
        else:
            add(name, own, partial(hook.apply_mask, module))
    return found


def _untouched(made: nn.Module) -> Tensor:
    """What a parametrisation gives now, computed by a copy of it."""
    state = torch.get_rng_state()
    try:
        return copy.deepcopy(made)()
    finally:
        torch.set_rng_state(state)
