"""What does a loop that is not the lab's say of itself, and what of that goes into run.json?"""

import importlib.metadata
import math
import re
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from labapp.config import Experiment, first_line

HELD_OUT = re.compile(r"(?:val|valid|validation|eval|test)[_/.\- ](loss|acc|accuracy)(?:_epoch)?", re.IGNORECASE)
TRAINING = re.compile(r"(?:train(?:ing)?[_/.\- ])?(loss|acc|accuracy)(?:_step)?", re.IGNORECASE)


def ending(error: BaseException | None) -> tuple[str, str]:
    """The status and the message of a run that ended with an error, or without one."""
    if error is None:
        return "finished", ""
    if isinstance(error, Exception):
        return "failed", f"{type(error).__name__}: {first_line(error)}"
    return "stopped", "stopped by hand" if isinstance(error, KeyboardInterrupt) else type(error).__name__


def torch_optimizer(optimizer: Any) -> Any:
    """The optimizer itself within those that wrap it, whose steps torch tells of."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    return optimizer


def experiment_of(net: nn.Module, optimizer: Any, about: Mapping[str, Any]) -> tuple[Experiment, list[str]]:
    """What stands in run.json of a net and an optimizer that are not the lab's, and the fields that were told.

    Fields that nobody told of are as `Experiment` has them, so of such a run they say nothing; `environment` names the
    loop, by which that is known.
    """
    group = dict(optimizer.param_groups[0]) if getattr(optimizer, "param_groups", None) else {}
    group["learning_rate"] = group.get("initial_lr", group.get("lr"))
    least = {"learning_rate": math.ulp(0.0), "momentum": 0.0, "weight_decay": 0.0}
    known: dict[str, Any] = {}
    for name, low in least.items():
        value = group.get(name)
        if isinstance(value, int | float) and low <= value < (1 if name == "momentum" else math.inf):
            known[name] = float(value)
    kind = type(net)
    maker = f"{kind.__module__}:{kind.__name__ if '<' in kind.__qualname__ else kind.__qualname__}"  # no <locals>
    fixed = {"net": maker, "imageset": "folder", "steps": 1, "schedule": "constant", "momentum": 0.0}
    told = known | dict(about)
    return Experiment(**fixed | told), sorted(told)


def named(numbers: Mapping[str, Any], pattern: re.Pattern[str], chosen: Mapping[str, str | None]) -> dict[str, Any]:
    """Loss and accuracy among the numbers that a library logs.

    Args:
        numbers: By name.
        pattern: What names look like.
        chosen: The names of "loss" and "accuracy" where the user gave them.
    """
    found: dict[str, Any] = {}
    for name, number in numbers.items():
        if hit := pattern.fullmatch(name):
            found.setdefault("loss" if hit[1].lower() == "loss" else "accuracy", number)
    for what, own in chosen.items():
        if own is not None:
            found.pop(what, None)
            if own in numbers:
                found[what] = numbers[own]
    return found


def version_of(*packages: str) -> str:
    """A library's name and version, "Lightning 2.6.1"."""
    for package in packages:
        try:
            return f"{packages[0].capitalize()} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return packages[0].capitalize()
