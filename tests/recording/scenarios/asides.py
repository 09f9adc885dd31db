"""Evaluations within a step, and steps that fail in forward or backward and are tried again."""

import torch
from torch import nn

from tests.recording.scenarios import data, scenario
from tests.recording.scenarios.passes import net


@scenario(net)
def evaluation_within_the_step(run, model, optimizer, number):
    with torch.no_grad():
        model.eval()
        model(data(number + 90, 5, 6))
        model.train()
    optimizer.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    with torch.no_grad():
        model(data(number + 91, 5, 6))
    run.step(optimizer)


@scenario(net)
def evaluation_with_a_graph_within_the_step(run, model, optimizer, number):
    optimizer.zero_grad()
    model(data(number + 90, 5, 6))  # no backward pass: not trained on
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    run.step(optimizer)


@scenario(net)
def inference_mode_within_the_step(run, model, optimizer, number):
    with torch.inference_mode():
        model(data(number + 90, 5, 6))
    optimizer.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    run.step(optimizer)


class Fails(nn.Module):
    fails = False

    def forward(self, x):
        if Fails.fails:
            Fails.fails = False
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return x


@scenario(lambda: nn.Sequential(nn.Linear(6, 8), Fails(), nn.Tanh(), nn.Linear(8, 4)))
def out_of_memory_then_in_halves(run, model, optimizer, number):
    x = data(number, 8, 6)
    optimizer.zero_grad()
    Fails.fails = number != 1
    try:
        run.backward(model(x).pow(2).sum() / 8)
    except RuntimeError:
        for part in x.chunk(2):
            run.backward(model(part).pow(2).sum() / 8)
    run.step(optimizer)


class BackwardFails(torch.autograd.Function):
    fails = False

    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, gradient):
        if BackwardFails.fails:
            BackwardFails.fails = False
            raise RuntimeError("CUDA out of memory in backward")
        return gradient


class FailsBack(nn.Module):
    def forward(self, x):
        return BackwardFails.apply(x)


@scenario(lambda: nn.Sequential(nn.Linear(6, 8), FailsBack(), nn.Tanh(), nn.Linear(8, 4)))
def backward_fails_then_again(run, model, optimizer, number):
    x = data(number, 8, 6)
    optimizer.zero_grad()
    BackwardFails.fails = number != 1
    try:
        run.backward(model(x).pow(2).mean())
    except RuntimeError:
        run.restart()
        optimizer.zero_grad()
        run.backward(model(x).pow(2).mean())
    run.step(optimizer)
