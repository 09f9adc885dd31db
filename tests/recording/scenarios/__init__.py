"""Ways in which people train: nets, optimizers and steps, each written once and run bare, recorded and witnessed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import nn


@dataclass
class Scenario:
    """One way to train.

    Attributes:
        make: gives the net.
        step: ``step(run, model, optimizer, number)``, `run` being a `Bare` or a `Witness`.
        optimizer: ``optimizer(model)``; None trains without, or makes one in the step.
        options: gives further arguments of the recorder.
        missing: quantity -> what notes or report must say where it is NaN though it has a value.
        plain: the net for the witness, where that of `make` has an inside that no hook sees.
        unseen: whether rows without outputs are right because no hook can hear the place.
        steps: how many.
        between: ``between(model, number)`` after each step, outside of the record.
    """

    make: Callable[[], nn.Module]
    step: Callable[..., None]
    optimizer: Callable[[nn.Module], Any] | None = None
    options: Callable[[], Mapping[str, Any]] = dict
    missing: Mapping[str, str] = field(default_factory=dict)
    plain: Callable[[], nn.Module] | None = None
    unseen: bool = False
    steps: int = 3
    between: Callable[[nn.Module, int], Any] = lambda model, number: None


SCENARIOS: dict[str, Scenario] = {}


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)


def scenario(make: Callable[[], nn.Module], optimizer: Any = sgd, name: str = "", **about: Any) -> Callable:
    """Registers a step under the name of its function."""

    def add(step: Callable[..., None]) -> Callable[..., None]:
        key = name or step.__name__.replace("_", " ").strip()
        assert key not in SCENARIOS, key
        SCENARIOS[key] = Scenario(make, step, optimizer, **about)
        return step

    return add


def data(number: int, *shape: int) -> torch.Tensor:
    """A batch for a step: the same in every run."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(number))


def mlp(*widths: int, activation: Callable[[], nn.Module] = nn.Tanh) -> nn.Sequential:
    """Linear layers with activations between them."""
    layers: list[nn.Module] = []
    for one, two in pairwise(widths):
        layers += [nn.Linear(one, two), activation()]
    return nn.Sequential(*layers[:-1])
