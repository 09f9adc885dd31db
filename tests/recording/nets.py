"""Small nets, training with and without a recorder, and what is looked at afterwards."""

import torch
from torch.optim import optimizer as optimizers


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
