"""Can this model be recorded at all? Asked once, when a recorder is made, and answered in one sentence."""

import re
from itertools import chain
from typing import Any

from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.optim import Optimizer

from labapp.config import LabError
from labapp.recording.sharded import gather_shards, why_not


def unwrap(model: nn.Module, part: str = "") -> tuple[nn.Module, bool]:
    """The user's own module inside DistributedDataParallel and torch.compile, and whether it is compiled as a whole.

    Args:
        model: The module.
        part: The path of a submodule of the user's own, if that is meant.

    Raises:
        LabError: for anything that is no module, and for DataParallel, whose replicas hooks do not see.
    """
    if isinstance(model, nn.DataParallel):
        raise LabError("DataParallel makes replicas each step, which hooks cannot follow; use DistributedDataParallel")
    if not isinstance(model, nn.Module):
        raise LabError(f"model is a {type(model).__name__}; give a torch.nn.Module")
    compiled = False
    while hasattr(model, "_orig_mod") or isinstance(model, nn.parallel.DistributedDataParallel):
        compiled = compiled or hasattr(model, "_orig_mod")
        inner: Any = model._orig_mod if hasattr(model, "_orig_mod") else model.module
        model = inner
    compiled = compiled or getattr(model, "_compiled_call_impl", None) is not None
    try:
        return model.get_submodule(part), compiled
    except AttributeError:
        raise LabError(f"the model has no part {part!r}; give the path of one of its modules") from None


def check_model(model: nn.Module) -> None:
    """Refuses a model of which nothing could be recorded.

    Raises:
        LabError: for lazy and meta parameters, those sharded otherwise than by fully_shard; for none that trains.
    """
    gather_shards(model)
    named = dict(model.named_parameters())
    for name, tensor in (*named.items(), *model.named_buffers()):
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
            raise LabError(f"{name} is lazy and has no shape yet; pass one batch through the model first")
    for name, parameter in named.items():
        if parameter.is_meta:
            raise LabError(f"{name} is on the meta device and holds no numbers; load or initialise the weights first")
        if why := why_not(model, parameter):
            raise LabError(f"{name} {why}")
    if not named:
        raise LabError("this model has no parameters, so there is nothing that trains and nothing to record")
    if not any(p.requires_grad for p in named.values()):
        raise LabError("no parameter of this model requires a gradient, so nothing trains; unfreeze some")
    paths = {path for path, _ in model.named_modules()}
    for path in paths:
        call = re.fullmatch(r"(.*)#[0-9]+", path)
        if call and call[1] in paths:
            raise LabError(
                f"a module is called '{path}', which would be the name of a call of '{call[1]}' in the record; "
                "give it a name without '#'"
            )


def check_optimizer(model: nn.Module, optimizer: Optimizer | None) -> None:
    """Refuses an optimizer of another model.

    Raises:
        LabError: for anything without `param_groups`, and where none of them is of this model.
    """
    if optimizer is None:
        return
    groups = getattr(optimizer, "param_groups", None)
    if groups is None:
        raise LabError(f"optimizer is a {type(optimizer).__name__}; give the optimizer that trains this model")
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for group in groups for p in group["params"]):
        raise LabError("the optimizer holds no parameter of this model; give the optimizer that trains it")


def check_options(budget: float | None, noise: bool, joined: bool) -> None:
    """Refuses a share that is none, and what several processes that record together cannot have.

    Raises:
        LabError: for these.
    """
    if budget is not None and not 0 < budget <= 1:
        raise LabError(f"budget={budget!r}: give the share of training time recording may take, above 0 and up to 1")
    if budget is not None and joined:
        raise LabError("a budget goes by one process's clock, and all have to record the same steps; give when=")
    if noise and joined:
        raise LabError(
            "gradient_noise compares the gradients of micro-batches, of which several processes have only their mean; "
            "leave it out, or record one process"
        )


def fingerprint(model: nn.Module, sharded: bool = False) -> tuple[list[nn.Module], list[int | str]]:
    """The modules of a net, and what identifies its parts and parameters: equal as long as none was replaced."""
    modules = list(model.modules())
    return modules, identities(modules, sharded)


def identities(modules: list[nn.Module], sharded: bool = False) -> list[int | str]:
    """What identifies the parts and parameters of these modules; by name too, which is all that pruning changes.

    Not by the parameters themselves where they are `sharded`: a forward pass puts whole ones in their place.
    """
    own: list[dict[str, Any]] = []
    for module in modules:
        own += (dict.fromkeys(module._parameters) if sharded else module._parameters, module._modules)
    return [
        *map(id, chain.from_iterable(each.values() for each in own)),
        *chain.from_iterable(each.keys() for each in own),
    ]
