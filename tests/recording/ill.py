"""Nets made ill on purpose, and how they are trained."""

import torch
import torch.nn.functional as F
from torch import nn

from labapp.recording import Recorder, every


class Poisoned(nn.Linear):
    """A layer that answers with another value from its n-th call on."""

    def __init__(self, value, calls):
        super().__init__(8, 8)
        self.value, self.left = value, calls

    def forward(self, x):
        self.left -= 1
        return super().forward(x) + (0 if self.left >= 0 else self.value)


class Between(nn.Module):
    """Somebody's own net: a function stands between two layers."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.third, self.function = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4), function

    def forward(self, x):
        return self.third(self.second(self.function(self.first(x))))


def chain(middle):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), middle, nn.Identity(), nn.Linear(8, 4))


def train(model, steps=6, loss=None, act=None, every_=1, lr=0.1, x=None, **options):
    """Trains a net and gives the rows of `divergence`; `act` is called with net and step before each step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 8, generator=generator) if x is None else x
    y = torch.randint(0, 4, (len(x),), generator=generator)
    with Recorder(model, optimizer, when=every(every_), **options) as recorder:
        for step in range(steps):
            if act is not None:
                act(model, step)
            with recorder.step():
                optimizer.zero_grad()
                (loss or F.cross_entropy)(model(x), y).backward()
                optimizer.step()
    return recorder.table("divergence")


def first(table):
    row = table.iloc[0]
    return row["step"], row["what"], row["layer"], row["kind"]
