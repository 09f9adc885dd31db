"""Where are the numbers of a parameter that `fully_shard` has spread over processes, and how often is each there?

A process holds a shard, an ordinary tensor. Squares of shards add up to those of the whole, each counted once: in
hybrid sharding several processes hold the same shard, and a parameter that was left out of it all hold alike.
"""

import math
from typing import Any

import numpy as np
import torch.distributed as dist
from torch import Tensor, nn


def is_sharded(parameter: Any) -> bool:
    """Whether a tensor's numbers lie in several processes, a `DTensor`."""
    return hasattr(parameter, "_local_tensor")


def local(tensor: Any) -> Tensor:
    """The part of a tensor that lies in this process: its shard, or all of an ordinary one."""
    part: Tensor = tensor._local_tensor if is_sharded(tensor) else tensor
    return part


def shares(parameters: list[Any]) -> np.ndarray:
    """(n,) one over the number of processes that hold the same part of a parameter."""
    world = dist.get_world_size() if dist.is_initialized() else 1
    return np.array([_parts(parameter) / world for parameter in parameters])


def gather_shards(model: nn.Module) -> None:
    """Has the modules hold their shards, not the whole weights that a forward pass left there."""
    for module in model.modules():
        reshard: Any = getattr(module, "reshard", None)
        if reshard is not None and hasattr(module, "unshard"):
            reshard()


def why_not(model: nn.Module, parameter: Any) -> str:
    """Why the numbers of a parameter cannot be told from its shards, in words; "" where they can."""
    if type(parameter).__name__ == "FlatParameter":
        return "holds several layers in one flat piece (FullyShardedDataParallel); take fully_shard instead"
    if not is_sharded(parameter):
        return ""
    whole = any(hasattr(module, "reshard") for module in model.modules())
    if not whole or sum(one.is_shard() for one in parameter.placements) > 1:
        return "is sharded by tensor parallelism, so no process sees a whole output; take fully_shard or DDP"
    return ""


def _parts(parameter: Any) -> int:
    if not is_sharded(parameter):
        return 1
    sizes = zip(parameter.device_mesh.shape, parameter.placements, strict=True)
    return math.prod(size for size, one in sizes if one.is_shard())
