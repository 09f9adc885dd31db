"""Parameters and modules that are replaced, computed, pruned, compiled, traced or transformed."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.utils import parametrizations, parametrize

from tests.recording.scenarios import data, mlp, scenario


def train(run, model, optimizer, number, size=4):
    optimizer.zero_grad()
    run.backward(model(data(number, size, 6)).pow(2).mean())
    run.step(optimizer)


def net():
    return mlp(6, 8, 8, 3)


# Replaced -----------------------------------------------------------------------------------------------------


WITHIN = dict.fromkeys(
    ("weight_norm", "weight_grad_norm", "update_ratio", "grad_norm", "grad_norm_used", "row"), "within a step"
)


def replacing(name, change, make=net, **about):
    def step(run, model, optimizer, number):
        train(run, model, torch.optim.SGD(model.parameters(), 0.05), number)

    def within(run, model, optimizer, number):
        change(model, number)
        step(run, model, optimizer, number)

    scenario(make, lambda model: None, name=name, between=change, **about)(step)
    scenario(make, lambda model: None, name=f"{name} within the step", missing=WITHIN, **about)(within)


def head(model, number):
    model[4] = nn.Linear(8, 3 + number)


def assigned(model, number):
    model.load_state_dict({name: 0.9 * value for name, value in model.state_dict().items()}, assign=True)


def emptied(model, number):
    state = model.state_dict()
    model.to_empty(device="cpu")
    model.load_state_dict(state, assign=True)


def smaller(model, number):
    keep = 7 - number
    model.zero_grad()
    model[0].weight.data, model[0].bias.data = model[0].weight.data[:keep], model[0].bias.data[:keep]
    model[2].weight.data = model[2].weight.data[:, :keep]


def wider(model, number):
    model[2].weight = nn.Parameter(torch.cat([model[2].weight.data, data(number, 1, 8)]))
    model[2].bias = nn.Parameter(torch.cat([model[2].bias.data, data(number, 1)]))
    model[4].weight = nn.Parameter(torch.cat([model[4].weight.data, data(number, 3, 1)], 1))


def cast(model, number):
    model.double().float()


replacing("a head replaced", head)
replacing("load_state_dict by assignment", assigned)
replacing("to_empty and loaded", emptied)
replacing("pruned in shape", smaller)
replacing("grown", wider)
replacing("cast there and back", cast)
replacing("an activation replaced", lambda model, number: model.__setitem__(1, nn.ReLU(inplace=True)))
replacing("a layer appended", lambda model, number: model.append(nn.Linear(3, 3)))


# Computed weights ---------------------------------------------------------------------------------------------


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


class Symmetric(nn.Module):
    def forward(self, weight):
        return weight.triu() + weight.triu(1).T


def with_first(change):
    def make():
        model = net()
        change(model[2])
        return model

    return make


for name, change in {
    "weight norm": parametrizations.weight_norm,
    "orthogonal": parametrizations.orthogonal,
    "two parametrisations": lambda m: [
        parametrize.register_parametrization(m, "weight", P()) for P in (Symmetric, Doubled)
    ],
}.items():
    scenario(with_first(change), name=f"parametrised, {name}")(train)


def doubled(model, number):
    if number == 1:
        parametrize.register_parametrization(model[2], "weight", Doubled())


def plain_again(model, number):
    if number == 1:
        parametrize.remove_parametrizations(model[2], "weight")


replacing("parametrised in the middle", doubled)
with_doubled = with_first(lambda module: parametrize.register_parametrization(module, "weight", Doubled()))
replacing("parametrisation removed", plain_again, with_doubled)


# Compiled, scripted, traced, transformed ----------------------------------------------------------------------


def closed(close):
    def make():
        torch._dynamo.reset()
        model = nn.Sequential(nn.Linear(6, 8), mlp(8, 8, 8), nn.Tanh(), nn.Linear(8, 3))
        model[1] = close(model[1])
        return model

    return make


def compiled_in_place(module):
    module.compile(backend="eager", fullgraph=True)
    return module


UNSEEN = dict.fromkeys(
    ("output_mean", "output_std", "output_grad_norm", "nonfinite"), "compiled part|compiled or scripted"
)
for name, close in {
    "compiled, eager": lambda m: torch.compile(m, backend="eager", fullgraph=True),
    "compiled, aot_eager": lambda m: torch.compile(m, backend="aot_eager", fullgraph=True),
    "compiled in place": compiled_in_place,
    "scripted": torch.jit.script,
    "traced": lambda m: torch.jit.trace(m, data(0, 4, 8)),
}.items():
    scenario(closed(close), name=f"a part {name}", plain=closed(lambda m: m), unseen=True, missing=UNSEEN)(train)


@scenario(net)
def per_sample_gradients_before_training(run, model, optimizer, number):
    """torch.func runs the net's modules on wrapped tensors, which no record can be made of."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    with run.aside():
        vmap(grad(lambda p, x: functional_call(model, p, (x,)).pow(2).sum()), in_dims=(None, 0))(
            parameters, data(number, 4, 6)
        )
    run.restart()
    train(run, model, optimizer, number)


@scenario(net)
def functional_call_with_changed_weights(run, model, optimizer, number):
    """Virtual adversarial training and MAML call the net with other weights first."""
    with run.aside(), torch.no_grad():
        functional_call(model, {name: 2 * p for name, p in model.named_parameters()}, (data(number, 4, 6),))
    train(run, model, optimizer, number)


@scenario(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))
def functional_use_of_a_layer_twice(run, model, optimizer, number):
    """Consistency losses call the net twice for one loss, and use one weight by a function besides."""
    optimizer.zero_grad()
    one, two = model(data(number, 4, 6)), model(data(number + 60, 4, 6))
    tied = F.linear(one, model[2].weight.T)
    run.backward((one - two).pow(2).mean() + 0.1 * tied.pow(2).mean())
    run.step(optimizer)
