"""The kernels of a GPU, by Triton's interpreter on a CPU, against float64; on a GPU see `tests/recording/test_cuda`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from labapp.recording.kernels import on_gpu

PROGRAM = """
import math
import torch
from labapp.recording.kernels.on_gpu import BLOCK, Reductions

class Filled:
    # the kernels, into zeros of their own

    def __getattr__(self, name):
        def call(*tensors):
            kind = (256, torch.int64) if name == "exponents" else (4, torch.float64)
            out = torch.zeros(kind[0], dtype=kind[1])
            if name != "by_channel":
                getattr(Reductions(), name)(*tensors, out)
                return out
            alive = torch.zeros(tensors[0].shape[tensors[1]], dtype=torch.float64)
            Reductions().by_channel(*tensors, out, alive)
            return out, alive > 0
        return call


kernels = Filled()
torch.manual_seed(0)
shapes = [(3,), (1, 1), (2, 5, 7, 3), (BLOCK + 1, 2), (4, 1, 3, 3), (0, 3)]
for dtype in (torch.float32, torch.float64, torch.float16):
    for shape in shapes:
        x = torch.randn(shape).to(dtype)
        if x.numel() > 2:
            x.view(-1)[1] = -0.0
        for laid in (x, x.to(memory_format=torch.channels_last) if x.dim() == 4 else x, x.transpose(0, -1)):
            for axis in range(laid.dim()):
                if not laid.shape[axis]:
                    continue
                laid_out = laid.clone() if laid.numel() else laid
                if laid_out.shape[axis] > 1 and laid_out.numel():
                    laid_out.select(axis, 0).abs_().neg_()  # a channel that is dead
                sums, alive = kernels.by_channel(laid_out, axis)
                wide = laid_out.double()
                right = [wide.sum(), wide.square().sum(), (wide > 0).sum(), 0]
                assert torch.allclose(sums, torch.tensor([float(r) for r in right], dtype=torch.float64), rtol=1e-12)
                others = [d for d in range(laid_out.dim()) if d != axis]
                assert torch.equal(alive, (laid_out > 0).any(dim=others) if others else laid_out > 0), (shape, axis)
                assert torch.equal(kernels.sums(laid_out)[2:], sums[2:])
            y = torch.randn(laid.shape).to(dtype)
            wide, other = laid.double(), y.double()
            right = [(wide * other).sum(), wide.square().sum(), other.square().sum(), 0]
            found = kernels.inner(laid, y)
            assert torch.allclose(found, torch.tensor([float(r) for r in right], dtype=torch.float64), rtol=1e-12)
ill = torch.tensor([1.0, math.inf, -math.inf, math.nan, -1.0])
assert kernels.sums(ill)[2:].tolist() == [2.0, 3.0]
assert kernels.inner(torch.ones(5), ill)[3] == 3.0
values = torch.randn(5000) * 10.0 ** torch.randint(-45, 38, (5000,))
values[:3] = torch.tensor([0.0, math.nan, math.inf])
for dtype in (torch.float32, torch.bfloat16):
    x = values.to(dtype)
    right = torch.bincount((x.float().view(torch.int32) >> 23) & 255, minlength=256)
    assert torch.equal(kernels.exponents(x), right)
print("right")
"""


def test_against_float64_in_tritons_interpreter() -> None:
    pytest.importorskip("triton", reason="Triton is not installed here")
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout == "right\n", done.stderr


def test_kernels_that_do_not_work_are_done_without() -> None:
    assert on_gpu.working(99) is None  # no machine has this device
    assert on_gpu.reductions(torch.ones(3)) is None
