"""What a recorder should say, found in another way: slow, in float64, by torch.autograd.grad on cloned outputs."""

import copy

import torch
import torch.nn.functional as F


def watch(model, paths):
    """Hooks that hand a *clone* of each output on, so that nothing in place reaches the tensor that is kept."""
    kept = {}

    def hook(path):
        def run(module, args, output):
            seen[path] = seen.get(path, 0) + 1
            key = path if seen[path] == 1 else f"{path}#{seen[path]}"
            kept[key] = first(output)
            return output.clone() if isinstance(output, torch.Tensor) else (kept[key].clone(), *output[1:])

        return run

    seen = {}
    modules = dict(model.named_modules()) | {"(model)": model}
    handles = [modules[path].register_forward_hook(hook(path)) for path in paths]
    return kept, handles


def oracle_step(model, optimizer_of, x, y, paths):
    """One step of a float64 copy: {layer: quantities}, by definition and without any shared code."""
    twin = copy.deepcopy(model).double()
    optimizer = optimizer_of(twin.parameters())
    before = {name: p.detach().clone() for name, p in twin.named_parameters()}
    kept, handles = watch(twin, paths)
    loss = F.cross_entropy(first(twin(x.double())), y)
    outputs = {key: value for key, value in kept.items() if value.requires_grad}
    values = {key: value.detach().clone() for key, value in kept.items()}
    gradients = torch.autograd.grad(loss, list(outputs.values()), retain_graph=True, allow_unused=True)
    optimizer.zero_grad()
    loss.backward()
    weight_gradients = {n: p.grad.detach().clone() for n, p in twin.named_parameters() if p.grad is not None}
    optimizer.step()
    for handle in handles:
        handle.remove()
    result = {}
    gradient_of = dict(zip(outputs, gradients, strict=True))
    for key, value in values.items():
        one = {"output_mean": value.mean().item(), "output_std": value.std(correction=0).item()}
        one["share_not_positive"] = (value <= 0).double().mean().item()
        if gradient_of.get(key) is not None:
            one["output_grad_norm"] = gradient_of[key].norm().item()
        name = key.split("#")[0] + ".weight"
        if name in before and "#" not in key:
            change = dict(twin.named_parameters())[name].detach() - before[name]
            one["weight_norm"] = before[name].norm().item()
            one["update_ratio"] = (change.norm() / before[name].norm()).item()
            if name in weight_gradients:
                one["weight_grad_norm"] = weight_gradients[name].norm().item()
        result[key] = one
    return result


def first(output):
    if isinstance(output, torch.Tensor):
        return output
    return next(iter(output.values())) if isinstance(output, dict) else output[0]
