"""Segments that are run anew in the backward pass: reentrant and not, nested, shared, the whole net."""

from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from tests.recording.scenarios import data, mlp, scenario
from tests.recording.scenarios.structure import net, train
from tests.recording.witness import Residual


class Checkpointing(nn.Module):
    """The whole inside, or each part, run anew in the backward pass."""

    def __init__(self, how, shared=False):
        super().__init__()
        self.stem, self.body = nn.Linear(6, 8), nn.ModuleList(Residual(mlp(8, 8, 8)) for _ in range(3))
        self.act, self.how = nn.ReLU(inplace=shared), how
        self.head = nn.Linear(8, 3)

    def part(self, x):
        for block in self.body:
            x = self.act(block(x))
        return x

    def forward(self, x):
        how = self.how
        x = self.stem(x)
        if how == "none":
            return self.head(self.part(x))
        if how.startswith("all"):
            return self.head(checkpoint(self.part, x, use_reentrant=how.endswith("reentrant")))
        if how.startswith("each"):
            for block in self.body:
                x = self.act(checkpoint(block, x, use_reentrant=how.endswith("reentrant")))
            return self.head(x)
        if how == "nested":
            inner = lambda y: checkpoint(self.part, y, use_reentrant=False)  # noqa: E731
            return self.head(checkpoint(inner, x, use_reentrant=False))
        return self.head(checkpoint_sequential(nn.Sequential(*self.body), 2, x, use_reentrant=True))


for how in ("all", "all reentrant", "each", "each reentrant", "nested"):

    def blocks(how=how):
        return Checkpointing(how)

    scenario(blocks, name=f"checkpointed, {how}", plain=lambda: Checkpointing("none"))(train)

    @scenario(blocks, name=f"checkpointed, {how}, accumulated", plain=lambda: Checkpointing("none"))
    def accumulated(run, model, optimizer, number):
        optimizer.zero_grad()
        for part, size in enumerate((4, 3)):
            run.backward(model(data(9 * number + part, size, 6)).pow(2).sum() / 7)
        run.step(optimizer)

    @scenario(
        blocks,
        name=f"checkpointed, {how}, two losses",
        plain=lambda: Checkpointing("none"),
        missing=dict.fromkeys(
            ("output_grad_norm", "nonfinite", "branch_grad_norm", "shortcut_grad_norm"), "two backward passes"
        ),
    )
    def two_losses(run, model, optimizer, number):
        optimizer.zero_grad()
        out = model(data(number, 4, 6))
        run.backward(out.abs().mean(), retain_graph=True)
        run.backward(out.pow(2).mean())
        run.step(optimizer)


class Whole(nn.Module):
    """Nothing runs outside the checkpoint."""

    def __init__(self, reentrant):
        super().__init__()
        self.inner, self.reentrant = net(), reentrant

    def forward(self, x):
        if self.reentrant is None:
            return self.inner(x)
        return checkpoint(self.inner, x.requires_grad_(), use_reentrant=self.reentrant)


for reentrant in (True, False):
    scenario(
        lambda r=reentrant: Whole(r),
        name=f"the whole net checkpointed, reentrant {reentrant}",
        plain=lambda: Whole(None),
    )(train)


class Nested(nn.Module):
    """Reentrant checkpoints within each other, with one layer in both, after forwards that nobody trains on."""

    def __init__(self, plain=False):
        super().__init__()
        self.one, self.shared, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.run = (lambda f, x: f(x)) if plain else (lambda f, x: checkpoint(f, x, use_reentrant=True))

    def forward(self, x):
        return self.run(self.outer, self.one(x))

    def outer(self, x):
        return self.head(self.run(lambda y: self.shared(y).tanh(), x) + x)


@scenario(Nested, plain=lambda: Nested(plain=True))
def nested_reentrant_checkpoints(run, model, optimizer, number):
    for size in (4, 4, 3):
        model(data(number + size, size, 6))
    train(run, model, optimizer, number)


@scenario(Nested, plain=lambda: Nested(plain=True))
def nested_reentrant_checkpoints_of_two_forwards(run, model, optimizer, number):
    optimizer.zero_grad()
    run.backward(model(data(number, 4, 6)).pow(2).mean() + model(data(number + 8, 5, 6)).abs().mean())
    run.step(optimizer)
