"""Optimizers within optimizers, and paths dropped at random."""

import torch
from torch import nn
from torchvision.ops import StochasticDepth

from tests.recording.scenarios import data, mlp, scenario, sgd
from tests.recording.scenarios.layers import ordinary
from tests.recording.witness import Residual


class SAM(torch.optim.Optimizer):
    """Steps through an inner optimizer from a method of its own."""

    def __init__(self, parameters):
        parameters = list(parameters)
        super().__init__(parameters, {})
        self.inner = torch.optim.SGD(parameters, 0.05)

    def second_step(self):
        self.inner.step()

    def step(self, closure=None):
        pass


@scenario(lambda: mlp(6, 8, 3), lambda m: SAM(m.parameters()))
def an_optimizer_within_an_optimizer(run, model, optimizer, number):
    optimizer.zero_grad()
    run.backward(model(data(number, 4, 6)).pow(2).mean())
    optimizer.second_step()


class Dropped(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.drop = nn.Linear(8, 8), nn.Linear(8, 8), StochasticDepth(0.5, "row")

    def forward(self, x):
        return x + self.drop(self.b(self.a(x).relu()))


def deep():
    return nn.Sequential(nn.Linear(6, 8), Dropped(), Dropped(), nn.Linear(8, 3))


@scenario(deep, steps=4)
def stochastic_depth_on_a_schedule(run, model, optimizer, number):
    model[1].drop.p = model[2].drop.p = 0.25 * number
    ordinary((16, 6))(run, model, optimizer, number)


@scenario(lambda: nn.Sequential(nn.Linear(6, 8), Residual(nn.Sequential(mlp(8, 8, 8), nn.Dropout(0.5)))), sgd)
def dropout_at_the_end_of_a_branch(run, model, optimizer, number):
    ordinary((8, 6))(run, model, optimizer, number)
