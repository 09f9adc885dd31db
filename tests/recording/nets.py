"""Small nets, training with and without a recorder, and what is looked at afterwards."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import optimizer as optimizers
from torch.utils.checkpoint import checkpoint

from labapp.nets import build
from labapp.recording import Recorder, every
from tests.recording.oracle import first


def batch(size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 3, size, size, generator=generator), torch.randint(0, 10, (4,), generator=generator)


def optimizer_of(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-4)


def record(model, x, y, steps=1, **options):
    optimizer = optimizer_of(model.parameters())
    with Recorder(model, optimizer, when=every(1), **options) as recorder:
        for _ in range(steps):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(first(model(x)), y).backward()
                optimizer.step()
    return recorder


def small(**options):
    torch.manual_seed(0)
    return build("residual", depth=8, width=4, image_size=16, **options)


def train(model, steps, recorder_options=None, optimizer=None, x=None, y=None):
    optimizer = optimizer or optimizer_of(model.parameters())
    if x is None:
        x, y = batch(16)
    if recorder_options is None:
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        return None
    with Recorder(model, optimizer, **recorder_options) as recorder:
        for _ in range(steps):
            with recorder.step():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    return recorder


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


class Shared(nn.Module):
    """One ReLU for three places, as torchvision's blocks have it."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = nn.Linear(8, 16), nn.Linear(16, 4), nn.Linear(4, 10)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.three(self.relu(self.two(self.relu(self.one(x))))))


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, 10)
        self.body = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())
        self.reentrant = reentrant

    def forward(self, x):
        x = self.stem(x)
        x = self.body(x) if self.reentrant is None else checkpoint(self.body, x, use_reentrant=self.reentrant)
        return self.head(x)


class Nowhere:
    def describe(self, layers, recorder):
        pass

    def write(self, table, columns):
        pass


def hooks_of(model):
    """How many hooks a model carries, of any kind."""
    return sum(
        len(getattr(module, name))
        for module in model.modules()
        for name in ("_forward_hooks", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_backward_hooks")
    ) + sum(len(p._backward_hooks or ()) for p in model.parameters())


def global_hooks():
    """How many hooks all optimizers share."""
    return len(optimizers._global_optimizer_pre_hooks) + len(optimizers._global_optimizer_post_hooks)


def state_of(model):
    """Everything that training changes: parameters, buffers, gradients, the state of the random numbers."""
    gradients = [
        p.grad.to_dense() if p.grad.layout is torch.sparse_coo else p.grad
        for p in model.parameters()
        if p.grad is not None
    ]
    return [t.detach().clone() for t in (*model.parameters(), *model.buffers(), *gradients, torch.get_rng_state())]
