"""How do the sums of several processes become those of one run?

Under DistributedDataParallel every process sees its own part of the batch. Only sums are kept until a flush, and sums
add: so one exchange a flush gives the statistics of the joined batch. A process's loss is the mean over its own part,
so its output gradients are world-size times those of the joined batch's mean loss; parameter gradients are already
averaged.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from labapp.recording.board import GRADIENT, PATHS, Sums


def join(waiting: Sequence[Sums]) -> bool:
    """Adds up the sums of all processes, in place; True in the process that is to write them (rank 0).

    Every process calls it at the same steps, since the schedule and the flush depend on the step alone.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return True
    world = dist.get_world_size()
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")

    def reduce(values: Tensor, operation: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> Tensor:
        values = values.to(device)
        dist.all_reduce(values, operation)
        return values.cpu()

    for sums in waiting:
        table = torch.from_numpy(sums.table)
        table[:, GRADIENT + 1] /= world**2
        table[:, PATHS : PATHS + 3] /= world**2
        sums.table[:] = reduce(table).numpy()
        sums.values[:] = reduce(torch.from_numpy(sums.values)).numpy()
        for row in sorted(sums.alive):
            sums.alive[row] = reduce(torch.from_numpy(sums.alive[row].copy()), dist.ReduceOp.MAX).numpy()
        for key in sorted(sums.exponents):
            counts = sums.exponents[key]
            sums.exponents[key] = reduce(torch.as_tensor(counts)).numpy()
    return dist.get_rank() == 0
