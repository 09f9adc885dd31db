"""Which mean and variance does a batch norm use while a net is measured?

There are three, and a quantity says which it takes:

* *running*: those that training has gathered, as the net is used. Images do not mix. Before training they are 0 and 1,
  which is no normalisation at all, and some norms keep none.
* *held*: the mean and the (population) variance of a batch, found in one forward pass and from then on constants. The
  net gives what it gives in training, but each example's output, and so its gradient, depends on that example alone.
* *batch*: as in training, where gradients pass through the statistics too. That couples the examples: behind it the
  gradients of a channel sum to zero over the batch (Ioffe & Szegedy 2015, §3), so two examples' gradients look unlike
  because of the batch that they are in. It is right for the gradient of a batch's loss, wrong for an example's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from labapp.config import LabError
from labapp.diagnostics.measuring.tensors import first_tensor
from labapp.diagnostics.measuring.undisturbed import undisturbed
from labapp.recording.hooks import Hooks

NONE, RUNNING, HELD, BATCH = "no batch norm", "running", "batch, held fixed", "batch, as in training"

Moments = tuple[int, Tensor, Tensor]  # values a channel, mean (C,), population variance (C,)


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms of a net."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def unsettled(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms whose running statistics say nothing: they keep none, or still have the first ones, 0 and 1."""

    def first(norm: _BatchNorm) -> bool:
        mean, variance = norm.running_mean, norm.running_var
        return mean is None or variance is None or not bool(mean.any() or (variance != 1).any())

    return [norm for norm in norms_of(model) if first(norm)]


@contextmanager
def batch_statistics(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Inside, batch norms read the batch as in training; their running statistics are put back. For `undisturbed` nets.

    Args:
        model: The net, in evaluation mode.
        wanted: False changes nothing.
    """
    norms = norms_of(model) if wanted else []
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


@contextmanager
def held_statistics(model: nn.Module, images: Tensor, train: bool = False) -> Iterator[None]:
    """Inside, no image's gradient depends on another image.

    Args:
        model: Any net; it is read in evaluation mode inside.
        images: (N, C, H, W) or whatever the net takes: the batch that gives the statistics.
        train: Whether every batch norm is held at the batch's statistics; else only those that keep no running ones.

    Raises:
        LabError: If a norm gets a single value a channel, which has no variance.
    """
    with _held(model, images, [norm for norm in norms_of(model) if train or norm.running_mean is None]):
        yield


@contextmanager
def calibrated(model: nn.Module, images: Tensor) -> Iterator[str]:
    """Inside, batch norms that are `unsettled` have the statistics of these images; see `held_statistics`.

    Yields:
        What the net's batch norms use inside: NONE, RUNNING, or HELD where at least one was given statistics.
    """
    with _held(model, images, unsettled(model)) as given:
        yield HELD if given else RUNNING if norms_of(model) else NONE


def settle(model: nn.Module, images: Tensor) -> nn.Module:
    """The net, in which batch norms that are `unsettled` have the statistics of these images from now on."""
    _calibrate(model, images, unsettled(model))
    return model


@contextmanager
def _held(model: nn.Module, images: Tensor, norms: Sequence[_BatchNorm]) -> Iterator[int]:
    """Yields how many of these norms were given statistics: those that ran."""
    kept = [(norm, norm.running_mean, norm.running_var) for norm in norms]
    try:
        yield _calibrate(model, images, norms) if norms else 0
    finally:
        for norm, mean, variance in kept:
            norm.running_mean, norm.running_var = mean, variance


def _calibrate(model: nn.Module, images: Tensor, norms: Sequence[_BatchNorm]) -> int:
    """Gives norms the statistics of what they read when the net sees these images; how many of them ran.

    In one forward pass each norm gets its own before it runs, so that what follows reads what it would in training. A
    norm that runs twice keeps those of both calls together.
    """
    found: dict[_BatchNorm, list[Moments]] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        moments = _moments(first_tensor((args, kwargs)))
        found.setdefault(module, []).append(moments)  # type: ignore[arg-type]
        _give(module, moments)  # type: ignore[arg-type]

    with undisturbed(model), torch.no_grad(), Hooks() as hooks:
        for norm in norms:
            hooks.before(norm, note)
        model(images.detach().clone())
    for norm, calls in found.items():
        if len(calls) > 1:
            _give(norm, _together(calls))
    return len(found)


def _moments(values: Tensor) -> Moments:
    """Of values (N, C, …), each channel for itself, in float32 at least."""
    wide = values.detach().to(torch.promote_types(values.dtype, torch.float32))
    others = [axis for axis in range(wide.dim()) if axis != 1]
    count = wide.numel() // max(1, wide.shape[1])
    if count < 2:
        raise LabError("a batch norm of this net gets one value a channel, which has no variance; give more images")
    variance, mean = torch.var_mean(wide, others, correction=0)
    return count, mean, variance


def _together(calls: Sequence[Moments]) -> Moments:
    total = sum(count for count, _, _ in calls)
    zero = torch.zeros_like(calls[0][1])
    mean = sum((count / total * own for count, own, _ in calls), zero)
    variance = sum((count / total * (within + (own - mean).square()) for count, own, within in calls), zero)
    return total, mean, variance


def _give(norm: _BatchNorm, moments: Moments) -> None:
    _, mean, variance = moments
    like = norm.running_mean if norm.running_mean is not None else norm.weight if norm.affine else mean
    norm.running_mean, norm.running_var = mean.to(like.dtype), variance.to(like.dtype)
