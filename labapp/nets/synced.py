"""How does a batch norm take the statistics of a whole batch of which each process has a part?

On a GPU torch's `SyncBatchNorm` does; it refuses the CPU. There three sums a channel are added up over the processes:
Σx, then Σ(x − mean)², so that nothing cancels, and on the way back those of the gradient.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _Synced:
    """What `torch.nn.SyncBatchNorm` does, on the CPU; all processes have parts of equal size."""

    def forward(self: Any, input: Tensor) -> Tensor:
        """As a batch norm of the whole batch: (N, C, …) of this process to the same."""
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(input)  # type: ignore[misc]
        self._check_input_dim(input)
        output, mean, variance, count = _WholeBatch.apply(input, self.weight, self.bias, self.eps)
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                share = self.momentum if self.momentum is not None else 1 / int(self.num_batches_tracked)
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(variance * (count / max(count - 1, 1)), share)
        return output


class SyncedBatchNorm1d(_Synced, nn.BatchNorm1d):
    """Of (N, C) or (N, C, L)."""


class SyncedBatchNorm2d(_Synced, nn.BatchNorm2d):
    """Of (N, C, H, W)."""


class SyncedBatchNorm3d(_Synced, nn.BatchNorm3d):
    """Of (N, C, D, H, W)."""


SYNCED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: SyncedBatchNorm1d,
    nn.BatchNorm2d: SyncedBatchNorm2d,
    nn.BatchNorm3d: SyncedBatchNorm3d,
}


def with_synced_norms(net: nn.Module, device: str) -> nn.Module:
    """The net with every batch norm in it taken over the batches of all processes; parameters and names stay.

    Args:
        net: The net.
        device: The kind of device it is to train on, "cpu" or another.
    """
    if device != "cpu":
        return nn.SyncBatchNorm.convert_sync_batchnorm(net)
    for module in net.modules():
        if (synced := SYNCED.get(type(module))) is not None:
            module.__class__ = synced
    return net


class _WholeBatch(torch.autograd.Function):
    """One node of the graph, as torch's own is, so that a residual block looks like one (Ioffe & Szegedy 2015, §3)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
        values = x if x.dtype is torch.float64 else x.float()
        axes, shape = _axes(x)
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _over_processes(values.sum(axes)) / count  # (C,)
        centred = values - mean.view(shape)
        variance = _over_processes(centred.square().sum(axes)) / count
        scale = (variance + eps).rsqrt()
        normal = centred * scale.view(shape)
        ctx.save_for_backward(normal, scale, weight)
        ctx.count, ctx.affine = count, weight is not None
        output = normal if weight is None or bias is None else normal * weight.view(shape) + bias.view(shape)
        ctx.mark_non_differentiable(mean, variance)
        return output.to(x.dtype), mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> Any:
        normal, scale, weight = ctx.saved_tensors
        axes, shape = _axes(gradient)
        felt = gradient.to(normal.dtype)
        own = torch.stack([felt.sum(axes), (felt * normal).sum(axes)])  # (2, C)
        mean, along = _over_processes(own.clone()) / ctx.count
        steep = scale if weight is None else scale * weight
        back = (felt - mean.view(shape) - normal * along.view(shape)) * steep.view(shape)
        return back.to(gradient.dtype), *((own[1], own[0]) if ctx.affine else (None, None)), None


def _axes(x: Tensor) -> tuple[list[int], list[int]]:
    """All axes but that of the channels, and the shape in which a number a channel meets the values."""
    return [0, *range(2, x.dim())], [1, -1] + [1] * (x.dim() - 2)


def _over_processes(sums: Tensor) -> Tensor:
    dist.all_reduce(sums)
    return sums
