"""Models that hold no numbers yet, or not all of them, are refused in a sentence and left as they were."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from labapp.config import LabError
from labapp.recording import Recorder, every
from tests.recording.nets import global_hooks, hooks_of
from tests.recording.scenarios import mlp


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 2)),
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyBatchNorm2d()),
        lambda: nn.Sequential(nn.Linear(4, 4), nn.LazyBatchNorm1d(affine=False)),
    ],
)
def test_lazy_parts_need_a_batch_first(make):
    model = make()
    with pytest.raises(LabError, match="lazy"):
        Recorder(model)
    assert hooks_of(model) <= 2  # torch's own, which make the parameters


def test_meta_weights_hold_no_numbers():
    with torch.device("meta"):
        model = mlp(4, 4, 2)
    with pytest.raises(LabError, match="meta device"):
        Recorder(model)


@pytest.mark.filterwarnings("ignore")  # of gloo's devices
def test_weights_of_which_no_process_sees_a_whole_output_are_refused(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        model, mesh = mlp(6, 8, 4), init_device_mesh("cpu", (1,))
        for module in model:
            if isinstance(module, nn.Linear):
                module.weight = nn.Parameter(distribute_tensor(module.weight.detach(), mesh, [Shard(1)]))
        hooks = hooks_of(model)
        with pytest.raises(LabError, match="tensor parallelism"):
            Recorder(model, when=every(1))
        assert hooks_of(model) == hooks
        assert global_hooks() == 0
        flat = nn.Sequential(nn.Linear(2, 2))
        flat[0].weight = type("FlatParameter", (nn.Parameter,), {})(flat[0].weight.detach())
        with pytest.raises(LabError, match="take fully_shard instead"):
            Recorder(flat)
    finally:
        dist.destroy_process_group()
