"""Random nets, optimizers and ways to train, written as plain values so that a failure can be repeated."""

import contextlib

import torch
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.recording.scenarios import data
from tests.recording.witness import Residual

WIDTH = 6
ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.GELU, nn.Sigmoid, nn.LeakyReLU, nn.SiLU)
INPLACE = (nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.ELU, nn.Hardtanh)
OPTIMIZERS = ("sgd", "momentum", "adam", "adam foreach", "adamw fused", "lbfgs", "in backward")
TRICKS = (
    *("clip", "scaler", "evaluate", "zeros", "accumulate", "retry forward", "retry backward", "two losses"),
    *("penalty", "replace gradients", "freeze", "look before", "drop gradient", "unused forward"),
)


class Tokens(nn.Module):
    """(N, T, C) → (N, C, T) and back around a layer that holds channels second."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.transpose(1, 2)).transpose(1, 2)


class Images(nn.Module):
    """(N, T, C) as images (N, C, 2, T/2), perhaps channels-last, around a convolution."""

    def __init__(self, inner, last):
        super().__init__()
        self.inner, self.last = inner, last

    def forward(self, x):
        n, t, c = x.shape
        maps = x.transpose(1, 2).reshape(n, c, 2, t // 2)
        if self.last:
            maps = maps.to(memory_format=torch.channels_last)
        return self.inner(maps).reshape(n, c, t).transpose(1, 2)


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.inner = kind(WIDTH, WIDTH, batch_first=True)

    def forward(self, x):
        return self.inner(x)[0]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x):
        return self.inner(x, x, x, need_weights=False)[0]


class Checkpointed(nn.Module):
    """Runs its inside anew in the backward pass; under a witness it is called plainly, which gives the same numbers."""

    def __init__(self, inner, reentrant):
        super().__init__()
        self.inner, self.reentrant = inner, reentrant

    def forward(self, x):
        if Residual.tap is not None or not torch.is_grad_enabled():
            return self.inner(x)
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)


class Failing(nn.Module):
    """Raises once in forward or backward when told to, as a device without memory does."""

    def __init__(self):
        super().__init__()
        self.forwards = self.backwards = 0

    def forward(self, x):
        if self.forwards:
            self.forwards -= 1
            raise RuntimeError("CUDA out of memory")
        return Back.apply(x, self)


class Back(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, module):
        ctx.module = module
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        if ctx.module.backwards:
            ctx.module.backwards -= 1
            raise RuntimeError("CUDA out of memory in backward")
        return gradient, None


LEAVES = ("linear", "linear", "conv1d", "conv2d", "conv2d last", "layernorm", "batchnorm", "groupnorm", "activation")
LEAVES += ("inplace", "inplace", "rnn", "gru", "lstm", "attention", "scale", "shared", "no bias", "prelu")
layers = st.recursive(
    st.tuples(st.sampled_from(LEAVES), st.integers(0, 5)),
    lambda inner: st.tuples(
        st.sampled_from(
            ("residual", "residual", "residual in place", "sequence", "checkpoint", "checkpoint reentrant")
        ),
        st.integers(0, 3),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=7,
)
trainings = st.fixed_dictionaries(
    {
        "layers": st.lists(layers, min_size=1, max_size=5),
        "optimizer": st.sampled_from(OPTIMIZERS),
        "tricks": st.sets(st.sampled_from(TRICKS), max_size=3),
        "seed": st.integers(0, 10_000),
        "double": st.booleans(),
        "all": st.booleans(),
    }
)


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.linspace(0.5, 1.5, WIDTH))

    def forward(self, x):
        return x * self.gamma


def build(spec, shared, penalised):
    kind, number, *rest = spec
    if kind in ("residual", "residual in place"):
        inside = [build(each, shared, penalised) for each in rest[0]]
        past = nn.Linear(WIDTH, WIDTH) if number == 1 else None
        inplace = kind.endswith("place")
        if inplace and not weighs(rest[0][-1]):
            inside.append(nn.Linear(WIDTH, WIDTH))  # an addition in place to what an activation saved is an error
        return Residual(nn.Sequential(nn.Linear(WIDTH, WIDTH), *inside), past, inplace=inplace, swapped=number > 1)
    if kind == "sequence":
        return nn.Sequential(*(build(each, shared, penalised) for each in rest[0]))
    if kind.startswith("checkpoint"):
        inside = nn.Sequential(nn.Linear(WIDTH, WIDTH), *(build(each, shared, penalised) for each in rest[0]))
        # reentrant checkpointing does not support torch.autograd.grad
        return inside if penalised else Checkpointed(inside, kind.endswith("reentrant"))
    if kind == "inplace":
        return nn.Sequential(nn.Linear(WIDTH, WIDTH), INPLACE[number % len(INPLACE)](inplace=True))
    if kind in ("rnn", "gru", "lstm"):
        return (
            Recurrent({"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind])
            if not penalised
            else nn.Linear(WIDTH, WIDTH)
        )
    if kind.startswith("conv2d"):
        return Images(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), kind.endswith("last"))
    return {
        "linear": lambda: nn.Linear(WIDTH, WIDTH),
        "conv1d": lambda: Tokens(nn.Conv1d(WIDTH, WIDTH, 3, padding=1)),
        "layernorm": lambda: nn.LayerNorm(WIDTH),
        "batchnorm": lambda: Tokens(nn.BatchNorm1d(WIDTH)),
        "groupnorm": lambda: Tokens(nn.GroupNorm(2, WIDTH)),
        "activation": lambda: ACTIVATIONS[number](),
        "attention": Attention if not penalised else lambda: nn.Linear(WIDTH, WIDTH),  # has no second derivative
        "scale": Scale,
        "shared": lambda: shared,
        "no bias": lambda: nn.Linear(WIDTH, WIDTH, bias=False),
        "prelu": lambda: nn.PReLU(),
    }[kind]()


def weighs(spec):
    return spec[0] in ("linear", "conv1d", "conv2d", "scale", "no bias")


def make(training):
    torch.manual_seed(training["seed"])
    penalised = "penalty" in training["tricks"]
    shared = nn.Linear(WIDTH, WIDTH)
    inside = [build(spec, shared, penalised) for spec in training["layers"]]
    model = nn.Sequential(nn.Linear(4, WIDTH), *inside, Failing(), nn.Linear(WIDTH, 3))
    return model.double() if training["double"] else model


def optimizer_of(training, model):
    kind, parameters = training["optimizer"], list(model.parameters())
    if kind == "lbfgs":
        return torch.optim.LBFGS(parameters, 0.01, max_iter=3)
    if kind.startswith("adamw"):
        return torch.optim.AdamW(parameters, 0.01, fused=True)
    if kind.startswith("adam"):
        return torch.optim.Adam(parameters, 0.01, foreach=kind.endswith("foreach"))
    return torch.optim.SGD(parameters, 0.01, momentum=0.9 * (kind == "momentum"))


def batch(training, number, part=0, size=4):
    x = data(1000 * training["seed"] + 10 * number + part, size, 4, 4)
    return x.double() if training["double"] else x


def step(run, training, model, optimizer, scaler, number):
    """One optimizer step with the tricks of a training."""
    tricks, zero = training["tricks"], "zeros" not in training["tricks"]

    def clear():
        for p in model.parameters():
            p.grad = None if zero or p.grad is None else p.grad.zero_()

    if "freeze" in tricks:
        for p in model[1].parameters():
            p.requires_grad_(number != 1)
    if "evaluate" in tricks:
        with torch.no_grad():
            model(batch(training, number, 9))
    if "unused forward" in tricks:
        model(batch(training, number, 8))
    failing = model[-2]
    parts = 3 if "accumulate" in tricks else 1

    def compute():
        for part in range(parts):
            x = batch(training, number, part, 4 - part)
            if "retry forward" in tricks and part == 0:
                failing.forwards = 1
                with contextlib.suppress(RuntimeError):
                    model(x)
            if "penalty" in tricks:
                x.requires_grad_()
            out = model(x)
            loss = out.pow(2).sum() / 16
            if "penalty" in tricks:
                with run.aside():
                    (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
                loss = loss + slope.pow(2).mean()
            if "look before" in tricks and not any("reentrant" in str(spec) for spec in training["layers"]):
                with run.aside():
                    torch.autograd.grad(loss, model[0].weight, retain_graph=True)
            run.scale = scaler.get_scale() if scaler else 1.0
            scaled = (lambda value: scaler.scale(value)) if scaler else (lambda value: value)
            if "two losses" in tricks:
                run.backward(scaled(out.abs().mean()), retain_graph=True)
            run.backward(scaled(loss))
        return loss

    clear()
    if training["optimizer"] == "lbfgs" and not scaler:

        def closure():
            clear()
            loss = compute()
            run.evaluated()
            return loss

        optimizer.step(closure)
        return
    if "retry backward" in tricks:
        failing.backwards = 1
        try:
            compute()
        except RuntimeError:
            run.restart()
            clear()
            compute()
    else:
        compute()
    if scaler and "clip" in tricks:
        scaler.unscale_(optimizer)
    if "clip" in tricks:
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    if "replace gradients" in tricks:
        for p in model.parameters():
            p.grad = None if p.grad is None else p.grad * 0.5
    if "drop gradient" in tricks:
        model[-1].weight.grad = None
    if scaler:
        scaler.step(optimizer)
        scaler.update()
    else:
        run.step(optimizer)
