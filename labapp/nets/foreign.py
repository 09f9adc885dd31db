"""How is a net loaded that the lab did not build?

    foreign("torchvision:resnet18", weights="default")
    foreign("timm:resnet18")                             # needs timm, which the lab does not install by itself
    foreign("mymodels:make_net")                         # my own: the module's callable, called without arguments

A net of torchvision's hands its weights on to the lab's own form of it: `load_torchvision(build("resnet18"), weights)`.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from labapp.config import LabError, nearest
from labapp.config.extras import imported
from labapp.nets.net import Net

WEIGHTS = (None, "default")


class InputRecord(NamedTuple):
    """How a net's weights want their images, as whoever published them wrote down."""

    mean: tuple[float, ...]  # by channel, of images from 0 to 1
    std: tuple[float, ...]
    size: int | None  # pixels a side
    says: str  # who says so


def foreign(
    spec: str, *, weights: str | None = None, wanted: dict[str, Any] | None = None, **options: Any
) -> nn.Module:
    """A net by source and name: torchvision:NAME, timm:NAME, or MODULE:CALLABLE from the user's own code.

    Args:
        spec: Source and name.
        weights: None for first weights, "default" for the source's best trained ones (downloaded on the first use).
        wanted: Passed on to a callable of the user's own where it takes them.
        options: Passed on to the source, such as num_classes=10.
    """
    source, colon, name = spec.partition(":")
    if not (source and colon and name):
        raise LabError(f"'{spec}' names no net; write torchvision:resnet18, timm:resnet18 or module:callable")
    if weights not in WEIGHTS:
        raise LabError(f"weights are None or 'default', not '{weights}'{nearest(weights, ['default'])}")
    if source == "torchvision":
        return _torchvision(name, weights, options)
    if source == "timm":
        return _timm(name, weights, options)
    if weights is not None:
        raise LabError(f"'{spec}' brings its own weights; leave weights out")
    return _own(source, name, options, wanted or {})


def _torchvision(name: str, weights: str | None, options: dict[str, Any]) -> nn.Module:
    models = imported("torchvision.models", f"torchvision:{name}")

    if name not in models.list_models():
        raise LabError(f"torchvision has no net '{name}'{nearest(name, models.list_models())}")
    if weights is None and "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters:
        options = {"weights_backbone": None, **options}  # else detectors and segmenters fetch those of their backbone
    make = partial(models.get_model, name, weights=weights and "DEFAULT", **options)
    return _made(f"torchvision:{name}", make, fetches=weights is not None)


def _timm(name: str, weights: str | None, options: dict[str, Any]) -> nn.Module:
    timm = imported("timm", f"timm:{name}")
    if not timm.is_model(name):
        raise LabError(f"timm has no net '{name}'{nearest(name, timm.list_models())}")
    make = partial(timm.create_model, name, pretrained=weights is not None, **options)
    return _made(f"timm:{name}", make, fetches=weights is not None)


def _own(module_name: str, name: str, options: dict[str, Any], wanted: dict[str, Any]) -> nn.Module:
    with _here_on_path():
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            near = nearest(module_name, ["torchvision", "timm"])
            raise LabError(f"'{module_name}' is not found in {Path.cwd()} or on the path: {error}{near}") from None
        except Exception as error:
            raise LabError(f"importing '{module_name}' failed: {_reason(error)}") from error
        factory = getattr(module, name, None)
        if not callable(factory):
            callables = [word for word in dir(module) if callable(getattr(module, word))]
            raise LabError(f"the module '{module_name}' has no callable '{name}'{nearest(name, callables)}")
        return _made(f"{module_name}:{name}", partial(factory, **_accepted(factory, wanted) | options))


def _accepted(factory: object, wanted: dict[str, Any]) -> dict[str, Any]:
    """Those of the wanted options that a factory takes."""
    try:
        parameters = inspect.signature(factory).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a builtin without a signature
        return {}
    names = {parameter.name for parameter in parameters}
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return wanted if anything else {name: value for name, value in wanted.items() if name in names}


@contextmanager
def _here_on_path() -> Iterator[None]:
    """Look in the current folder too: python does, an installed command like `labapp` does not."""
    before = sys.path.copy()
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before


def _made(spec: str, make: Callable[[], object], *, fetches: bool = False) -> nn.Module:
    """Call a factory, and say in one sentence what went wrong inside it."""
    try:
        net = make()
    except Exception as error:
        if fetches and isinstance(error, OSError):  # URLError and the like: no network
            raise LabError(
                f"the weights of {spec} could not be fetched ({_reason(error)}); go online once, or leave weights out"
            ) from error
        raise LabError(f"making {spec} failed: {_reason(error)}") from error
    if not isinstance(net, nn.Module):
        raise LabError(f"{spec} made a thing of type {type(net).__name__}, not a torch.nn.Module")
    return net


def _reason(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0].split(". ")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def recorded_input(spec: str, net: nn.Module | None = None) -> InputRecord | None:
    """The record of how a net's images are normalised: torchvision's transforms, timm's configuration.

    Args:
        spec: Source and name, as in `foreign`.
        net: The net itself: one that timm made says so, also where a callable of the user's own asked timm for it.

    Returns:
        None where nobody has written it down.
    """
    source, _, name = spec.partition(":")
    if source == "torchvision":
        from torchvision import models

        try:
            record: Any = models.get_model_weights(name).DEFAULT.transforms()
        except (AttributeError, ValueError):  # a net without published weights
            return None
        size = getattr(record, "crop_size", None)
        about = {"mean": getattr(record, "mean", None), "std": getattr(record, "std", None)}
        return _record(about | {"size": size[0] if isinstance(size, list) else size}, "as torchvision's weights say")
    settings = getattr(net, "pretrained_cfg", None) or getattr(net, "default_cfg", None)
    if settings is None and source == "timm":
        settings = importlib.import_module("timm").get_pretrained_cfg(name)
    if settings is None:
        return None
    about = dict(settings) if isinstance(settings, Mapping) else dict(vars(settings))
    return _record(about | {"size": (about.get("input_size") or (None,))[-1]}, "as timm's configuration says")


def _record(about: Mapping[str, Any], who: str) -> InputRecord | None:
    mean, std, size = about.get("mean"), about.get("std"), about.get("size")
    if mean is None or std is None:
        return None
    return InputRecord(tuple(map(float, mean)), tuple(map(float, std)), size and int(size), who)


def torchvision_keys(net: Net, state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """For each weight and buffer of the lab's net the name it has in torchvision's state_dict.

    Both sides list their layers in the order in which they run, so the n-th here is the n-th there; kind of weight and
    shape must agree one by one.
    """
    ours = net.state_dict()
    keys = dict(zip(ours, state, strict=False))
    for our, their in keys.items():
        same_kind = our.rpartition(".")[2] == their.rpartition(".")[2]
        if not same_kind or ours[our].shape != state[their].shape:
            raise LabError(
                f"these weights are of another net: {their} {tuple(state[their].shape)} stands where this one has "
                f"{our} {tuple(ours[our].shape)}"
            )
    if len(ours) != len(state):
        raise LabError(f"these weights are of another net: {len(state)} tensors, and this one has {len(ours)}")
    return keys


def load_torchvision(net: Net, state: Mapping[str, torch.Tensor]) -> Net:
    """Give a net of the lab (`build("resnet50")`) the weights of torchvision's net of that name, and return it."""
    net.load_state_dict({our: state[their] for our, their in torchvision_keys(net, state).items()})
    return net
