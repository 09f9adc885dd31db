"""Training without the usual three lines: gradients asked for and set by hand, weights changed without an optimizer."""

import torch
from torch import nn

from tests.recording.scenarios import data, mlp, scenario, sgd
from tests.recording.scenarios.passes import net
from tests.recording.witness import Residual


def nothing(model):
    return None


@scenario(net)
def gradients_by_autograd_grad(run, model, optimizer, number):
    """MAML and others set `.grad` from what autograd.grad returned."""
    loss = model(data(number, 8, 6)).pow(2).mean()
    for p, gradient in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True):
        p.grad = gradient
    run.backward(torch.zeros((), requires_grad=True))
    run.step(optimizer)


@scenario(net)
def backward_for_some_parameters(run, model, optimizer, number):
    optimizer.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).mean(), inputs=[model[2].weight, model[4].weight])
    run.step(optimizer)


@scenario(net, nothing)
def weights_changed_by_hand(run, model, optimizer, number):
    model.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.1 * p.grad


@scenario(net)
def backward_of_several_tensors(run, model, optimizer, number):
    optimizer.zero_grad()
    out = model(data(number, 8, 6))
    run.backward(out, gradient=torch.ones_like(out) / 8)
    run.step(optimizer)


@scenario(net)
def a_batch_left_out(run, model, optimizer, number):
    """A loop that skips a bad batch calls nothing in the second step."""
    if number == 1:
        return
    optimizer.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    run.step(optimizer)


@scenario(net)
def accumulated_over_recorded_steps(run, model, optimizer, number):
    """The optimizer steps in every second recorded step only."""
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    if number % 2:
        run.step(optimizer)
        optimizer.zero_grad()


@scenario(net)
def trained_on_itself(run, model, optimizer, number):
    """A target made by the net itself, without a graph and detached."""
    optimizer.zero_grad()
    x = data(number, 8, 6)
    with torch.no_grad():
        target = model(x + 0.1)
    run.backward((model(x) - target).pow(2).mean())
    run.step(optimizer)


@scenario(net)
def two_views_of_one_batch(run, model, optimizer, number):
    """A contrastive loss over two forwards, one of them detached."""
    optimizer.zero_grad()
    one, two = model(data(number, 8, 6)), model(data(number + 33, 8, 6))
    run.backward(-(one * two).sum(1).mean())
    run.step(optimizer)


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.arm, self.head = mlp(6, 8, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.arm(x[:4])) - self.head(self.arm(x[4:]))


@scenario(Siamese)
def siamese(run, model, optimizer, number):
    optimizer.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    run.step(optimizer)


class Kept(nn.Module):
    """A module that keeps its output and gives it to the loss besides."""

    def __init__(self):
        super().__init__()
        self.body, self.head, self.kept = Residual(mlp(6, 6, 6)), nn.Linear(6, 3), None

    def forward(self, x):
        self.kept = self.body(x)
        return self.head(self.kept.relu())


@scenario(Kept)
def an_output_used_twice(run, model, optimizer, number):
    optimizer.zero_grad()
    out = model(data(number, 8, 6))
    run.backward(out.pow(2).mean() + 0.1 * model.kept.abs().mean())
    run.step(optimizer)
    model.kept = None


@scenario(lambda: nn.Sequential(nn.Linear(6, 8), nn.Identity(), nn.Dropout(0.0), nn.ReLU(), nn.Linear(8, 3)), sgd)
def modules_that_return_their_input(run, model, optimizer, number):
    optimizer.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    run.step(optimizer)
