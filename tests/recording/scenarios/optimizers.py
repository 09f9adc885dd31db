"""Optimizers of every kind, gradients changed before they step, loss scales, and what is frozen."""

import torch
from torch import nn

from tests.recording.scenarios import data, mlp, scenario, sgd


def net():
    return mlp(6, 16, 12, 4)


def ordinary(run, model, optimizer, number):
    optimizer.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    run.step(optimizer)


for name, make in {
    "Adam, one by one": lambda m: torch.optim.Adam(m.parameters(), 0.01, foreach=False),
    "Adam, all at once": lambda m: torch.optim.Adam(m.parameters(), 0.01, foreach=True),
    "AdamW, fused": lambda m: torch.optim.AdamW(m.parameters(), 0.01, fused=True),
    "SGD, fused": lambda m: torch.optim.SGD(m.parameters(), 0.05, fused=True),
    "Adagrad": lambda m: torch.optim.Adagrad(m.parameters(), 0.01),
    "NAdam": lambda m: torch.optim.NAdam(m.parameters(), 0.01),
    "RMSprop": lambda m: torch.optim.RMSprop(m.parameters(), 0.01),
    "SGD of a closure by name": sgd,
    "maximised": lambda m: torch.optim.SGD(m.parameters(), 0.01, maximize=True),
    "differentiable off, decay": lambda m: torch.optim.AdamW(m.parameters(), 0.01, weight_decay=0.5),
}.items():
    scenario(net, make, name=name)(ordinary)


@scenario(net)
def closure_by_name(run, model, optimizer, number):
    def closure():
        optimizer.zero_grad()
        loss = model(data(number, 8, 6)).pow(2).mean()
        run.backward(loss)
        return loss

    optimizer.step(closure=closure)


class Lookahead(torch.optim.Optimizer):
    """Hands on to another optimizer, without the base class's __init__."""

    def __init__(self, base):
        self.base = base

    param_groups = property(lambda self: self.base.param_groups)

    def zero_grad(self, set_to_none=True):
        self.base.zero_grad(set_to_none)

    def step(self, closure=None):
        return self.base.step(closure)


class Duck:
    """An optimizer by its methods only."""

    def __init__(self, base):
        self.base, self.param_groups = base, base.param_groups

    def zero_grad(self):
        self.base.zero_grad()

    def step(self):
        self.base.step()


scenario(net, lambda m: Lookahead(sgd(m)), name="an optimizer in a wrapper")(ordinary)
scenario(net, lambda m: Duck(sgd(m)), name="an optimizer that only looks like one")(ordinary)


def changed(name, **about):
    def add(change):
        @scenario(net, name=name, **about)
        def step(run, model, optimizer, number):
            optimizer.zero_grad()
            run.backward(model(data(number, 8, 6)).pow(2).mean())
            change(model)
            run.step(optimizer)

        return change

    return add


@changed("gradients clamped through .data")
def clamped(model):
    for p in model.parameters():
        p.grad.data.clamp_(-0.01, 0.01)


@changed("gradients replaced")
def replaced(model):
    for p in model.parameters():
        p.grad = p.grad * 0.1


@changed("gradients centralised in place")
def centralised(model):
    for p in model.parameters():
        p.grad.sub_(p.grad.mean())


@changed("a gradient set to None")
def dropped(model):
    model[4].weight.grad = None


@changed("all gradients set to None")
def all_dropped(model):
    for p in model.parameters():
        p.grad = None


@changed("noise added to gradients")
def noisy(model):
    for p in model.parameters():
        p.grad.add_(torch.randn_like(p.grad))


@changed("clipped by value")
def by_value(model):
    nn.utils.clip_grad_value_(model.parameters(), 0.01)


def stepping_in_backward(model):
    own = {p: torch.optim.SGD([p], 0.1) for p in model.parameters()}

    def hook(p):
        for run in WATCHING:
            if getattr(run, "counts", False):
                run.early = getattr(run, "early", {}) | {id(p): p.grad.clone()}
        own[p].step()
        own[p].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(hook)


WATCHING: list = []


@scenario(net, stepping_in_backward)
def optimizers_in_backward(run, model, optimizer, number):
    from tests.recording.witness import norm

    WATCHING[:] = [run]
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    if hasattr(run, "gradients"):
        run.gradients = {n: norm([run.early[id(p)]]) for n, p in model.named_parameters()}
    WATCHING.clear()


@scenario(net)
def frozen_and_thawed(run, model, optimizer, number):
    for p in model[0].parameters():
        p.requires_grad_(number != 1)
    optimizer.zero_grad(set_to_none=False)
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    run.step(optimizer)


@scenario(net)
def frozen_with_an_old_gradient(run, model, optimizer, number):
    """The frozen layer keeps the gradient of the step before."""
    if number:
        model[0].requires_grad_(False)
        for p in model[2:].parameters():
            p.grad = None
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    run.step(optimizer)


@scenario(net, lambda m: sgd(m[4].requires_grad_(True)))
def a_frozen_trunk(run, model, optimizer, number):
    model[:4].requires_grad_(False)
    optimizer.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    run.step(optimizer)


SCALERS: dict = {}


def scaled(kind):
    def make(model):
        SCALERS[kind] = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=1)
        fused = kind == "fused"
        return torch.optim.Adam(model.parameters(), 0.01, fused=fused)

    return make


for kind in ("plain", "fused", "unscaled"):

    @scenario(
        net, scaled(kind), name=f"loss scaled, {kind}", options=lambda kind=kind: {"scaler": SCALERS[kind]}, steps=4
    )
    def with_scaler(run, model, optimizer, number, kind=kind):
        scaler = SCALERS[kind]
        optimizer.zero_grad()
        loss = model(data(number, 8, 6)).pow(2).mean()
        run.scale = scaler._scale.item() if scaler._scale is not None else 256.0
        run.backward(scaler.scale(loss) * (torch.inf if number == 2 else 1.0))
        if kind == "unscaled":
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()


@scenario(lambda: net().double(), lambda m: torch.optim.Adam(m.parameters(), 0.01))
def double_precision(run, model, optimizer, number):
    optimizer.zero_grad()
    run.backward(model(data(number, 8, 6).double()).pow(2).mean())
    run.step(optimizer)


@scenario(lambda: net().bfloat16())
def bfloat16_weights(run, model, optimizer, number):
    optimizer.zero_grad()
    run.backward(model(data(number, 8, 6).bfloat16()).pow(2).mean())
    run.step(optimizer)


@scenario(net)
def bfloat16_autocast(run, model, optimizer, number):
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(data(number, 8, 6)).float().pow(2).mean()
    run.backward(loss)
    run.step(optimizer)
