"""Residual blocks, nets of which not all runs in each step, sizes that change, and nets that are never called."""

import torch.nn.functional as F
from torch import nn

from tests.recording.scenarios import data, mlp, scenario
from tests.recording.scenarios.layers import ordinary
from tests.recording.witness import Residual

for kind, options in {
    "plain": {},
    "in place": {"inplace": True},
    "swapped": {"swapped": True},
    "rectified after": {"after": nn.ReLU(inplace=True)},
}.items():

    def blocks(options=options):
        body = [Residual(mlp(8, 8, 8), **options) for _ in range(2)]
        return nn.Sequential(
            nn.Linear(6, 8), *body, Residual(mlp(8, 8, 5), nn.Linear(8, 5), **options), nn.Linear(5, 3)
        )

    scenario(blocks, name=f"residual blocks, {kind}")(ordinary((6, 6)))

    @scenario(blocks, name=f"residual blocks, {kind}, accumulated")
    def accumulated(run, model, optimizer, number):
        optimizer.zero_grad()
        for part, size in enumerate((4, 3)):
            run.backward(model(data(9 * number + part, size, 6)).pow(2).sum() / 7)
        run.step(optimizer)


class Drops(nn.Module):
    """Layer drop: which layers run is another choice in each step."""

    def __init__(self):
        super().__init__()
        self.stem, self.layers, self.head = (
            nn.Linear(6, 8),
            nn.ModuleList(Residual(mlp(8, 8, 8)) for _ in range(4)),
            nn.Linear(8, 3),
        )
        self.number = 0

    def forward(self, x):
        self.number += 1
        x = self.stem(x)
        for at, layer in enumerate(self.layers):
            if (self.number >> at) % 2:
                x = layer(x)
        return self.head(x)


scenario(Drops, name="layer drop", steps=8)(ordinary((4, 6)))


class Late(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.late, self.head, self.number = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3), 0

    def forward(self, x):
        self.number += 1
        x = self.one(x).relu()
        if self.number > 2:
            x = self.late(x).relu()
        return self.head(x)


scenario(Late, name="a layer first used in step 3", steps=5)(ordinary((4, 6)))


@scenario(lambda: mlp(6, 8, 3))
def lengths_that_change(run, model, optimizer, number):
    optimizer.zero_grad()
    for size in (3, 400, 1 + number):
        run.backward(model(data(number, size, 5, 6)).pow(2).mean())
    run.step(optimizer)


@scenario(lambda: mlp(6, 8, 3))
def dimensions_that_change(run, model, optimizer, number):
    optimizer.zero_grad()
    for shape in ((4, 6), (2, 3, 6), (6,)):
        run.backward(F.relu(model(data(number, *shape))).pow(2).mean())
    run.step(optimizer)


class Stepping(nn.Module):
    """Lightning's way: the whole net is never called."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = mlp(6, 8, 8), nn.Linear(8, 3)

    def training_step(self, x):
        return self.head(self.encoder(x).relu()).pow(2).mean()


@scenario(Stepping)
def training_step_past_the_net(run, model, optimizer, number):
    optimizer.zero_grad()
    for part in range(2):
        run.forward()
        run.backward(model.training_step(data(9 * number + part, 4, 6)) / 2)
    run.step(optimizer)


@scenario(lambda: mlp(6, 8, 3))
def forward_called_directly(run, model, optimizer, number):
    optimizer.zero_grad()
    run.forward()
    run.backward(model.forward(data(number, 4, 6)).pow(2).mean())
    run.step(optimizer)
