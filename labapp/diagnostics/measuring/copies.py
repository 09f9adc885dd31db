"""How is a net copied, and how does its copy get new random weights?

Weights may be computed from others (weight norm, spectral norm, pruning, parametrizations). Then those are copied and
drawn, not what was computed from them.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from labapp.config import LabError, first_line

COMPUTED = ("_v", "_orig")  # what older weight norm, and older spectral norm and pruning, call what they compute from


def copied(model: nn.Module) -> nn.Module:
    """A copy that shares nothing with the net.

    A tensor that a net keeps from its last forward pass, such as a weight computed by a hook, belongs to that pass's
    graph; the copy has its values alone.

    Raises:
        LabError: If a part of the net cannot be copied.
    """
    memory: dict[int, Any] = {id(kept): kept.detach().clone() for kept in _kept(model)}
    try:
        with torch.no_grad():  # else a scripted module's copy would hang on the graph of the original
            twin = copy.deepcopy(model, memory)
    except Exception as error:
        raise LabError(
            f"this {type(model).__name__} cannot be copied ({type(error).__name__}: {first_line(error)}), and its own "
            "weights are not to be changed; give a net that copy.deepcopy takes"
        ) from error
    for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    return twin


def _kept(model: nn.Module) -> Iterator[Tensor]:
    """Tensors with a graph that modules hold, directly or one level deep."""
    for module in model.modules():
        for value in vars(module).values():
            inside = (
                value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
            )
            yield from (each for each in inside if isinstance(each, Tensor) and each.grad_fn is not None)


def restarted(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy with new random weights in every layer.

    Convolutions and linear layers draw He's, which keep the size of the signal also where normalisations start with the
    statistics (0, 1); all else starts as PyTorch starts it, and what does not say how it starts is drawn with the
    deviation it has.
    """
    net = copied(model).cpu()  # one seed, the same weights on every device
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(seed)
        for path, module in net.named_modules():
            if "parametrizations" not in path.split("."):
                _restart(module)
    return net


def _restart(module: nn.Module) -> None:
    before = {name: p.clone() for name, p in _own(module)}
    restart = getattr(module, "reset_parameters", None)
    if callable(restart):
        restart()
    if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
        weight = torch.empty_like(module.weight)
        _put(module, "weight", nn.init.kaiming_normal_(weight, nonlinearity="relu"))
        if module.bias is not None:
            _put(module, "bias", torch.zeros_like(module.bias))
    for name, parameter in _own(module):
        constant = parameter.numel() < 2 or bool((parameter == parameter.flatten()[0]).all())
        if not constant and torch.equal(parameter, before[name]):
            parameter.copy_(torch.randn(parameter.shape) * float(parameter.std()))


def _own(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The floating-point parameters of a module itself, and those its own weights are computed from."""
    inside = module.parametrizations.named_parameters() if parametrize.is_parametrized(module) else ()  # type: ignore[union-attr]
    for name, parameter in (*module.named_parameters(recurse=False), *inside):
        if parameter.is_floating_point():
            yield name, parameter


def _put(module: nn.Module, name: str, value: Tensor) -> None:
    """Give a module a weight, whatever it is computed from."""
    own = dict(module.named_parameters(recurse=False))
    source = next((own[name + ending] for ending in ("", *COMPUTED) if name + ending in own), None)
    if source is not None:
        source.copy_(value)
        scale = own.get(f"{name}_g")
        if scale is not None:  # weight norm: the length of each row, over the axes in which it has one entry
            axes = [axis for axis in range(value.dim()) if not scale.dim() or scale.shape[axis] == 1]
            scale.copy_(value.square().sum(axes, keepdim=True).sqrt().view(scale.shape))
    elif parametrize.is_parametrized(module, name):
        try:
            setattr(module, name, value)
        except (NotImplementedError, RuntimeError, ValueError):
            return  # it has no inverse; what it is computed from is drawn anew instead
