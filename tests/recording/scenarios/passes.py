"""Several forward and backward passes in one step: accumulation, penalties, two losses, closures, retries."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.recording.scenarios import data, mlp, scenario, sgd

TWICE = {"output_grad_norm": "two backward passes", "nonfinite": "two backward passes"}


def net():
    return mlp(6, 16, 12, 4)


@scenario(net)
def plain(run, model, optimizer, number):
    optimizer.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    run.step(optimizer)


@scenario(net)
def accumulated_unequal_batches(run, model, optimizer, number):
    optimizer.zero_grad(set_to_none=number % 2 == 0)
    for part, size in enumerate((8, 3, 5)):
        run.backward(model(data(9 * number + part, size, 6)).pow(2).sum() / 16)
    run.step(optimizer)


@scenario(net)
def accumulated_forwards_then_one_backward(run, model, optimizer, number):
    optimizer.zero_grad()
    run.backward(sum(model(data(9 * number + part, 4, 6)).pow(2).mean() for part in range(3)))
    run.step(optimizer)


@scenario(net)
def clipped(run, model, optimizer, number):
    optimizer.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).sum())
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    run.step(optimizer)


@scenario(net, missing=TWICE)
def two_losses_two_backwards(run, model, optimizer, number):
    optimizer.zero_grad()
    out = model(data(number, 8, 6))
    run.backward(F.cross_entropy(out, torch.arange(8) % 4), retain_graph=True)
    run.backward(out.pow(2).mean())
    run.step(optimizer)


@scenario(net, missing=TWICE)
def a_loss_on_a_part_then_on_the_whole(run, model, optimizer, number):
    optimizer.zero_grad()
    hidden = []
    handle = model[1].register_forward_hook(lambda m, a, o: hidden.append(o) and None)
    out = model(data(number, 8, 6))
    handle.remove()
    run.backward(hidden[0].abs().mean(), retain_graph=True)
    run.backward(out.pow(2).mean())
    run.step(optimizer)


@scenario(net)
def a_loss_through_a_part_only(run, model, optimizer, number):
    optimizer.zero_grad()
    hidden = []
    handle = model[1].register_forward_hook(lambda m, a, o: hidden.append(o) and None)
    model(data(number, 8, 6))
    handle.remove()
    run.backward(hidden[0].abs().mean())
    run.step(optimizer)


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.one, self.two = mlp(6, 8, 8), nn.Linear(8, 3), nn.Linear(8, 2)

    def forward(self, x):
        h = self.trunk(x)
        return {"one": self.one(h), "two": self.two(h)}


@scenario(TwoHeads)
def two_heads_one_loss(run, model, optimizer, number):
    optimizer.zero_grad()
    out = model(data(number, 8, 6))
    run.backward(out["one"].pow(2).mean() + out["two"].abs().mean())
    run.step(optimizer)


@scenario(TwoHeads, missing=TWICE)
def two_heads_two_losses(run, model, optimizer, number):
    optimizer.zero_grad()
    out = model(data(number, 8, 6))
    run.backward(out["one"].pow(2).mean(), retain_graph=True)
    run.backward(out["two"].abs().mean())
    run.step(optimizer)


def penalty(run, model, x, loss):
    out = model(x)
    with run.aside():
        (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    return loss(out) + 10 * ((slope.norm(dim=1) - 1) ** 2).mean()


@scenario(net)
def gradient_penalty(run, model, optimizer, number):
    optimizer.zero_grad()
    run.backward(penalty(run, model, data(number, 8, 6).requires_grad_(), torch.mean))
    run.step(optimizer)


@scenario(net)
def gradient_penalty_of_its_own_forward(run, model, optimizer, number):
    """WGAN-GP: the penalty is taken on a batch of its own, in the same loss."""
    optimizer.zero_grad()
    critic = model(data(number, 8, 6)).mean()
    run.backward(critic + penalty(run, model, data(number + 50, 8, 6).requires_grad_(), lambda out: 0.0))
    run.step(optimizer)


@scenario(net)
def a_gradient_looked_at_before_backward(run, model, optimizer, number):
    """GradNorm and others ask autograd.grad for parameters first."""
    optimizer.zero_grad()
    loss = model(data(number, 8, 6)).pow(2).mean()
    with run.aside():
        torch.autograd.grad(loss, model[2].weight, retain_graph=True)
    run.backward(loss)
    run.step(optimizer)


@scenario(net)
def a_gradient_looked_at_after_backward(run, model, optimizer, number):
    optimizer.zero_grad()
    loss = model(data(number, 8, 6)).pow(2).mean()
    run.backward(loss, retain_graph=True)
    with run.aside():
        torch.autograd.grad(loss, model[0].weight)
    run.step(optimizer)


@scenario(lambda: mlp(6, 16, 1), lambda m: (sgd(m), torch.optim.SGD(GENERATOR.parameters(), 0.01)))
def discriminator_then_generator(run, model, optimizers, number):
    own, other = optimizers
    x, z = data(number, 8, 6), data(number + 70, 8, 4)
    own.zero_grad()
    loss = F.softplus(-model(x)).mean() + F.softplus(model(GENERATOR(z).detach())).mean()
    run.backward(loss)
    run.step(own)
    run.over()
    other.zero_grad()
    F.softplus(-model(GENERATOR(z))).mean().backward()


torch.manual_seed(5)
GENERATOR = nn.Linear(4, 6)


@scenario(lambda: mlp(6, 16, 1), missing={"weight_grad_norm": "zero"})
def generator_first_then_discriminator(run, model, optimizer, number):
    """The pass for the other net goes through this one, whose gradients are then thrown away."""
    F.softplus(-model(GENERATOR(data(number, 8, 4)))).mean().backward()
    run.restart()
    optimizer.zero_grad()
    run.backward(F.softplus(-model(data(number, 8, 6))).mean())
    run.step(optimizer)


@scenario(net)
def adversarial_example_first(run, model, optimizer, number):
    """FGSM: the gradient of the input only, then training on the changed input."""
    x = data(number, 8, 6).requires_grad_()
    with run.aside():
        (slope,) = torch.autograd.grad(model(x).pow(2).mean(), x)
    run.restart()
    optimizer.zero_grad()
    run.backward(model((x + 0.1 * slope.sign()).detach()).pow(2).mean())
    run.step(optimizer)


for name, clear in (("none", True), ("zeros", False)):

    @scenario(net, name=f"SAM, gradients to {name}")
    def sam(run, model, optimizer, number, clear=clear):
        x = data(number, 8, 6)
        optimizer.zero_grad(set_to_none=clear)
        run.backward(model(x).pow(2).mean())
        with torch.no_grad():
            length = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
            shifts = [0.05 * p.grad / length for p in model.parameters()]
            for p, shift in zip(model.parameters(), shifts, strict=True):
                p.add_(shift)
        optimizer.zero_grad(set_to_none=clear)
        run.restart()
        run.backward(model(x).pow(2).mean())
        with torch.no_grad():
            for p, shift in zip(model.parameters(), shifts, strict=True):
                p.sub_(shift)
        run.step(optimizer)


for line_search in (None, "strong_wolfe"):

    @scenario(
        net,
        lambda m, search=line_search: torch.optim.LBFGS(m.parameters(), 0.1, max_iter=4, line_search_fn=search),
        name=f"LBFGS, line search {line_search}",
    )
    def lbfgs(run, model, optimizer, number):
        x = data(number, 8, 6)

        def closure():
            optimizer.zero_grad()
            loss = model(x).pow(2).mean()
            run.backward(loss)
            run.evaluated()
            return loss

        optimizer.step(closure)


@scenario(net)
def a_step_of_the_optimizer_twice(run, model, optimizer, number):
    """Two updates in one step: the record is of the first."""
    for part in range(2):
        optimizer.zero_grad()
        run.backward(model(data(9 * number + part, 8, 6)).pow(2).mean())
        run.step(optimizer)
        run.over()


@scenario(net, lambda m: (torch.optim.SGD(m[:2].parameters(), 0.1), torch.optim.Adam(m[2:].parameters(), 0.01)))
def two_optimizers_on_two_parts(run, model, optimizers, number):
    for optimizer in optimizers:
        optimizer.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    for optimizer in optimizers:
        run.step(optimizer)


@scenario(net, lambda m: (torch.optim.SGD(m[:2].parameters(), 0.1), torch.optim.Adam(m[2:].parameters(), 0.01)))
def two_optimizers_alternating(run, model, optimizers, number):
    """Every step trains one part; the other's gradients are left to the next zero_grad."""
    optimizer = optimizers[number % 2]
    for each in optimizers:
        each.zero_grad()
    run.backward(model(data(number, 8, 6)).pow(2).mean())
    run.step(optimizer)
