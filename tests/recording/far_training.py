"""A training on a device made of Python or on the CPU, and whether two of them were recorded alike."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labapp.nets import build
from labapp.recording import Recorder, every
from tests.recording import far

TABLES = ("layers", "totals", "lifetimes", "histograms", "spreads", "divergence")


class Training:
    """A training that meets every kind of number; on the CPU or on the device the same to the last bit."""

    def __init__(self, model, device, x, **options):
        self.model = copy.deepcopy(model)
        if device == far.NAME:
            far.to_far(self.model)
        self.x = x.to(device)
        self.y = (torch.arange(len(x)) % 4).to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.05, momentum=0.9)
        self.scaler = torch.amp.GradScaler(device, init_scale=128.0, growth_interval=2)
        self.options = {"when": every(1), "scaler": self.scaler} | options

    def step(self, factor=1.0, zeros=False):
        self.optimizer.zero_grad()
        for x, y in zip(self.x.chunk(2), self.y.chunk(2), strict=True):
            self.scaler.scale(F.cross_entropy(self.model(x), y) * factor / 2).backward()
            if zeros:
                self.optimizer.zero_grad(set_to_none=False)
                zeros = False
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def record(self, factors=(1.0, 1.0, 1.0), **how):
        with Recorder(self.model, self.optimizer, **self.options) as recorder:
            for factor in factors:
                with recorder.step():
                    self.step(factor, **how)
        return recorder


def net(**options):
    torch.manual_seed(0)
    model = build("residual", depth=8, width=4, image_size=16, shortcut="B", **options).train()
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    with torch.no_grad():
        norm.bias[1] = -20  # a channel that is dead
    return model


def images(count=8):
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def assert_same(one, other):
    """The same numbers in all tables: of sums in float64 in another order, kept in float32."""
    assert one.cost["missing_steps"] == other.cost["missing_steps"] == []
    for name in TABLES:
        a, b = one.table(name), other.table(name)
        assert list(a.columns) == list(b.columns), name
        assert len(a) == len(b), name
        keys = [key for key in ("step", "layer", "of", "channel", "exponent") if key in a.columns]
        a, b = (table.sort_values(keys) if keys else table for table in (a, b))
        for column in a.columns:
            left, right = a[column].to_numpy(), b[column].to_numpy()
            if left.dtype.kind == "f":
                # a mean may cancel, and so may a product: their errors are those of what cancels
                size = 2e-6 * max(b["output_std"].max(), 0) if column == "output_mean" else 2e-6 * ("cosine" in column)
                assert left == pytest.approx(right, rel=2e-6, abs=float(size) or 1e-12, nan_ok=True), (name, column)
            elif column not in ("input", "note"):  # the input of an output is not looked at on a device
                assert left.tolist() == right.tolist(), (name, column)
