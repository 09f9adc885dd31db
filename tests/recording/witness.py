"""What a recorder should say about a training step, found by other means: clones of outputs and autograd's own hooks.

A step of a test is written once, as a function of a `Bare` object that runs backward passes and optimizer steps. Under
`Witness`, on a copy of the net, the same function yields the right value of every quantity: each output is handed on
as a clone, so that nothing in place reaches it, its gradients over the passes of the loss are added up, and all norms
are taken in float64. The tensors are those of the recorded run, up to the order in which gradients are added.
"""

import contextlib
import math

import torch
from torch import nn
from torch.nn.utils import parametrize

# The table is float32 (2^-24, 6e-8); the compiled sums are right to 1e-6.
RELATIVE = 3e-6


class Bare:
    """Runs a step as a user would."""

    scale = 1.0

    def forward(self):
        """A forward begins, where the whole net is not called."""

    def restart(self):
        """What was computed so far is thrown away."""

    def over(self):
        """What follows belongs to another update."""

    def evaluated(self):
        """A closure has been evaluated; the first evaluation is the one that counts."""

    @contextlib.contextmanager
    def aside(self):
        """What is computed inside is no part of the training loss."""
        yield

    def backward(self, loss, **options):
        loss.backward(**options)

    def step(self, optimizer, *closure):
        return optimizer.step(*closure)


class Witness(Bare):
    def __init__(self, model):
        self.model = model
        self.forwards, self.counts, self.scale = [], True, 1.0
        self.gradients, self.used = {}, None
        self.before = {path: weights(module) for path, module in named(model)}
        self.handles = [model.register_forward_pre_hook(self._begins), model.register_forward_hook(self._ends)]
        self.handles += [m.register_forward_hook(self._hook(p)) for p, m in named(model) if heard(m)]
        self._nested = 0
        Residual.tap = self._tap

    def forward(self):
        self.forwards.append({})

    def restart(self):
        self.forwards.clear()

    def over(self):
        self.counts = False

    def evaluated(self):
        if self.counts:
            self.used = dict(self.gradients)
            self.over()

    @contextlib.contextmanager
    def aside(self):
        counted, self.counts = self.counts, False
        try:
            yield
        finally:
            self.counts = counted

    def backward(self, loss, **options):
        loss.backward(**options)
        if self.counts:
            self.gradients = self._now()

    def step(self, optimizer, *closure):
        if self.counts:
            held = {id(p) for group in optimizer.param_groups for p in group["params"]}
            own = {n: g for (n, g), p in zip(self._now().items(), self._with(), strict=True) if id(p) in held}
            self.used = (self.used or {}) | own
        return super().step(optimizer, *closure)

    def _with(self):
        return [p for p in self.model.parameters() if p.grad is not None and p.requires_grad]

    def _now(self):
        named = self.model.named_parameters()
        return {n: norm([p.grad]) for n, p in named if p.grad is not None and p.requires_grad}

    def _begins(self, module, args):
        if self.counts and torch.is_grad_enabled():
            self.forward()
        self._evaluates = not torch.is_grad_enabled()

    def _ends(self, module, args, output):
        self._evaluates = False

    _evaluates = False

    def _hook(self, path):
        def run(module, args, output):
            first = output if isinstance(output, torch.Tensor) else output[0]
            if not self.counts or self._evaluates or not torch.is_grad_enabled() or not first.is_floating_point():
                return None
            kept = self._keep(path, first)
            return kept if first is output else (kept, *output[1:])

        return run

    def _keep(self, path, tensor):
        """Keeps a tensor and its gradient; returns the clone that takes its place in the net."""
        if not self.forwards:
            self.forward()
        here = self.forwards[-1]
        call = 1 + sum(1 for other in here if other.split("#")[0] == path)
        entry = here[path if call == 1 else f"{path}#{call}"] = {"value": tensor.detach().clone(), "gradient": None}
        entry["positive"] = (tensor.detach() > 0).sum().item() if not tensor.is_complex() else 0

        def felt(gradient):
            if self.counts:
                known = entry["gradient"]
                entry["gradient"] = gradient.detach().clone() if known is None else known + gradient

        if tensor.requires_grad:
            tensor.register_hook(felt)
        return tensor.clone()

    def _tap(self, block, which, tensor):
        path = next(path for path, module in self.model.named_modules() if module is block)
        if not self.counts or not torch.is_grad_enabled():
            return tensor
        clone = tensor.clone()  # a hook on the tensor itself would see the sum over the paths
        self._keep(f"{path}|{which}", clone)
        return clone

    def close(self):
        for handle in self.handles:
            handle.remove()
        Residual.tap = None

    def expected(self, after=None):
        """{layer: {quantity: value}} of the step, and the totals; `after` is a net that made the same step."""
        self.close()
        if not self.forwards and not self.gradients:
            return {}, {}  # a step in which nothing happened
        felt = [f for f in self.forwards if any(e["gradient"] is not None for e in f.values())] or self.forwards
        found = {}
        for name in dict.fromkeys(name for forward in felt for name in forward):
            entries = [forward[name] for forward in felt if name in forward]
            path, _, which = name.partition("|")
            values = torch.cat([e["value"].reshape(-1).double() for e in entries])
            gradients = [e["gradient"] for e in entries if e["gradient"] is not None]
            gradient = norm(gradients) / self.scale if gradients else None
            row = found.setdefault(path + ("#" + which.split("#")[1] if "#" in which else ""), {})
            if which:
                which, _, what = which.split("#")[0].partition(" ")
                key = f"{which}_grad_norm" if what == "input" else f"{which}_norm"
                row[key] = gradient if what == "input" else norm([values])
                continue
            row["output_mean"], row["output_std"] = values.mean().item(), values.std(correction=0).item()
            row["share"] = 1 - sum(e["positive"] for e in entries) / values.numel()
            row["nonfinite"] = sum((~torch.isfinite(t)).sum().item() for t in (values, *gradients))
            row["output_grad_norm"] = gradient
        names = {id(p): n for n, p in self.model.named_parameters()}
        stepped = dict(named(after or self.model))
        for path, module in named(self.model):
            own = weights(stepped[path])
            if (own and path in found) or heard(module):
                row = found.setdefault(path, {})
                before = self.before.get(path)
                sources = [names[i] for i in made_of(module) if i in names]
                norms = [self.gradients[n] for n in sources if n in self.gradients]
                row["weight_grad_norm"] = math.hypot(*norms) / self.scale if norms else None
                if own and before and all(a.shape == b.shape for a, b in zip(own, before, strict=True)):
                    row["weight_norm"] = norm(before)
                    change = norm([a - b for a, b in zip(own, before, strict=True)])
                    row["update_ratio"] = change / norm(before) if norm(before) else None
        totals = {"grad_norm": math.hypot(*self.gradients.values()) / self.scale if self.gradients else None}
        if self.used is not None:
            totals["grad_norm_used"] = math.hypot(*self.used.values()) if self.used else None
        return found, totals


class Residual(nn.Module):
    """x + branch(x), or shortcut(x) + branch(x), in either order, in place or not; taps for a witness."""

    tap = None

    def __init__(self, branch, shortcut=None, after=None, inplace=False, swapped=False):
        super().__init__()
        self.branch, self.shortcut, self.after = branch, shortcut, after
        self.inplace, self.swapped = inplace, swapped

    def forward(self, x):
        tap = Residual.tap or (lambda block, which, tensor: tensor)
        into, past = tap(self, "branch input", x), tap(self, "shortcut input", x)
        one = tap(self, "branch", self.branch(into))
        two = tap(self, "shortcut", past if self.shortcut is None else self.shortcut(past))
        if self.inplace:
            one += two
            total = one
        else:
            total = two + one if self.swapped else one + two
        return total if self.after is None else self.after(total)


def named(model):
    return [(path or "(model)", m) for path, m in model.named_modules() if "parametrizations" not in path.split(".")]


def heard(module):
    return any(p is not None for p in module._parameters.values()) or hasattr(module, "parametrizations")


def weights(module):
    """Clones of the weights of a module in use: parameters called weight, else those not called bias."""
    if parametrize.is_parametrized(module):
        with parametrize.cached(), torch.no_grad():
            was, state = module.training, torch.get_rng_state()
            found = [getattr(module.eval(), name).detach().clone() for name in module.parametrizations]
            module.train(was)
            torch.set_rng_state(state)
            return found
    own = {n: p for n, p in module._parameters.items() if p is not None}
    chosen = [p for n, p in own.items() if "weight" in n] or [p for n, p in own.items() if "bias" not in n]
    return [
        p.detach().clone().to(torch.complex128 if p.is_complex() else torch.float64) for p in chosen or own.values()
    ]


def made_of(module):
    """The ids of the parameters behind a module's weights."""
    if parametrize.is_parametrized(module):
        return [id(p) for p in module.parametrizations.parameters()]
    own = {n: p for n, p in module._parameters.items() if p is not None}
    chosen = [p for n, p in own.items() if "weight" in n] or [p for n, p in own.items() if "bias" not in n]
    return [id(p) for p in chosen or own.values()]


def norm(tensors):
    """The norm of all values together, in float64."""
    total = 0.0
    for tensor in tensors:
        tensor = tensor.detach().coalesce().values() if tensor.layout is torch.sparse_coo else tensor.detach()
        tensor = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        total += tensor.double().pow(2).sum().item()
    return math.sqrt(total) if total == total and total != math.inf else total
